"""`[broker]` of the configuration: the broker that a box reports to."""

from typing import Annotated, Literal
from urllib.parse import SplitResult

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message
from agent.base.url import is_this_machine, split_url
from agent.config.names import Name

MAX_CENTRES = 8
"""Centres that a configuration names, or that a box remembers."""


class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[broker]`: destination of reports. `standby_urls` are tried in this order while `url` cannot be reached, with
    the same files. `mqtts` needs `ca`, and `certificate` with `key` if the broker asks for them. `mqtt` to another
    machine needs `insecure`: anybody on the way reads, changes and commands.
    `ack` is the acknowledgement that removes a message, see docs/wire-contract.md. If `centres` names some, each of
    them has to acknowledge it, and no other may.
    """

    url: str
    standby_urls: Annotated[tuple[str, ...], msgspec.Meta(max_length=4)] = ()
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    username: str | None = None
    password_file: str | None = None
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=600)] = 30
    ack: Literal["auto", "broker"] = "auto"
    centres: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_CENTRES)] = ()
    insecure: bool = False

    @property
    def urls(self) -> tuple[str, ...]:
        """All brokers, in the order of preference."""
        return (self.url, *self.standby_urls)


def check_broker(broker: BrokerConfig, context: str) -> None:
    """Raise UserError if the URLs, the credentials or the centres contradict each other."""
    _check_centres(broker, context)
    scheme = broker.url.partition(":")[0].lower()
    for index, text in enumerate(broker.urls):
        key = f"standby_urls[{index - 1}]" if index else "url"
        label = f"{context}: broker.{key} = {text!r}"
        if _check_url(label, text).scheme != scheme:
            # A box must never report in plain text because an encrypted connection is cut.
            raise UserError(
                Message(
                    "{label}: allowed: {scheme}://, as in broker.url", label=label, scheme=scheme
                )
            )
        if text in broker.urls[:index]:
            raise UserError(
                Message("{label}: named before; allowed: each broker once", label=label)
            )
    if (broker.certificate is None) != (broker.key is None):
        given, missing = ("certificate", "key") if broker.certificate else ("key", "certificate")
        raise UserError(
            Message(
                "{label}: missing; broker.{given} needs it",
                label=f"{context}: broker.{missing}",
                given=given,
            )
        )
    if scheme == "mqtt":
        for key in ("ca", "certificate"):
            if getattr(broker, key) is not None:
                raise UserError(
                    Message(
                        "{label}: has no use with {url!r}; allowed: with mqtts://",
                        label=f"{context}: broker.{key}",
                        url=broker.url,
                    )
                )
        remote = next((url for url in broker.urls if not is_this_machine(url)), None)
        if remote is not None and not broker.insecure:
            raise UserError(
                Message(
                    "{label}: neither encrypted nor authenticated; allowed: mqtts://, or insecure = true for a network that nobody else reaches",
                    label=f"{context}: broker.url = {remote!r}",
                )
            )


def _check_centres(broker: BrokerConfig, context: str) -> None:
    for index, name in enumerate(broker.centres):
        if name in broker.centres[:index]:
            raise UserError(
                Message(
                    "{label}: named twice; allowed: each centre once",
                    label=f"{context}: broker.centres[{index}] = {name!r}",
                )
            )
    if broker.centres and broker.ack == "broker":
        raise UserError(
            Message(
                '{label}: has no use with ack = "broker"; allowed: with ack = "auto"',
                label=f"{context}: broker.centres",
            )
        )


def _check_url(label: str, text: str) -> SplitResult:
    url = split_url(text, "mqtt", "mqtts")
    if url is None or url.path not in ("", "/") or url.username or url.query:
        raise UserError(
            Message(
                "{label}: not a broker's address; allowed: mqtt://HOST[:1883] or mqtts://HOST[:8883], without user or path",
                label=label,
            )
        )
    return url
