"""The permission that a command needs: what it does, and to which cameras. Pure."""

import msgspec

from agent.config.control import Action


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of action on `cameras`; on none of them if it concerns the box as a whole."""

    action: Action
    cameras: tuple[str, ...] = ()
