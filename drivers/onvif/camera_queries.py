"""Queries of an ONVIF camera before it is added to a box, and of the profile and node of its head. For the child."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from drivers.errors import DriverError
from drivers.onvif.camera_info import CameraInfo, MediaProfile, choose_profiles, strip_credentials
from drivers.onvif.coordinate_spaces import read_node
from drivers.onvif.discovery import find_name
from drivers.onvif.operations import HeadProfile, PtzNode
from drivers.onvif.soap_client import SoapClient

MAX_MOVE_S = 120
"""No longer timeout of a move is requested."""


def read_camera_info(client: SoapClient) -> CameraInfo:
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


def _stream_url(client: SoapClient, token: str) -> str:
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


def _snapshot_url(client: SoapClient, token: str) -> str | None:
    try:
        reply = client.call("media", "GetSnapshotUri", ProfileToken=token)
    except DriverError as error:
        if error.kind not in ("unsupported", "protocol"):
            raise
        return None
    url = getattr(reply, "Uri", None)
    return strip_credentials(str(url)) if url else None


def _read_name(client: SoapClient) -> str | None:
    """Return the name in the scope `onvif://www.onvif.org/name/...`: ONVIF Core Specification, 7.3.2.2."""
    scopes = client.call("devicemgmt", "GetScopes") or ()
    return find_name(str(scope.ScopeItem) for scope in scopes)


def _read_topics(client: SoapClient) -> tuple[str, ...]:
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


def read_head_profile(client: SoapClient, token: str | None) -> HeadProfile:
    """Query a profile, or the first one with a head.

    Raises: DriverError, `unsupported` if there is none.
    """
    if not client.has_service("ptz"):
        raise DriverError("unsupported", f"{client.display_name}: it has no head")
    profile = _find_profile(client, token)
    configuration = profile.PTZConfiguration
    return HeadProfile(
        token=str(profile.token),
        node=_find_node(client, str(configuration.NodeToken)),
        max_move_s=_read_max_move_s(client, str(configuration.token)),
    )


def _find_profile(client: SoapClient, token: str | None) -> Any:
    profiles = client.call("media", "GetProfiles") or ()
    with_head = [profile for profile in profiles if profile.PTZConfiguration is not None]
    for profile in with_head:
        if token in (None, profile.token):
            return profile
    available = ", ".join(str(profile.token) for profile in with_head) or "none has a head"
    requested = "profile" if token is None else f"profile {token!r}"
    raise DriverError(
        "unsupported", f"{client.display_name}: no {requested} with a head; there: {available}"
    )


def _find_node(client: SoapClient, token: str) -> PtzNode:
    nodes = client.call("ptz", "GetNodes") or ()
    for node in nodes:
        if node.token == token or len(nodes) == 1:
            return read_node(node)
    raise DriverError(
        "protocol", f"{client.display_name}: the node {token!r} of its profile is missing"
    )


def _read_max_move_s(client: SoapClient, token: str) -> float | None:
    try:
        options = client.call("ptz", "GetConfigurationOptions", ConfigurationToken=token)
    except DriverError as error:
        if error.kind not in ("unsupported", "protocol"):
            raise
        return None
    max_timeout = getattr(getattr(options, "PTZTimeout", None), "Max", None)
    if not isinstance(max_timeout, timedelta):
        return None
    return min(max_timeout.total_seconds(), MAX_MOVE_S)
