"""What there is to know of a camera before it is brought in: its streams, its head, its events."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from drivers.errors import DriverError
from drivers.onvif.client import OnvifClient
from drivers.onvif.discovery import name_in

DETECT_WIDTH_PX = 640
"""A detection stream should be this wide at least: what the detector's crops are cut from."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One media profile of a camera, as it says. `has_head`: it can be turned through it."""

    token: str
    name: str
    codec: str
    width_px: int
    height_px: int
    fps: float | None
    has_head: bool


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which profile is recorded, and which is watched; None where the first serves both."""

    record: Profile
    detect: Profile | None


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """A camera as it may stand in the configuration. The addresses are without user and password,
    which stand in a file of their own.
    """

    name: str
    maker: str
    model: str
    serial: str
    firmware: str
    record: Profile
    stream_url: str
    detect: Profile | None
    detect_url: str | None
    snapshot_url: str | None
    has_ptz: bool
    has_events: bool
    topics: tuple[str, ...]
    """What it says that it can report, without prefixes; see `[camera.onvif] events`."""


def adopt(client: OnvifClient) -> Adopted:
    """Ask a camera. Raises DriverError: `unsupported` where it has no stream that can be used."""
    device = client.call("devicemgmt", "GetDeviceInformation")
    profiles = read_profiles(client.call("media", "GetProfiles") or ())
    chosen = choose(profiles)
    if chosen is None:
        told = ", ".join(f"{one.codec} {one.width_px}x{one.height_px}" for one in profiles)
        raise DriverError(
            "unsupported", f"{client.what}: no stream in H.264 or H.265; there: {told or 'none'}"
        )
    has_events = client.has("events")
    return Adopted(
        name=_name_of(client) or str(device.Model or "camera"),
        maker=str(device.Manufacturer or ""),
        model=str(device.Model or ""),
        serial=str(device.SerialNumber or ""),
        firmware=str(device.FirmwareVersion or ""),
        record=chosen.record,
        stream_url=_stream(client, chosen.record.token),
        detect=chosen.detect,
        detect_url=None if chosen.detect is None else _stream(client, chosen.detect.token),
        snapshot_url=_snapshot(client, chosen.record.token),
        has_ptz=client.has("ptz") and any(profile.has_head for profile in profiles),
        has_events=has_events,
        topics=_topics(client) if has_events else (),
    )


def read_profiles(given: Iterable[Any]) -> tuple[Profile, ...]:
    """`tt:Profile`s as the SOAP library gives them; those without a video encoder are left out.
    Pure.
    """
    found: list[Profile] = []
    for one in given:
        encoder = one.VideoEncoderConfiguration
        if encoder is None or encoder.Resolution is None:
            continue
        rate = encoder.RateControl
        found.append(
            Profile(
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


def choose(profiles: Sequence[Profile]) -> Chosen | None:
    """The largest to record; to watch, the smallest of the others that is wide enough, or else the
    widest of those that are not. None where nothing can be used. Pure.
    """
    able = [one for one in profiles if one.codec.upper() in ("H264", "H265") and one.width_px > 0]
    if not able:
        return None
    record = max(able, key=_pixels)
    smaller = [one for one in able if _pixels(one) < _pixels(record)]
    enough = [one for one in smaller if one.width_px >= DETECT_WIDTH_PX]
    detect = min(enough, key=_pixels) if enough else max(smaller, key=_pixels, default=None)
    return Chosen(record=record, detect=detect)


def without_user(url: str) -> str:
    """An address without user and password. Pure. Raises DriverError `protocol` where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise DriverError("protocol", f"it tells an address that is none: {error}") from error
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def plain_topic(topic: str) -> str:
    """`tns1:RuleEngine/CellMotionDetector/Motion` without its prefixes. Pure."""
    return "/".join(part.rpartition(":")[2].strip() for part in topic.strip().split("/"))


def _pixels(profile: Profile) -> int:
    return profile.width_px * profile.height_px


def _stream(client: OnvifClient, token: str) -> str:
    """ONVIF Streaming Specification: RTP over RTSP over TCP is `RTP-Unicast` through `RTSP`."""
    told = client.call(
        "media",
        "GetStreamUri",
        StreamSetup={"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}},
        ProfileToken=token,
    )
    url = getattr(told, "Uri", None)
    if not url:
        raise DriverError("protocol", f"{client.what}: no address for the stream of {token!r}")
    return without_user(str(url))


def _snapshot(client: OnvifClient, token: str) -> str | None:
    try:
        told = client.call("media", "GetSnapshotUri", ProfileToken=token)
    except DriverError as error:
        if error.kind not in ("unsupported", "protocol"):
            raise
        return None
    url = getattr(told, "Uri", None)
    return without_user(str(url)) if url else None


def _name_of(client: OnvifClient) -> str | None:
    """Out of its scopes, `onvif://www.onvif.org/name/...`: ONVIF Core Specification, 7.3.2.2."""
    scopes = client.call("devicemgmt", "GetScopes") or ()
    return name_in(str(scope.ScopeItem) for scope in scopes)


def _topics(client: OnvifClient) -> tuple[str, ...]:
    """The leaves of its tree of topics: what has a MessageDescription."""
    told = client.call("events", "GetEventProperties")
    return tuple(sorted(_leaves(getattr(told, "TopicSet", None))))


def _leaves(topic_set: Any) -> set[str]:
    raw = getattr(topic_set, "_value_1", None) or ()
    return {leaf for element in raw for leaf in _below(element, "")}


def _below(element: Any, under: str) -> Iterable[str]:
    name = str(element.tag).rpartition("}")[2]
    if name == "MessageDescription":
        yield under
        return
    path = f"{under}/{name}" if under else name
    for child in element:
        if isinstance(child.tag, str):
            yield from _below(child, path)
