"""How a lane is introduced to those who do not know lanes: part of the wiring."""

from collections.abc import Mapping

from agent.app.actuator_deps import MountedCamera
from agent.app.camera_pipeline import CameraPipeline
from agent.capture.snapshot_command import CameraAccess
from agent.config.configuration import Config
from agent.health.camera_watchdog import WatchedCamera


def camera_access(pipeline: CameraPipeline) -> CameraAccess:
    """Who may see a camera's pictures."""
    owner_policy = pipeline.config.institution
    return CameraAccess(
        viewers=owner_policy.viewers if owner_policy else None,
        has_frames=pipeline.detect_stage is not None,
        is_suspended=lambda: not pipeline.duty.can_detect,
    )


def watched_camera(pipeline: CameraPipeline) -> WatchedCamera:
    """A camera that the rounds look at."""
    return WatchedCamera(
        name=pipeline.name,
        counts=pipeline.counts,
        on_check=pipeline.on_check,
        is_suspended=lambda: pipeline.is_suspended,
    )


def mounted_cameras(
    config: Config,
    pipelines: Mapping[str, CameraPipeline],
    access_by_camera: Mapping[str, CameraAccess],
) -> dict[str, MountedCamera]:
    """The camera on each head, by the head."""
    return {
        head.name: MountedCamera(
            name=pipeline.name,
            access=access_by_camera[pipeline.name],
            on_rest=pipeline.active_scene.update_position,
            is_masked=pipeline.active_scene.has_masks,
            masked_presets=pipeline.masked_presets,
        )
        for head in config.head
        if head.camera and (pipeline := pipelines[head.camera]).active_scene is not None
    }
