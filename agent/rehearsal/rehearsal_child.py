"""The child that rehearses a configuration on the footage of one camera.

It decodes footage, which a camera could have forged, and runs a model that the centre has sent: so it has no network, writes no
file, and reads the footage, its receipts and masks, the scenes and the models alone.
"""

import random
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import cv2

from agent.base.clock import SystemClock, unix_ns
from agent.base.errors import UserError
from agent.base.uuid7 import uuid7_factory
from agent.config.names import is_card_path
from agent.config.recording import FOOTAGE_DIR
from agent.detection.model_card import ModelRefused
from agent.detection.model_child import PROCESSOR_PATHS, silence_runtime
from agent.recording.archive import FootageArchive
from agent.recording.mask_store import MASKS_DIR
from agent.recording.owner_policy import POLICIES_DIR
from agent.rehearsal.comparison import compare
from agent.rehearsal.evaluation import Evaluation
from agent.rehearsal.recorded_pictures import RecordedPictures
from agent.rehearsal.rehearsal_task import Evaluated, Evaluating, Listed, RehearsalTask, Rejected
from agent.reporting.rehearsal import MAX_REASON_CHARS, RehearsedCamera
from agent.runtime.paced_child import AgentGone, PacedChild
from drivers.child import messages
from drivers.child.confinement import Confinement, confine
from drivers.child.main import ChildEnd
from drivers.errors import DriverError

WORK_RATIO = 0.25
"""The budget: this share of one core on average, and of the time. Measured by `python -m bench rehearsal`."""
MAX_MEMORY_BYTES = 1_073_741_824
_READABLE_FOLDERS = (FOOTAGE_DIR, "custody", MASKS_DIR, POLICIES_DIR)
_BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"
_CODE_FOLDERS = tuple(str(Path(file).parents[1]) for file in (__file__, messages.__file__))
"""Shipped models and their cards are files of `agent`, and some modules are imported when they are needed."""
_REPORT_INTERVAL_S = 1.0
"""Each report waits for the agent, which so pauses the child."""


def confinement(task: RehearsalTask) -> Confinement:
    """Return the limits of the child."""
    sides = (task.present, task.proposed)
    folders = [str(Path(task.state_dir) / name) for name in _READABLE_FOLDERS]
    folders += [str(Path(side.model).parent) for side in sides if is_card_path(side.model)]
    scenes = [side.scene for side in sides if side.scene is not None]
    return Confinement(
        memory_bytes=MAX_MEMORY_BYTES,
        readable_files=(*folders, *scenes, *PROCESSOR_PATHS, _BOOT_ID_FILE, *_CODE_FOLDERS),
    )


def run(end: ChildEnd) -> None:
    """Rehearse on one camera. The last message has the outcome."""
    task = messages.from_raw(end.settings, RehearsalTask)
    cv2.setNumThreads(1)
    silence_runtime()
    confine(confinement(task), end)
    child = PacedChild(end, WORK_RATIO)
    try:
        child.report(_rehearse(task, child))
    except AgentGone:
        return


def _rehearse(task: RehearsalTask, child: PacedChild) -> Evaluated | Rejected:
    """Raises: AgentGone."""
    try:
        pictures = _find_pictures(task)
        if pictures.is_empty:
            reason = next(iter(pictures.left_out.values()), "nothing was recorded")
            return Rejected(reason=f"no footage from {task.begin} to {task.end}: {reason}")
        child.rest()
        child.report(Listed())
        return Evaluated(camera=_evaluate(task, pictures, child))
    except (UserError, ModelRefused, DriverError, OSError) as error:
        return Rejected(reason=str(error)[:MAX_REASON_CHARS])


def _find_pictures(task: RehearsalTask) -> RecordedPictures:
    """Raises: UserError if the viewer may not see the camera; OSError."""
    state_dir = Path(task.state_dir)
    archive = FootageArchive(state_dir, state_dir / FOOTAGE_DIR, task.box, SystemClock(), {})
    begin, end = datetime.fromisoformat(task.begin), datetime.fromisoformat(task.end)
    footage = archive.list_span(task.camera, begin, end, task.viewer, task.public_key)
    masks_dir = state_dir / MASKS_DIR
    return RecordedPictures(
        footage.exportable, footage.excluded, masks_dir, unix_ns(begin), unix_ns(end)
    )


def _evaluate(
    task: RehearsalTask, pictures: RecordedPictures, child: PacedChild
) -> RehearsedCamera:
    """Raises: AgentGone, UserError, ModelRefused."""
    new_id = uuid7_factory(lambda t_ns: t_ns, random.Random())  # noqa: S311 - names, no secrets
    time_zone = ZoneInfo(task.time_zone)
    present, proposed = (
        Evaluation(task.camera, side, time_zone, new_id) for side in (task.present, task.proposed)
    )
    child.rest()
    next_report_s = 0.0

    def on_work(ratio: float) -> None:
        nonlocal next_report_s
        child.rest()
        if time.monotonic() >= next_report_s:
            next_report_s = time.monotonic() + _REPORT_INTERVAL_S
            child.report(Evaluating(ratio=ratio))

    def is_wanted(t_ns: int) -> bool:
        return present.is_wanted(t_ns) or proposed.is_wanted(t_ns)

    for frame in pictures.read(is_wanted, on_work):
        for evaluation in (present, proposed):
            evaluation.evaluate(frame)
            child.rest()
    compared = compare(present.findings, proposed.findings)
    return RehearsedCamera(
        camera=task.camera,
        covered_s=round(pictures.covered_s, 1),
        present=present.cost(),
        proposed=proposed.cost(),
        decode_cpu_s=round(pictures.cpu_ns / 1e9, 3),
        lines=compared.lines,
        events=dict(compared.events),
        same=compared.same,
        different=compared.different,
        differences=compared.differences,
        left_out=pictures.named_left_out(),
    )
