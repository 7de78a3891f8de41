"""The commands about footage, and their thread."""

from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.app.foundation import Archive
from agent.footage.footage_access import FootageAccess
from agent.footage.footage_worker import FootageWorker
from agent.footage.hold_command import HoldCommandHandler
from agent.footage.list_command import ListCommandHandler
from agent.footage.release_command import ReleaseCommandHandler
from agent.runtime.supervisor import Order


def make_footage_commands(box: BoxContext, archive: Archive, command_days: float) -> Feature:
    """Return the commands `list`, `hold` and `release`, and the thread that reads the archive.

    A hold by command lasts `command_days`.
    """
    holds = archive.holds
    access = FootageAccess(
        box.footage_dir, archive.custody, box.clock, archive.policies, archive.recorded_cameras
    )
    worker = FootageWorker()
    return Feature(
        stages={Order.FOOTAGE: [worker.stage]},
        handlers=(
            ListCommandHandler(access, holds, worker, box.clock),
            HoldCommandHandler(access, holds, worker, command_days),
            ReleaseCommandHandler(access, holds),
        ),
    )
