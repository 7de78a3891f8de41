"""How a lane is introduced to those who do not know lanes: part of the wiring."""

from collections.abc import Mapping

from agent.app.actuator_deps import Carried
from agent.app.camera_pipeline import Lane
from agent.capture.snapshot_command import Shown
from agent.config.configuration import Config
from agent.health.camera_watchdog import Watched


def shown(lane: Lane) -> Shown:
    """Who may see a camera's pictures."""
    lent = lane.config.institution
    return Shown(
        viewers=lent.viewers if lent else None,
        watched=lane.detect is not None,
        rests=lambda: not lane.allowance.detects,
    )


def watched(lane: Lane) -> Watched:
    """A camera that the rounds look at."""
    return Watched(
        name=lane.name, counts=lane.counts, on_look=lane.on_look, rests=lambda: lane.rests
    )


def carried(
    config: Config, lanes: Mapping[str, Lane], cameras: Mapping[str, Shown]
) -> dict[str, Carried]:
    """The camera on each head, by the head."""
    return {
        head.name: Carried(
            name=lane.name,
            shown=cameras[lane.name],
            on_rest=lane.viewpoint.rests,
            hidden=lane.viewpoint.masks_anything,
            drawn=lane.drawn_presets,
        )
        for head in config.head
        if head.camera and (lane := lanes[head.camera]).viewpoint is not None
    }
