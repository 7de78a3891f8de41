"""Query an ONVIF camera before it is added to a box: its streams, its head, its events."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from drivers.errors import DriverError
from drivers.onvif.client import OnvifClient
from drivers.onvif.discovery import find_name

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


def read_camera_info(client: OnvifClient) -> CameraInfo:
    """Query a camera. Raises DriverError: `unsupported` if it has no usable stream."""
    device = client.call("devicemgmt", "GetDeviceInformation")
    profiles = read_profiles(client.call("media", "GetProfiles") or ())
    choice = choose_profiles(profiles)
    if choice is None:
        stream_list = ", ".join(f"{one.codec} {one.width_px}x{one.height_px}" for one in profiles)
        raise DriverError(
            "unsupported",
            f"{client.display_name}: no stream in H.264 or H.265; there: {stream_list or 'none'}",
        )
    has_events = client.has_service("events")
    return CameraInfo(
        name=_read_name(client) or str(device.Model or "camera"),
        maker=str(device.Manufacturer or ""),
        model=str(device.Model or ""),
        serial=str(device.SerialNumber or ""),
        firmware=str(device.FirmwareVersion or ""),
        record=choice.record,
        stream_url=_stream_url(client, choice.record.token),
        detect=choice.detect,
        detect_url=None if choice.detect is None else _stream_url(client, choice.detect.token),
        snapshot_url=_snapshot_url(client, choice.record.token),
        has_ptz=client.has_service("ptz") and any(profile.has_head for profile in profiles),
        has_events=has_events,
        topics=_read_topics(client) if has_events else (),
    )


def read_profiles(soap_profiles: Iterable[Any]) -> tuple[MediaProfile, ...]:
    """Convert the SOAP library's `tt:Profile`s, without those that lack a video encoder. Pure."""
    found: list[MediaProfile] = []
    for one in soap_profiles:
        encoder = one.VideoEncoderConfiguration
        if encoder is None or encoder.Resolution is None:
            continue
        rate = encoder.RateControl
        found.append(
            MediaProfile(
                token=str(one.token),
                name=str(one.Name or one.token),
                codec=str(encoder.Encoding or ""),
                width_px=int(encoder.Resolution.Width or 0),
                height_px=int(encoder.Resolution.Height or 0),
                fps=None if rate is None or rate.FrameRateLimit is None else rate.FrameRateLimit,
                has_head=one.PTZConfiguration is not None,
            )
        )
    return tuple(found)


def choose_profiles(profiles: Sequence[MediaProfile]) -> ProfileChoice | None:
    """Choose the profiles for recording and for detection, or None if none is usable. Pure.

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
    """Return a URL without user and password. Raises DriverError `protocol` if it is invalid. Pure."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise DriverError("protocol", f"the camera sent an invalid URL: {error}") from error
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def strip_prefixes(topic: str) -> str:
    """Return a topic such as `tns1:RuleEngine/CellMotionDetector/Motion` without prefixes. Pure."""
    return "/".join(part.rpartition(":")[2].strip() for part in topic.strip().split("/"))


def _pixel_count(profile: MediaProfile) -> int:
    return profile.width_px * profile.height_px


def _stream_url(client: OnvifClient, token: str) -> str:
    """Return the URL of RTP over RTSP over TCP.

    ONVIF Streaming Specification: this is `RTP-Unicast` through `RTSP`.
    """
    reply = client.call(
        "media",
        "GetStreamUri",
        StreamSetup={"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}},
        ProfileToken=token,
    )
    url = getattr(reply, "Uri", None)
    if not url:
        raise DriverError(
            "protocol", f"{client.display_name}: no address for the stream of {token!r}"
        )
    return strip_credentials(str(url))


def _snapshot_url(client: OnvifClient, token: str) -> str | None:
    try:
        reply = client.call("media", "GetSnapshotUri", ProfileToken=token)
    except DriverError as error:
        if error.kind not in ("unsupported", "protocol"):
            raise
        return None
    url = getattr(reply, "Uri", None)
    return strip_credentials(str(url)) if url else None


def _read_name(client: OnvifClient) -> str | None:
    """Return the name in the scope `onvif://www.onvif.org/name/...`: ONVIF Core Specification, 7.3.2.2."""
    scopes = client.call("devicemgmt", "GetScopes") or ()
    return find_name(str(scope.ScopeItem) for scope in scopes)


def _read_topics(client: OnvifClient) -> tuple[str, ...]:
    """Return the leaves of the camera's topic tree: the topics with a MessageDescription."""
    reply = client.call("events", "GetEventProperties")
    return tuple(sorted(_leaf_topics(getattr(reply, "TopicSet", None))))


def _leaf_topics(topic_set: Any) -> set[str]:
    raw = getattr(topic_set, "_value_1", None) or ()
    return {leaf for element in raw for leaf in _walk_topics(element, "")}


def _walk_topics(element: Any, parent: str) -> Iterable[str]:
    name = str(element.tag).rpartition("}")[2]
    if name == "MessageDescription":
        yield parent
        return
    path = f"{parent}/{name}" if parent else name
    for child in element:
        if isinstance(child.tag, str):
            yield from _walk_topics(child, path)
