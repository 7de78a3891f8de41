"""Query a camera's head: the media profile to move it through, and its PTZ node."""

from datetime import timedelta
from typing import Any

import msgspec

from drivers.errors import DriverError
from drivers.onvif.client import OnvifClient
from drivers.onvif.coordinate_spaces import PtzNode, read_node

MAX_MOVE_S = 120
"""No longer timeout of a move is requested."""


class HeadProfile(msgspec.Struct, frozen=True, kw_only=True):
    """`token` is of the media profile. `max_move` is the longest timeout of a move, None if unknown."""

    token: str
    node: PtzNode
    max_move: timedelta | None


def read_head_profile(client: OnvifClient, token: str | None) -> HeadProfile:
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
        max_move=_read_max_move(client, str(configuration.token)),
    )


def _find_profile(client: OnvifClient, token: str | None) -> Any:
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


def _find_node(client: OnvifClient, token: str) -> PtzNode:
    nodes = client.call("ptz", "GetNodes") or ()
    for node in nodes:
        if node.token == token or len(nodes) == 1:
            return read_node(node)
    raise DriverError(
        "protocol", f"{client.display_name}: the node {token!r} of its profile is missing"
    )


def _read_max_move(client: OnvifClient, token: str) -> timedelta | None:
    try:
        options = client.call("ptz", "GetConfigurationOptions", ConfigurationToken=token)
    except DriverError as error:
        if error.kind not in ("unsupported", "protocol"):
            raise
        return None
    max_timeout = getattr(getattr(options, "PTZTimeout", None), "Max", None)
    if not isinstance(max_timeout, timedelta):
        return None
    return min(max_timeout, timedelta(seconds=MAX_MOVE_S))
