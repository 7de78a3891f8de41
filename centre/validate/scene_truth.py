"""The scene of a labelled clip: its line alone, or that of the scene of a camera whose counts are to be proved. Pure."""

import math

import msgspec

from agent.base.errors import UserError
from agent.detection.scene import Scene, SceneLine
from centre.validate.crossing_truth import ClipTruth
from drivers.media import Point

MAX_LINE_OFFSET = 0.005
"""Of each end of a labelled line from that of the scene, in picture widths and heights."""


def labelled_scene(truth: ClipTruth) -> Scene:
    """Return a scene with the labelled line alone."""
    x1, y1, x2, y2 = truth.line
    line = SceneLine(name="line", start=Point(x1, y1), to=Point(x2, y2))
    return Scene(line=(_with_directions(line),))


def scene_with_line(name: str, truth: ClipTruth, scene: Scene) -> Scene:
    """Return a camera's scene with the labelled line as its only one, and no zone. Raises: UserError if it has no such line."""
    x1, y1, x2, y2 = truth.line
    for line in scene.line:
        ends = ((line.start, Point(x1, y1)), (line.to, Point(x2, y2)))
        if all(math.dist((a.x, a.y), (b.x, b.y)) <= MAX_LINE_OFFSET for a, b in ends):
            return msgspec.structs.replace(scene, line=(_with_directions(line),), zone=(), flow=())
    names = ", ".join(repr(line.name) for line in scene.line) or "none"
    raise UserError(
        f"{name}.line = {list(truth.line)}: no line of the scene; allowed: one of its lines, in its direction: {names}"
    )


def of_counted_classes(truth: ClipTruth, scene: Scene) -> ClipTruth:
    """Return the labels without the classes that the scene's line does not count."""
    labels = scene.line[0].labels
    return msgspec.structs.replace(
        truth, crossings=tuple(one for one in truth.crossings if one.label in labels)
    )


def _with_directions(line: SceneLine) -> SceneLine:
    """Return a line whose crossings are events with the names of directions that labels have."""
    return msgspec.structs.replace(line, events=True, forward_name="A->B", backward_name="B->A")
