"""The keys of the configuration that the centre may set: a strict list. Pure.

A key decides for the keys below it, unless a longer one does. Each key of the configuration is decided
(tests/pure/test_desired_keys.py), so a new one has to be. `[]` is any entry of a list of tables, by its name.
"""

CENTRE_KEYS = frozenset(
    {
        "camera[].detect.enabled",
        "camera[].detect.fps",
        "camera[].detect.model",
        "camera[].detect.snapshots",
        "camera[].record",
        "camera[].transcode",
        "head[].home",
        "head[].home_after_s",
        "head[].sweep",
        "head[].time_zone",
        "head[].tour",
        "health.interval_s",
        "hold",
        "record",
    }
)
"""Keys that a version of the centre may set, apart from those of a list's entries."""

BOX_KEYS = {
    "box": "the identity of the box",
    "broker": "the way back to the centre",
    "camera[].driver": "an address of a driver",
    "camera[].name": "footage and receipts have this name",
    "camera[].options": "an address of a driver",
    "camera[].detect_options": "an address of a driver",
    "camera[].detect.accelerator": "the hardware of the box",
    "camera[].detect.scene": "a file of the box; scenes are sent as texts",
    "camera[].detect.scenes": "a file of the box; scenes are sent as texts",
    "camera[].onvif": "an address of a driver",
    "camera[].institution": "the terms of the camera's owner",
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
