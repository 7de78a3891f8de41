"""`[control]` and `[[control.permission]]`: the authorities of commands, and the permissions of roles. Pure."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal, get_args

import msgspec

from agent.base.control_role import ControlRole
from agent.base.message import Message, Text
from agent.config.broker import BrokerConfig
from agent.config.names import Name

GrantedAction = Literal[
    "see", "move", "switch", "hold", "export", "configure", "lift_mask", "maintain"
]
"""Kinds of actions that a role may be permitted.

see        pictures, live or of the past, and the list of the footage
move       a head
switch     an output, such as a siren
hold       keep footage from being evicted, and release it
export     send footage away from the box
configure  scenes and settings; irreversible changes by two people
lift_mask  show what a mask hid, or keep footage for longer: by two people
maintain   the box itself: self-test, restart, update, log, bundle
"""
Action = Literal[GrantedAction, "stop"]
"""`stop` ends a movement: each valid certificate permits it."""
ACTIONS: tuple[Action, ...] = get_args(Action)
TWO_PERSON_ACTIONS: frozenset[Action] = frozenset({"lift_mask"})
"""Two people have to sign for these."""

DEFAULT_ACTIONS: Mapping[ControlRole, tuple[GrantedAction, ...]] = {
    "viewer": ("see",),
    "operator": ("see", "move", "switch", "hold"),
    "incident": ("see", "move", "switch", "hold"),
    "supervisor": ("see", "move", "switch", "hold", "export", "configure", "lift_mask"),
    "maintainer": ("maintain",),
    "centre": (),
}
"""Permitted on all cameras, unless the configuration has entries for the role."""


class RolePermission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[control.permission]]`: actions of a role, by default on all cameras and the box itself. With `cameras` only
    on those. The entries of a role replace its default.
    """

    role: ControlRole
    actions: Annotated[tuple[GrantedAction, ...], msgspec.Meta(max_length=8)]
    cameras: Annotated[tuple[Name, ...], msgspec.Meta(max_length=16)] | None = None


class ControlConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[control]`: `ca` is a file with the certificates of the authorities whose people and systems command this box.
    Without it commands and acknowledgements are not authenticated.
    """

    ca: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    permission: Annotated[tuple[RolePermission, ...], msgspec.Meta(max_length=64)] = ()

    def permits(self, role: ControlRole, action: Action, cameras: Collection[str]) -> bool:
        """Return whether a role may do something with all of `cameras`, or with the box if there are none."""
        if action == "stop":
            return True
        entries = [entry for entry in self.permission if entry.role == role]
        if not entries:
            return action in DEFAULT_ACTIONS[role]
        granting = [entry for entry in entries if action in entry.actions]
        if any(entry.cameras is None for entry in granting):
            return True
        named = {camera for entry in granting for camera in entry.cameras or ()}
        return bool(cameras) and named.issuperset(cameras)


def iter_conflicts(
    control: ControlConfig, broker: BrokerConfig, cameras: Collection[str], context: str
) -> Iterator[Text]:
    """Yield a line for each key that contradicts another one or names no camera."""
    if control.ca is None and control.permission:
        yield (
            Message(
                "{label}: has no use without control.ca, because roles are then not authenticated",
                label=f"{context}: control.permission",
            )
        )
    if control.ca is not None and broker.ack == "broker":
        yield (
            Message(
                "{label}: a broker that is not trusted would delete messages; allowed with control.ca: 'auto'",
                label=f"{context}: broker.ack = 'broker'",
            )
        )
    for index, entry in enumerate(control.permission):
        for camera in entry.cameras or ():
            if camera not in cameras:
                yield (
                    Message(
                        "{label}: no such camera; allowed: {allowed}",
                        label=f"{context}: control.permission[{index}].cameras: {camera!r}",
                        allowed=", ".join(cameras),
                    )
                )
