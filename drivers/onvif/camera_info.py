"""An ONVIF camera before it is added to a box: its streams, its head, its events. Pure."""

from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

import msgspec

from drivers.errors import DriverError

MIN_DETECT_WIDTH_PX = 640
"""The preferred least width of a detection stream, from which the detector's crops are cut."""


class MediaProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One media profile that a camera reports. `has_head`: the profile can move a head."""

    token: str
    name: str
    codec: str
    width_px: int
    height_px: int
    fps: float | None
    has_head: bool


class ProfileChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The profiles for recording and for detection; `detect` is None if the first serves both."""

    record: MediaProfile
    detect: MediaProfile | None


class CameraInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A camera's data for the configuration.

    The URLs have no user and no password, which are kept in a file of their own.
    """

    name: str
    maker: str
    model: str
    serial: str
    firmware: str
    record: MediaProfile
    stream_url: str
    detect: MediaProfile | None
    detect_url: str | None
    snapshot_url: str | None
    has_ptz: bool
    has_events: bool
    topics: tuple[str, ...]
    """The topics of its notifications, without prefixes; see `[camera.onvif] events`."""


def choose_profiles(profiles: Sequence[MediaProfile]) -> ProfileChoice | None:
    """Choose the profiles for recording and for detection, or None if none is usable.

    The largest one is recorded. Detection gets the smallest of the others that is wide enough, or
    the largest of them if none is.
    """
    usable = [one for one in profiles if one.codec.upper() in ("H264", "H265") and one.width_px > 0]
    if not usable:
        return None
    record = max(usable, key=_pixel_count)
    smaller = [one for one in usable if _pixel_count(one) < _pixel_count(record)]
    wide_enough = [one for one in smaller if one.width_px >= MIN_DETECT_WIDTH_PX]
    detect = (
        min(wide_enough, key=_pixel_count)
        if wide_enough
        else max(smaller, key=_pixel_count, default=None)
    )
    return ProfileChoice(record=record, detect=detect)


def strip_credentials(url: str) -> str:
    """Return a URL without user and password. Raises DriverError `protocol` if it is invalid."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise DriverError("protocol", f"the camera sent an invalid URL: {error}") from error
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def strip_prefixes(topic: str) -> str:
    """Return a topic such as `tns1:RuleEngine/CellMotionDetector/Motion` without prefixes."""
    return "/".join(part.rpartition(":")[2].strip() for part in topic.strip().split("/"))


def _pixel_count(profile: MediaProfile) -> int:
    return profile.width_px * profile.height_px
