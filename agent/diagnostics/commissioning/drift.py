"""Drift: differences between a box's installation record and its present state. Pure."""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from agent.base.message import Message, Text
from agent.base.view_condition import ViewState
from agent.detection.view_monitor import compare_to_reference
from agent.detection.view_shift import MIN_SHIFT, measure_shift
from agent.diagnostics.commissioning.certificate import CameraRecord, InstallationRecord
from drivers.media import Plane

MIN_FOCUS_RATIO = 0.5
"""Ratio of the focus scores. On 22 street clips, about a minute apart, 0.61 or more if nothing was
touched: a crowd has edges of its own. The picture's finest detail is compared in addition.
"""
MAX_LEAN_CHANGE_DEG = 1.5
MAX_POSE_CHANGE_DEG = 0.5
"""A preset that moved by more has been stored again."""

DriftKind = Literal[
    "moved",
    "blurred",
    "blocked",
    "dark",
    "no picture",
    "not compared",
    "masks",
    "scene",
    "model",
    "camera",
    "head",
    "link",
    "clock",
    "configuration",
    "software",
]

DRIFT_TITLES: Mapping[DriftKind, Message] = {
    "moved": Message("moved"),
    "blurred": Message("blurred"),
    "blocked": Message("blocked"),
    "dark": Message("dark"),
    "no picture": Message("no picture"),
    "not compared": Message("not compared"),
    "masks": Message("masks"),
    "scene": Message("scene"),
    "model": Message("model"),
    "camera": Message("camera"),
    "head": Message("head"),
    "link": Message("link"),
    "clock": Message("clock"),
    "configuration": Message("configuration"),
    "software": Message("software"),
}
INFORMATIONAL_KINDS: frozenset[DriftKind] = frozenset({"not compared", "software"})
"""Kinds that are reported, but need no action."""

_DARK = Message("the picture is dark: uncover the lens; at night, compare by day")
_VIEW_DRIFTS: Mapping[ViewState, tuple[DriftKind, Message]] = {
    "moved": ("moved", Message("the camera's aim has changed")),
    "blurred": ("blurred", Message("the picture is out of focus")),
    "blocked": ("blocked", Message("most of the view is covered")),
    "dark": ("dark", _DARK),
    "low_light": ("dark", _DARK),
    "glare": ("not compared", Message("too bright: a quarter of it is white")),
}


class ConfigurationDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. `subject` is the camera or the head."""

    kind: DriftKind
    subject: str | None
    message: Text

    @property
    def is_actionable(self) -> bool:
        """Whether a technician should act on it."""
        return self.kind not in INFORMATIONAL_KINDS


def find_drifts(
    recorded: InstallationRecord,
    current: InstallationRecord,
    recorded_planes: Mapping[str, Plane],
    current_planes: Mapping[str, Plane],
) -> Iterator[ConfigurationDrift]:
    """Yield all differences; the planes are the cameras' pictures."""
    recorded_cameras = {camera.name: camera for camera in recorded.cameras}
    for name in sorted(recorded_cameras.keys() - {camera.name for camera in current.cameras}):
        yield ConfigurationDrift(kind="camera", subject=name, message=Message("removed"))
    for camera in current.cameras:
        old = recorded_cameras.get(camera.name)
        if old is None:
            yield ConfigurationDrift(kind="camera", subject=camera.name, message=Message("added"))
            continue
        yield from find_view_drifts(
            old, camera, recorded_planes.get(camera.name), current_planes.get(camera.name)
        )
        yield from _settings_drifts(old, camera)
    yield from _head_drifts(recorded, current)
    if recorded.connected and not current.connected:
        yield ConfigurationDrift(
            kind="link", subject=None, message=Message("no connection to the broker")
        )
    elif recorded.centre_listening and not current.centre_listening:
        yield ConfigurationDrift(
            kind="link", subject=None, message=Message("no centre is subscribed")
        )
    if recorded.clock_synced and not current.clock_synced:
        yield ConfigurationDrift(
            kind="clock", subject=None, message=Message("no longer synchronised")
        )
    if recorded.config != current.config:
        yield ConfigurationDrift(kind="configuration", subject=None, message=Message("changed"))
    if recorded.version != current.version:
        yield ConfigurationDrift(
            kind="software", subject=None, message=_then_now(recorded.version, current.version)
        )


def find_view_drifts(
    old: CameraRecord, new: CameraRecord, recorded_plane: Plane | None, current_plane: Plane | None
) -> Iterator[ConfigurationDrift]:
    """Yield the differences of one camera's view, of which there is one at most."""
    name = new.name
    if recorded_plane is None:
        yield ConfigurationDrift(
            kind="not compared",
            subject=name,
            message=Message("the record has no picture: {reason}", reason=old.reason or ""),
        )
        return
    if current_plane is None:
        yield ConfigurationDrift(
            kind="no picture", subject=name, message=new.reason or Message("no picture")
        )
        return
    if old.preset != new.preset:
        message = Message(
            "its head is at {now}, was at {then}",
            now=new.preset or Message("no preset"),
            then=old.preset or Message("no preset"),
        )
        yield ConfigurationDrift(kind="not compared", subject=name, message=message)
        return
    if recorded_plane.shape != current_plane.shape:
        message = Message(
            "the picture's size is {now}, was {then}",
            now=f"{current_plane.shape[1]} x {current_plane.shape[0]}",
            then=f"{recorded_plane.shape[1]} x {recorded_plane.shape[0]}",
        )
        yield ConfigurationDrift(kind="camera", subject=name, message=message)
        return
    state = compare_to_reference(current_plane, recorded_plane)
    shift = measure_shift(recorded_plane, current_plane)
    if state in ("good", "moved") and shift is not None and shift.size >= MIN_SHIFT:
        message = Message(
            "the view has moved by {shift_x:+.1%} of its width and {shift_y:+.1%} of its height",
            shift_x=shift.x,
            shift_y=shift.y,
        )
        yield ConfigurationDrift(kind="moved", subject=name, message=message)
    elif state != "good":
        kind, message = _VIEW_DRIFTS[state]
        yield ConfigurationDrift(kind=kind, subject=name, message=message)
    elif _has_lost_focus(old.focus, new.focus):
        message = Message(
            "the focus is {now:.0f}, was {then:.0f}", now=new.focus or 0.0, then=old.focus
        )
        yield ConfigurationDrift(kind="blurred", subject=name, message=message)
    elif _has_lean_changed(old.lean_deg, new.lean_deg):
        message = Message(
            "the lean is {now:+.1f} degrees, was {then:+.1f}", now=new.lean_deg, then=old.lean_deg
        )
        yield ConfigurationDrift(kind="moved", subject=name, message=message)


def _has_lost_focus(old: float | None, new: float | None) -> bool:
    return old is not None and (new or 0.0) < MIN_FOCUS_RATIO * old


def _has_lean_changed(old: float | None, new: float | None) -> bool:
    return old is not None and new is not None and abs(new - old) > MAX_LEAN_CHANGE_DEG


def _settings_drifts(old: CameraRecord, new: CameraRecord) -> Iterator[ConfigurationDrift]:
    if old.masks != new.masks:
        yield ConfigurationDrift(
            kind="masks", subject=new.name, message=_then_now(old.masks, new.masks)
        )
    for preset in sorted(old.scenes.keys() | new.scenes.keys()):
        if old.scenes.get(preset) != new.scenes.get(preset):
            changed = (
                Message("the scene at {preset} was changed, with its masks", preset=preset)
                if preset
                else Message("the scene was changed, with its masks")
            )
            yield ConfigurationDrift(
                kind="scene",
                subject=new.name,
                message=changed,
            )
    if old.model != new.model:
        yield ConfigurationDrift(
            kind="model", subject=new.name, message=Message("the model was replaced")
        )


def _head_drifts(
    recorded: InstallationRecord, current: InstallationRecord
) -> Iterator[ConfigurationDrift]:
    recorded_heads = {head.name: head for head in recorded.heads}
    current_heads = {head.name: head for head in current.heads}
    for name in sorted(recorded_heads.keys() | current_heads.keys()):
        old, new = recorded_heads.get(name), current_heads.get(name)
        if old is None or new is None:
            yield ConfigurationDrift(
                kind="head",
                subject=name,
                message=Message("added") if old is None else Message("removed"),
            )
        elif new.presets is None and old.presets is not None:
            yield ConfigurationDrift(kind="head", subject=name, message=Message("no answer"))
        elif new.presets is not None and old.presets is not None:
            yield from _preset_drifts(name, old.presets, new.presets)


def _preset_drifts(
    name: str,
    old: Mapping[str, tuple[float, float, float]],
    new: Mapping[str, tuple[float, float, float]],
) -> Iterator[ConfigurationDrift]:
    for preset in sorted(old.keys() | new.keys()):
        if preset not in new:
            yield ConfigurationDrift(
                kind="head",
                subject=name,
                message=Message("its preset {preset} is gone", preset=preset),
            )
        elif preset not in old:
            yield ConfigurationDrift(
                kind="head",
                subject=name,
                message=Message("its preset {preset} is new", preset=preset),
            )
        elif any(
            abs(a - b) > MAX_POSE_CHANGE_DEG
            for a, b in zip(old[preset][:2], new[preset][:2], strict=True)
        ):
            yield ConfigurationDrift(
                kind="head",
                subject=name,
                message=Message("its preset {preset} is elsewhere", preset=preset),
            )


def _then_now(then: object, now: object) -> Message:
    return Message("{then} then, {now} now", then=then, now=now)
