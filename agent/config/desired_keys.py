"""The keys of the configuration that the centre may set, and the changes of each that two people sign. Pure.

One table: a key that is not in it is the box's own, and a change that is in it destroys, uncovers, blinds or wears out
something that no later version brings back. A key decides for the keys below it, unless a longer one does. Each key of the
configuration is decided (tests/pure/test_desired_config.py), so a new one has to be. `[]` is any entry of a list of tables, by
its name.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

Harm: TypeAlias = Literal["uncovers", "destroys", "blinds", "wears out"]
"""The effect of a change that two people sign.

uncovers   shows what was hidden, or keeps footage for longer
destroys   footage goes, goes earlier, is not held or not recorded
blinds     hides the picture, or detects nothing on it
wears out  moves a head without rest, or writes to the card without rest
"""
Change: TypeAlias = Literal[
    "off",
    "raised",
    "lowered",
    "entry added",
    "entry removed",
    "shorter dwell",
    "kept longer",
    "uncovered",
    "hidden",
    "emptied",
    "moved",
    "removed",
]
"""The kinds of changes; `agent.config_change.second_signature` finds them."""


class TwoPersonChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a key that two people sign. With `below` only to a value under it, in the key's unit."""

    change: Change
    harm: Harm
    below: float | None = None


_KEPT_LONGER = TwoPersonChange(change="kept longer", harm="uncovers")
_UNCOVERED = TwoPersonChange(change="uncovered", harm="uncovers")
_LOWERED = TwoPersonChange(change="lowered", harm="destroys")
_LONGER_OR_SHORTER = (TwoPersonChange(change="raised", harm="uncovers"), _LOWERED)

MAX_HIDDEN_SHARE = 0.5
"""Share of a picture that one person may have masks and ignored areas cover."""

CENTRE_KEYS: Mapping[str, tuple[TwoPersonChange, ...]] = {
    "camera[].detect.enabled": (TwoPersonChange(change="off", harm="blinds"),),
    "camera[].detect.fps": (TwoPersonChange(change="lowered", harm="blinds", below=1.0),),
    "camera[].detect.model": (),
    "camera[].detect.snapshots": (),
    "camera[].lens": (),
    "camera[].record": (_KEPT_LONGER, TwoPersonChange(change="off", harm="destroys")),
    "camera[].transcode": (_UNCOVERED,),
    "head[].home": (),
    "head[].home_after_s": (),
    "head[].sweep": (),
    "head[].tour": (TwoPersonChange(change="shorter dwell", harm="wears out", below=10.0),),
    "health.interval_s": (),
    "hold.command_days": _LONGER_OR_SHORTER,
    "hold.event_days": _LONGER_OR_SHORTER,
    "hold.kinds": (
        TwoPersonChange(change="entry added", harm="uncovers"),
        TwoPersonChange(change="entry removed", harm="destroys"),
    ),
    "hold.post_s": _LONGER_OR_SHORTER,
    "hold.pre_s": _LONGER_OR_SHORTER,
    "record.box_max_bytes": (_LOWERED,),
    "record.flush_s": (),
    "record.max_age_h": (_KEPT_LONGER, _LOWERED),
    "record.max_bytes": (_LOWERED,),
    "record.reserve_bytes": (TwoPersonChange(change="raised", harm="destroys"),),
    "record.segment_s": (TwoPersonChange(change="lowered", harm="wears out", below=5.0),),
}
"""Keys that a version of the centre may set, apart from those of a list's entries."""

CENTRE_PARTS: Mapping[str, tuple[TwoPersonChange, ...]] = {
    "scenes": (
        _UNCOVERED,
        TwoPersonChange(change="hidden", harm="blinds"),
        TwoPersonChange(change="emptied", harm="blinds"),
    ),
    "presets": (
        TwoPersonChange(change="moved", harm="uncovers"),
        TwoPersonChange(change="removed", harm="uncovers"),
    ),
    "models": (),
    "proofs": (),
}
"""The other parts of a version."""

BOX_KEYS = {
    "box": "the identity of the box",
    "broker": "the way back to the centre",
    "camera[].driver": "an address of a driver",
    "camera[].name": "footage and receipts have this name",
    # Of a view they are settable: see desired_config.
    "camera[].options": "an address of a driver",
    "camera[].detect_options": "an address of a driver",
    "camera[].detect.accelerator": "the hardware of the box",
    "camera[].detect.scene": "a file of the box; scenes are sent as texts",
    "camera[].detect.scenes": "a file of the box; scenes are sent as texts",
    "camera[].onvif": "an address of a driver",
    "camera[].institution": "the terms of the camera's owner",
    "camera[].projection": "detection on the camera's own picture ends with it",
    "console": "the technician's way in",
    "control": "the authorities of commands, and their permissions",
    "declaration": "the statements of the controller",
    "gpio": "an address of a driver",
    "head[].brake_s": "mechanics of the head",
    "head[].camera": "mechanics of the head",
    "head[].dead_zone": "mechanics of the head",
    "head[].driver": "an address of a driver",
    "head[].forbidden": "the limits of the head",
    "head[].fov_deg": "mechanics of the head: masks are expanded by it",
    "head[].lease_s": "the limits of the head",
    "head[].max_move_s": "the limits of the head",
    "head[].name": "presets have this name",
    "head[].options": "an address of a driver",
    "head[].rated_life": "mechanics of the head",
    "head[].settle_s": "mechanics of the head: masks turn by it",
    "head[].sun": "the limits of the head",
    "head[].tracking": "the limits of the head",
    "link": "the hosts that footage may be sent to, and the budget of the link",
    "multi_camera_tracking": "the public declaration states which cameras are joined",
    "outbox": "the disk of the box",
    "pin": "the wiring of the box",
    "record.recipient": "keys",
    "renewal": "keys",
    "update": "the way to new software",
}
"""Keys that only the box's own file sets, and the reason for each."""

LISTS_BY_NAME = ("camera", "head")
"""Lists of tables whose entries are set by their names."""


def is_settable(key: str) -> bool:
    """Return whether the centre may set a key, such as `camera[].detect.fps`."""
    return max(_deciding(key), key=len, default="") in CENTRE_KEYS


def refusal_reason(key: str) -> str | None:
    """Return why the centre may not set a key, or None if there is no such key."""
    return BOX_KEYS.get(max(_deciding(key), key=len, default=""))


def _deciding(key: str) -> list[str]:
    return [
        decided
        for decided in (*CENTRE_KEYS, *BOX_KEYS)
        if key == decided or key.startswith((f"{decided}.", f"{decided}["))
    ]
