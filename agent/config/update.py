"""`[update]` of the configuration: where new versions are told, and when they may be installed."""

import zoneinfo
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

MIN_WINDOW = timedelta(hours=1)
"""Of a window: the timer looks once an hour."""


class UpdateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[update]`: the feed of the centre and the key that it is signed with, the base64 of an Ed25519
    public key's 32 bytes. `ca` are the authorities that the feed's server is believed by, the system's
    where it is left out. Only within `window` is anything installed.
    """

    feed: Annotated[str, msgspec.Meta(pattern=r"^https://[^\s@]+$(?!\n)", max_length=2000)]
    public_key: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9+/]{43}=$(?!\n)")]
    ca_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    window: Annotated[str, msgspec.Meta(pattern=r"^\d\d:\d\d-\d\d:\d\d$(?!\n)")] = "01:30-04:30"
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what no pattern tells."""
        try:
            begin, end = self.window_minutes()
        except ValueError:
            raise ValueError(f"window = {self.window!r}: allowed: such as 01:30-04:30") from None
        if timedelta(minutes=(end - begin) % (24 * 60)) < MIN_WINDOW:
            raise ValueError(f"window = {self.window!r}: allowed: an hour or longer")
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"time_zone = {self.time_zone!r}: not known; allowed: such as Africa/Casablanca"
            ) from None

    def window_minutes(self) -> tuple[int, int]:
        """The window's begin and end, in minutes of the day."""
        begin_text, _, end_text = self.window.partition("-")
        begin, end = (datetime.strptime(text, "%H:%M") for text in (begin_text, end_text))  # noqa: DTZ007
        return begin.hour * 60 + begin.minute, end.hour * 60 + end.minute

    def is_in_window(self, now: datetime) -> bool:
        """Whether a moment lies within the window; one over midnight ends before it begins."""
        local = now.astimezone(zoneinfo.ZoneInfo(self.time_zone))
        minute = local.hour * 60 + local.minute
        begin, end = self.window_minutes()
        return begin <= minute < end if begin < end else minute >= begin or minute < end
