"""The commands about footage, and their thread."""

from collections.abc import Sequence

from agent.app.box_context import BoxContext
from agent.app.clips import Clips
from agent.app.feature import Feature
from agent.app.foundation import Archive
from agent.clips.validation_clips_command import ValidationClipsCommandHandler
from agent.detection.span_light import LightSpan
from agent.footage.footage_access import FootageAccess
from agent.footage.footage_worker import FootageWorker
from agent.footage.hold_command import HoldCommandHandler
from agent.footage.list_command import ListCommandHandler
from agent.footage.release_command import ReleaseCommandHandler
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.runtime.supervisor import Order


def make_footage_commands(
    box: BoxContext,
    archive: Archive,
    command_days: float,
    clips: Clips,
    pipelines: Sequence[CameraPipeline],
) -> Feature:
    """Return the commands `list`, `hold`, `release` and `validation_clips`, and the thread that reads the archive.

    A hold by command lasts `command_days`.
    """
    holds = archive.holds
    access = FootageAccess(
        box.footage_dir, archive.custody, box.clock, archive.policies, archive.recorded_cameras
    )
    worker = FootageWorker()
    by_name = {pipeline.name: pipeline for pipeline in pipelines}

    def light_spans(camera: str) -> tuple[LightSpan, ...]:
        return by_name[camera].light_spans() if camera in by_name else ()

    return Feature(
        stages={Order.FOOTAGE: [worker.stage]},
        handlers=(
            ListCommandHandler(access, holds, worker, box.clock),
            HoldCommandHandler(access, holds, worker, command_days),
            ReleaseCommandHandler(access, holds),
            ValidationClipsCommandHandler(
                clips.admission,
                clips.queue,
                clips.replies,
                access,
                worker,
                light_spans,
                box.rng,
            ),
        ),
    )
