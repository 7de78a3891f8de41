"""`[broker]` of the configuration: the broker that a box reports to."""

import ipaddress
from typing import Annotated, Literal

import msgspec

from agent.base.errors import UserError
from agent.base.url import split_url
from agent.config.names import Name

MAX_CENTRES = 8
"""Centres that a configuration names, or that a box remembers."""


class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[broker]`: destination of reports. `mqtts` needs `ca`, and `certificate` with `key` if the broker asks
    for them. `mqtt` to another machine needs `insecure`: anybody on the way reads, changes and commands.
    `ack` is the acknowledgement that removes a message, see docs/wire-contract.md. If `centres` names some, each of
    them has to acknowledge it, and no other may.
    """

    url: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    username: str | None = None
    password_file: str | None = None
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=600)] = 30
    ack: Literal["auto", "broker"] = "auto"
    centres: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_CENTRES)] = ()
    insecure: bool = False


def check_broker(broker: BrokerConfig, context: str) -> None:
    """Raise UserError if the URL, the credentials or the centres contradict each other."""
    url = split_url(broker.url, "mqtt", "mqtts")
    if url is None or url.path not in ("", "/") or url.username or url.query:
        raise UserError(
            f"{context}: broker.url = {broker.url!r}: not a broker's address; "
            "allowed: mqtt://HOST[:1883] or mqtts://HOST[:8883], without user or path"
        )
    if (broker.certificate is None) != (broker.key is None):
        given, missing = ("certificate", "key") if broker.certificate else ("key", "certificate")
        raise UserError(f"{context}: broker.{missing}: missing; broker.{given} needs it")
    for index, name in enumerate(broker.centres):
        if name in broker.centres[:index]:
            raise UserError(
                f"{context}: broker.centres[{index}] = {name!r}: named twice; allowed: each centre once"
            )
    if broker.centres and broker.ack == "broker":
        raise UserError(
            f'{context}: broker.centres: has no use with ack = "broker"; allowed: with ack = "auto"'
        )
    if url.scheme == "mqtt":
        for key in ("ca", "certificate"):
            if getattr(broker, key) is not None:
                raise UserError(
                    f"{context}: broker.{key}: has no use with {broker.url!r}; allowed: with mqtts://"
                )
        if not broker.insecure and not _is_this_machine(url.hostname or ""):
            raise UserError(
                f"{context}: broker.url = {broker.url!r}: neither encrypted nor authenticated; allowed: "
                "mqtts://, or insecure = true for a network that nobody else reaches"
            )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
