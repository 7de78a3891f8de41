"""`[update]` of the configuration: the feed, and the window for installation."""

import zoneinfo
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from agent.config.names import HttpsUrl, SigningKey

MIN_WINDOW = timedelta(hours=1)
"""Shortest window: the timer polls once an hour."""


class UpdateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[update]`: the centre's feed and its signing key, the base64 of an Ed25519 public key's 32 bytes.

    `ca_file` has the authorities trusted for the feed's server, by default the system's. Installation
    happens within `window` only.
    """

    feed: HttpsUrl
    public_key: SigningKey
    ca_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    window: Annotated[
        str,
        msgspec.Meta(pattern=r"^\d\d:\d\d-\d\d:\d\d$(?!\n)", extra={"allowed": "HH:MM-HH:MM"}),
    ] = "01:30-04:30"
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Raise ValueError if the window or the time zone is not valid."""
        try:
            begin, end = self.window_minutes()
        except ValueError:
            raise ValueError(
                f"window = {self.window!r}: allowed: HH:MM-HH:MM, such as 01:30-04:30"
            ) from None
        if timedelta(minutes=(end - begin) % (24 * 60)) < MIN_WINDOW:
            raise ValueError(f"window = {self.window!r}: allowed: one hour or longer")
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"time_zone = {self.time_zone!r}: unknown; allowed: such as Africa/Casablanca"
            ) from None

    def window_minutes(self) -> tuple[int, int]:
        """Return begin and end of the window in minutes of the day."""
        begin_text, _, end_text = self.window.partition("-")
        begin, end = (datetime.strptime(text, "%H:%M") for text in (begin_text, end_text))  # noqa: DTZ007
        return begin.hour * 60 + begin.minute, end.hour * 60 + end.minute

    def is_in_window(self, now: datetime) -> bool:
        """Return whether a time is within the window, which may span midnight."""
        local = now.astimezone(zoneinfo.ZoneInfo(self.time_zone))
        minute = local.hour * 60 + local.minute
        begin, end = self.window_minutes()
        return begin <= minute < end if begin < end else minute >= begin or minute < end
