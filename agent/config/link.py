"""`[link]`, `[renewal]` and `[update]`: the link, and the servers besides the broker that the box speaks to."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from agent.base.message import Message, Text
from agent.base.weekly_hours import minute_of_week, week_minutes
from agent.config.broker import BrokerConfig
from agent.config.names import HttpsUrl, SigningKey

EST_PATH = "/.well-known/est"
"""RFC 7030, 3.2.2."""
MIN_WINDOW = timedelta(hours=1)
"""Shortest window: the timer polls once an hour."""
Host = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:-]{0,252}$(?!\n)",
        extra={"allowed": "a name or an address, without a port"},
    ),
]


class LinkConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[link]`: the link, as far as footage, live pictures and models use it.

    They are sent to `upload_hosts` only, whatever address a command names. `ca` has the authorities of
    these hosts, by default the system's. `bytes_per_day` counts from midnight UTC, in
    both directions. A `metered` link has
    clips of the small forms only, except for an incident, and no detection model of more than its `bytes_per_day`.
    """

    upload_hosts: Annotated[tuple[Host, ...], msgspec.Meta(max_length=8)] = ()
    ca: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    rate_kbit_s: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] | None = None
    bytes_per_day: Annotated[int, msgspec.Meta(ge=1_000_000)] | None = None
    metered: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError if the fields contradict each other."""
        if self.metered and self.bytes_per_day is None:
            raise ValueError("metered = true: needs bytes_per_day")


class RenewalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[renewal]`: the server, and the authority of its certificate, by default that of the broker.

    EST_PATH is added to a URL without a path.
    """

    url: HttpsUrl
    ca_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None


def iter_renewal_conflicts(broker: BrokerConfig, context: str) -> Iterator[Text]:
    """Yield a line, which begins with `context`, for each key of `[broker]` that a renewal lacks."""
    if broker.certificate is None:
        yield Message(
            "{label}: has no use without broker.certificate and broker.key",
            label=f"{context}: renewal",
        )
    elif broker.ca is None:
        yield Message(
            "{label}: broker.ca is missing; a renewed certificate is checked with it",
            label=f"{context}: renewal",
        )


class UpdateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[update]`: the centre's feed and its signing key, the base64 of an Ed25519 public key's 32 bytes.

    `ca_file` has the authorities trusted for the feed's server, by default the system's. Installation
    happens within `window` only, by the wall clock of `box.time_zone`.
    """

    feed: HttpsUrl
    public_key: SigningKey
    ca_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    window: Annotated[
        str,
        msgspec.Meta(pattern=r"^\d\d:\d\d-\d\d:\d\d$(?!\n)", extra={"allowed": "HH:MM-HH:MM"}),
    ] = "01:30-04:30"

    def __post_init__(self) -> None:
        """Raise ValueError if the window is not valid."""
        begin_text, _, end_text = self.window.partition("-")
        try:
            begin, end = (datetime.strptime(text, "%H:%M") for text in (begin_text, end_text))  # noqa: DTZ007
        except ValueError:
            raise ValueError(
                f"window = {self.window!r}: allowed: HH:MM-HH:MM, such as 01:30-04:30"
            ) from None
        if (end - begin) % timedelta(days=1) < MIN_WINDOW:
            raise ValueError(f"window = {self.window!r}: allowed: one hour or longer")

    def is_in_window(self, local: datetime) -> bool:
        """Return whether the time of a wall clock is within the window, which may span midnight."""
        return minute_of_week(local) in week_minutes((self.window,))
