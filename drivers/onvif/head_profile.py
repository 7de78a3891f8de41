"""Query a camera's head: the media profile to move it through, and its PTZ node. For the child."""

from datetime import timedelta
from typing import Any

from drivers.errors import DriverError
from drivers.onvif.coordinate_spaces import read_node
from drivers.onvif.operations import HeadProfile, PtzNode
from drivers.onvif.soap_client import SoapClient

MAX_MOVE_S = 120
"""No longer timeout of a move is requested."""


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
