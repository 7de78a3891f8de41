"""`[broker]` of the configuration: the broker that a box reports to."""

import ipaddress
from typing import Annotated, Literal

import msgspec

from agent.base.errors import UserError
from agent.base.url import split_url


class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[broker]`: destination of reports. `mqtts` needs `ca`, and `certificate` with `key` if the broker asks
    for them. `mqtt` to another machine needs `insecure`: anybody on the way reads, changes and commands.
    `ack` is the acknowledgement that removes a message, see docs/wire-contract.md.
    """

    url: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    username: str | None = None
    password_file: str | None = None
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=600)] = 30
    ack: Literal["auto", "broker"] = "auto"
    insecure: bool = False


def check_broker(broker: BrokerConfig, context: str) -> None:
    """Raise UserError if the broker's URL and credentials contradict each other."""
    url = split_url(broker.url, "mqtt", "mqtts")
    if url is None or url.path not in ("", "/") or url.username or url.query:
        raise UserError(
            f"{context}: broker.url = {broker.url!r}: not a broker's address; "
            "allowed: mqtt://HOST[:1883] or mqtts://HOST[:8883], without user or path"
        )
    if (broker.certificate is None) != (broker.key is None):
        given, missing = ("certificate", "key") if broker.certificate else ("key", "certificate")
        raise UserError(f"{context}: broker.{missing}: missing; broker.{given} needs it")
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
