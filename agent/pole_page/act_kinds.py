"""The acts of the page at the pole, as its web process has to know them: their kinds and bounds."""

from collections.abc import Mapping
from typing import Literal

import msgspec

MAX_PHOTO_UPLOAD_BYTES = 12_000_000
MAX_UPDATE_UPLOAD_BYTES = 2_000_000_000


class ActKind(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of an act, and its bounds.

    json     one value
    lines    one value after the other
    picture  a JPEG and its readings
    file     an open file to download

    With `upload_max_bytes` the request brings a file of at most that size. An act that `is_urgent` waits neither for
    other acts nor for the rate of its session.
    """

    kind: Literal["json", "lines", "picture", "file"] = "json"
    upload_max_bytes: int = 0
    timeout_s: float = 30.0
    is_urgent: bool = False


_AGENT_COMMAND_S = 45.0
"""More than an agent's answer may take: then the act has its own words for it."""
_CHECK_S = 120.0
_LONG_S = 300.0

ACT_KINDS: Mapping[str, ActKind] = {
    "session": ActKind(),
    "status": ActKind(),
    "check": ActKind(kind="lines", timeout_s=_CHECK_S),
    "net": ActKind(kind="lines", timeout_s=_CHECK_S),
    "mqtt_ping": ActKind(kind="lines", timeout_s=_CHECK_S),
    "devices": ActKind(kind="lines", timeout_s=_CHECK_S),
    "faults": ActKind(),
    "fault": ActKind(),
    "picture": ActKind(kind="picture"),
    "focus_reset": ActKind(),
    "aim": ActKind(),
    "aim_reference": ActKind(kind="picture"),
    "day_night": ActKind(kind="lines", timeout_s=_CHECK_S),
    "heads": ActKind(timeout_s=_AGENT_COMMAND_S),
    "jog": ActKind(timeout_s=_AGENT_COMMAND_S),
    "head_stop": ActKind(timeout_s=_AGENT_COMMAND_S, is_urgent=True),
    "goto": ActKind(timeout_s=_AGENT_COMMAND_S),
    "preset_set": ActKind(timeout_s=_AGENT_COMMAND_S),
    "preset_delete": ActKind(timeout_s=_AGENT_COMMAND_S),
    "tour_start": ActKind(timeout_s=_AGENT_COMMAND_S),
    "tour_stop": ActKind(timeout_s=_AGENT_COMMAND_S),
    "aux": ActKind(timeout_s=_AGENT_COMMAND_S),
    "scene": ActKind(),
    "scene_check": ActKind(timeout_s=_AGENT_COMMAND_S),
    "scene_try": ActKind(timeout_s=_AGENT_COMMAND_S),
    "trial": ActKind(),
    "trial_confirm": ActKind(timeout_s=_AGENT_COMMAND_S),
    "trial_undo": ActKind(timeout_s=_AGENT_COMMAND_S),
    "commission_begin": ActKind(timeout_s=_LONG_S),
    "commission_read": ActKind(),
    "commission_keep": ActKind(),
    "commission_picture": ActKind(kind="picture"),
    "commission_photo": ActKind(upload_max_bytes=MAX_PHOTO_UPLOAD_BYTES, timeout_s=_CHECK_S),
    "commission_photo_read": ActKind(kind="picture"),
    "commission_photo_remove": ActKind(),
    "commission_sign": ActKind(),
    "commission_compare": ActKind(timeout_s=_LONG_S),
    "certificate": ActKind(),
    "certificate_photo": ActKind(kind="picture"),
    "bundle": ActKind(kind="file", timeout_s=_LONG_S),
    "update_status": ActKind(),
    "update_slots": ActKind(),
    "update_install": ActKind(upload_max_bytes=MAX_UPDATE_UPLOAD_BYTES, timeout_s=3600.0),
    "update_rollback": ActKind(),
    "update_good": ActKind(),
    "reboot": ActKind(),
}
