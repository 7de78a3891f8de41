"""Permissions of the person who ordered an incident, by the role of their certificate. Pure."""

from collections.abc import Callable
from typing import TypeAlias

from agent.commands.requester import Requester
from agent.config.control import Action, ControlConfig

Permits: TypeAlias = Callable[[Requester, Action, str | None], bool]
"""Returns whether a requester may do an action with a camera, or with the box if that is None."""


def permits_by(control: ControlConfig) -> Permits:
    """Return the permissions of a configuration. A requester without a certificate may do all: a bench."""

    def permits(requester: Requester, action: Action, camera: str | None) -> bool:
        role = requester.certificate_role
        cameras = () if camera is None else (camera,)
        return role is None or control.permits(role, action, cameras)

    return permits
