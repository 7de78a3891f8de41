"""What has changed since a box was commissioned. Pure."""

from collections.abc import Iterator, Mapping
from typing import Literal

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.detection.rules.tamper import compare_to_reference
from agent.diagnostics.commissioning.certificate import CameraRecord, InstallationRecord
from drivers.media import Plane

FOCUS_KEPT = 0.5
"""Of the score. On 22 street clips, a minute or so apart, 0.61 and more where nothing was touched: a
crowd has edges of its own. The picture's finest detail is judged beside it.
"""
SHIFT = 0.01
"""Of the picture's width and height. On the same clips 0.002 at the most where nothing moved, and within
0.002 of what was shifted.
"""
SHIFT_SURE = 0.3
"""The peak of the correlation: less where what moves is larger than what stands. On the same clips 0.34
and more, but for one that shows little else than a passing car.
"""
LEAN_DEG = 1.5
POSE_DEG = 0.5
"""A preset that is so far from where it was has been stored anew."""

What = Literal[
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

NOTES: frozenset[What] = frozenset({"not compared", "software"})
"""What is told, and is nothing to mend."""

_VIEWS: dict[str, tuple[What, str]] = {
    "view_moved": ("moved", "it does not look where it did"),
    "view_blurred": ("blurred", "the picture is soft"),
    "view_blocked": ("blocked", "most of the view is covered"),
    "view_dark": ("dark", "the picture is dark: compare it by day"),
}


class ConfigurationDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was. `of` is the camera or the head."""

    what: What
    of: str | None
    said: str

    @property
    def matters(self) -> bool:
        """Whether somebody should do something about it."""
        return self.what not in NOTES


def drifts(
    then: InstallationRecord,
    now: InstallationRecord,
    before: Mapping[str, Plane],
    after: Mapping[str, Plane],
) -> Iterator[ConfigurationDrift]:
    """Everything that has changed; `before` and `after` are the cameras' pictures."""
    was = {camera.name: camera for camera in then.cameras}
    for name in sorted(was.keys() - {camera.name for camera in now.cameras}):
        yield ConfigurationDrift(what="camera", of=name, said="it is gone")
    for camera in now.cameras:
        old = was.get(camera.name)
        if old is None:
            yield ConfigurationDrift(what="camera", of=camera.name, said="it is new")
            continue
        yield from _of_view(old, camera, before.get(camera.name), after.get(camera.name))
        yield from _of_settings(old, camera)
    yield from _of_heads(then, now)
    if then.connected and not now.connected:
        yield ConfigurationDrift(
            what="link", of=None, said="there is no connection with the broker"
        )
    elif then.centre_listens and not now.centre_listens:
        yield ConfigurationDrift(what="link", of=None, said="no centre listens")
    if then.clock_synced and not now.clock_synced:
        yield ConfigurationDrift(what="clock", of=None, said="nobody sets it any more")
    if then.config != now.config:
        yield ConfigurationDrift(what="configuration", of=None, said="it was changed")
    if then.version != now.version:
        yield ConfigurationDrift(
            what="software", of=None, said=f"{then.version} then, {now.version} now"
        )


def _of_view(
    old: CameraRecord, new: CameraRecord, before: Plane | None, after: Plane | None
) -> Iterator[ConfigurationDrift]:
    name = new.name
    if before is None:
        yield ConfigurationDrift(
            what="not compared", of=name, said=f"it showed nothing then: {old.why}"
        )
        return
    if after is None:
        yield ConfigurationDrift(what="no picture", of=name, said=new.why or "it shows nothing")
        return
    if old.preset != new.preset:
        said = f"its head is at {new.preset or 'no preset'}, and was at {old.preset or 'none'}"
        yield ConfigurationDrift(what="not compared", of=name, said=said)
        return
    if before.shape != after.shape:
        said = f"{after.shape[1]} x {after.shape[0]}, it was {before.shape[1]} x {before.shape[0]}"
        yield ConfigurationDrift(
            what="camera", of=name, said=f"its picture has another shape: {said}"
        )
        return
    verdict = compare_to_reference(after, before)
    across, down = _shift(before, after)
    if verdict in (None, "view_moved") and max(abs(across), abs(down)) >= SHIFT:
        said = f"the view has moved by {across:+.1%} of its width and {down:+.1%} of its height"
        yield ConfigurationDrift(what="moved", of=name, said=said)
    elif verdict is not None:
        what, said = _VIEWS[verdict]
        yield ConfigurationDrift(what=what, of=name, said=said)
    elif _has_lost_focus(old.focus, new.focus):
        said = f"the focus is {new.focus or 0:.0f}, it was {old.focus:.0f}"
        yield ConfigurationDrift(what="blurred", of=name, said=said)
    elif _leans(old.lean_deg, new.lean_deg):
        said = f"it leans by {new.lean_deg:+.1f} degrees, it was {old.lean_deg:+.1f}"
        yield ConfigurationDrift(what="moved", of=name, said=said)


def _shift(before: Plane, after: Plane) -> tuple[float, float]:
    """How far the view has moved, to the right and down, in shares of the picture; none where that
    cannot be told. By the places of its edges, which neither light nor weather moves.
    """
    window = cv2.createHanningWindow((before.shape[1], before.shape[0]), cv2.CV_32F)
    (across, down), sure = cv2.phaseCorrelate(_edges(before), _edges(after), window)
    if sure < SHIFT_SURE:
        return 0.0, 0.0
    return across / before.shape[1], down / before.shape[0]


def _edges(plane: Plane) -> npt.NDArray[np.float32]:
    soft = cv2.GaussianBlur(plane, (0, 0), 1.5).astype(np.float32)
    steep = cv2.magnitude(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))
    return np.asarray(np.sqrt(steep), np.float32)


def _has_lost_focus(old: float | None, new: float | None) -> bool:
    return old is not None and (new or 0.0) < FOCUS_KEPT * old


def _leans(old: float | None, new: float | None) -> bool:
    return old is not None and new is not None and abs(new - old) > LEAN_DEG


def _of_settings(old: CameraRecord, new: CameraRecord) -> Iterator[ConfigurationDrift]:
    if old.masks != new.masks:
        yield ConfigurationDrift(
            what="masks", of=new.name, said=f"{old.masks} then, {new.masks} now"
        )
    for preset in sorted(old.scenes.keys() | new.scenes.keys()):
        if old.scenes.get(preset) != new.scenes.get(preset):
            at = f" at {preset}" if preset else ""
            yield ConfigurationDrift(
                what="scene", of=new.name, said=f"its scene{at} was changed, with its masks"
            )
    if old.model != new.model:
        yield ConfigurationDrift(what="model", of=new.name, said="another model looks at it")


def _of_heads(then: InstallationRecord, now: InstallationRecord) -> Iterator[ConfigurationDrift]:
    was = {head.name: head for head in then.heads}
    there = {head.name: head for head in now.heads}
    for name in sorted(was.keys() | there.keys()):
        old, new = was.get(name), there.get(name)
        if old is None or new is None:
            yield ConfigurationDrift(
                what="head", of=name, said="it is new" if old is None else "it is gone"
            )
        elif new.presets is None and old.presets is not None:
            yield ConfigurationDrift(what="head", of=name, said="it does not answer")
        elif new.presets is not None and old.presets is not None:
            yield from _of_presets(name, old.presets, new.presets)


def _of_presets(
    name: str,
    old: Mapping[str, tuple[float, float, float]],
    new: Mapping[str, tuple[float, float, float]],
) -> Iterator[ConfigurationDrift]:
    for preset in sorted(old.keys() | new.keys()):
        if preset not in new:
            yield ConfigurationDrift(what="head", of=name, said=f"its preset {preset} is gone")
        elif preset not in old:
            yield ConfigurationDrift(what="head", of=name, said=f"its preset {preset} is new")
        elif any(
            abs(a - b) > POSE_DEG for a, b in zip(old[preset][:2], new[preset][:2], strict=True)
        ):
            yield ConfigurationDrift(what="head", of=name, said=f"its preset {preset} is elsewhere")
