"""What a camera says of its head when it is asked: the profile to turn it through, and its node."""

from datetime import timedelta
from typing import Any

import msgspec

from drivers.errors import DriverError
from drivers.onvif.client import OnvifClient
from drivers.onvif.coordinate_spaces import Node, read_node

LONGEST_MOVE_S = 120
"""No longer time-out of a move is asked for."""


class HeadProfile(msgspec.Struct, frozen=True, kw_only=True):
    """`token` is of the media profile. `longest_move` is the longest time-out that a move may have,
    None where the camera does not tell.
    """

    token: str
    node: Node
    longest_move: timedelta | None


def ask(client: OnvifClient, token: str | None) -> HeadProfile:
    """Ask for this profile, or for the first with a head. Raises DriverError, `unsupported` where
    there is none.
    """
    if not client.has("ptz"):
        raise DriverError("unsupported", f"{client.what}: it has no head")
    profile = _profile(client, token)
    configuration = profile.PTZConfiguration
    return HeadProfile(
        token=str(profile.token),
        node=_node(client, str(configuration.NodeToken)),
        longest_move=_longest_move(client, str(configuration.token)),
    )


def _profile(client: OnvifClient, token: str | None) -> Any:
    profiles = client.call("media", "GetProfiles") or ()
    able = [profile for profile in profiles if profile.PTZConfiguration is not None]
    for profile in able:
        if token in (None, profile.token):
            return profile
    there = ", ".join(str(profile.token) for profile in able) or "none has a head"
    wanted = "profile" if token is None else f"profile {token!r}"
    raise DriverError("unsupported", f"{client.what}: no {wanted} with a head; there: {there}")


def _node(client: OnvifClient, token: str) -> Node:
    nodes = client.call("ptz", "GetNodes") or ()
    for node in nodes:
        if node.token == token or len(nodes) == 1:
            return read_node(node)
    raise DriverError("protocol", f"{client.what}: the node {token!r} of its profile is missing")


def _longest_move(client: OnvifClient, token: str) -> timedelta | None:
    try:
        told = client.call("ptz", "GetConfigurationOptions", ConfigurationToken=token)
    except DriverError as error:
        if error.kind not in ("unsupported", "protocol"):
            raise
        return None
    most = getattr(getattr(told, "PTZTimeout", None), "Max", None)
    if not isinstance(most, timedelta):
        return None
    return min(most, timedelta(seconds=LONGEST_MOVE_S))
