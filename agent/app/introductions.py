"""How a lane is introduced to those who do not know lanes: part of the wiring."""

from collections.abc import Mapping

from agent.app.actuator_deps import MountedCamera
from agent.app.camera_pipeline import CameraPipeline
from agent.capture.snapshot_command import CameraAccess
from agent.config.configuration import Config
from agent.health.camera_watchdog import WatchedCamera


def access(lane: CameraPipeline) -> CameraAccess:
    """Who may see a camera's pictures."""
    lent = lane.config.institution
    return CameraAccess(
        viewers=lent.viewers if lent else None,
        watched=lane.detect is not None,
        rests=lambda: not lane.allowance.detects,
    )


def watch_spec(lane: CameraPipeline) -> WatchedCamera:
    """A camera that the rounds look at."""
    return WatchedCamera(
        name=lane.name, counts=lane.counts, on_look=lane.on_check, rests=lambda: lane.is_suspended
    )


def mounted_cameras(
    config: Config, lanes: Mapping[str, CameraPipeline], cameras: Mapping[str, CameraAccess]
) -> dict[str, MountedCamera]:
    """The camera on each head, by the head."""
    return {
        head.name: MountedCamera(
            name=lane.name,
            shown=cameras[lane.name],
            on_rest=lane.viewpoint.rests,
            hidden=lane.viewpoint.masks_anything,
            drawn=lane.masked_presets,
        )
        for head in config.head
        if head.camera and (lane := lanes[head.camera]).viewpoint is not None
    }
