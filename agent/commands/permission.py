"""The permission that a command needs: what it does, and to which cameras. Pure."""

from typing import Literal, get_args

import msgspec

Action = Literal[
    "see", "move", "switch", "hold", "export", "configure", "lift_mask", "maintain", "stop"
]
"""Kinds of actions.

see        pictures, live or of the past, and the list of the footage
move       a head
switch     an output, such as a siren
hold       keep footage from being evicted, and release it
export     send footage away from the box
configure  scenes and settings, within what masks and retention already allow
lift_mask  show what a mask hid, or keep footage for longer
maintain   the box itself: self-test, restart, update, log, bundle
stop       end a movement: each valid certificate permits it
"""
ACTIONS: tuple[Action, ...] = get_args(Action)


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of action on `cameras`; on none of them if it concerns the box as a whole."""

    action: Action
    cameras: tuple[str, ...] = ()
