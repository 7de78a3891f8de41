"""Check that the booted system is good: cameras send frames, footage grows, the broker answers.

Run once after a boot by `vigie boot-good`. The evidence is the health file, which the agent replaces each
second, and the footage on the disk.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from agent.base.clock import Clock
from agent.health.health_file import LiveHealth
from agent.update.errors import UpdateError
from agent.update.rauc import PROGRAM, RaucClient

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
MAX_FRAME_AGE_S = 5.0
"""A camera whose last frame is older counts as sending none."""
MAX_FOOTAGE_STALL_S = 15.0
"""Footage that has not grown for longer counts as stalled."""
CAMERA_OPEN_TIMEOUT_S = 60.0
"""Time for a camera to open. One that is closed after it is cut off or broken, which is no fault of the
new system: it is logged, and no longer waited for."""
RAUC_CONFIG_FILE = Path("/etc/rauc/system.conf")
MIN_RAUC_TIMEOUT_S = 60.0
"""RAUC starts two programs of Vigie, which takes its time on a busy board."""


class ExpectedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """A configured camera, and whether it records."""

    name: str
    record: bool


class BootSample(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence at one time. `newest_files` has the name and size of each camera's newest file."""

    t_ns: int
    health: LiveHealth | None
    newest_files: Mapping[str, str]


class BootCheck:
    """Evaluates successive samples. Pure."""

    def __init__(self, cameras: Sequence[ExpectedCamera], started_ns: int) -> None:
        self._cameras = tuple(cameras)
        self._started_ns = started_ns
        self._newest_files: dict[str, str] = {}
        self._last_growth_ns: dict[str, int] = {}

    def unmet_conditions(self, sample: BootSample) -> tuple[str, ...]:
        """Return a sentence for each condition that is not met yet."""
        self._update_growth(sample)
        if sample.health is None:
            return ("the agent has reported no health",)
        if sample.health.is_stale(sample.t_ns):
            return (
                f"the agent has reported no health for {sample.health.age_s(sample.t_ns):.0f} s",
            )
        report = sample.health.report
        health_by_name = {camera.name: camera for camera in report.cameras}
        problems: list[str] = []
        open_count = 0
        for camera in self._cameras:
            health = health_by_name.get(camera.name)
            if health is None or not health.open:
                if self._elapsed_s(sample) <= CAMERA_OPEN_TIMEOUT_S:
                    problems.append(f"camera {camera.name}: not open yet")
                continue
            open_count += 1
            if health.age_s is None or health.age_s > MAX_FRAME_AGE_S:
                problems.append(f"camera {camera.name}: sends no frames")
            if camera.record and not self._is_footage_growing(camera.name, sample.t_ns):
                problems.append(f"camera {camera.name}: its footage does not grow")
        if self._cameras and not open_count and not problems:
            problems.append("no camera is open")
        if not report.outbox.connected:
            problems.append("not connected to the broker")
        return tuple(problems)

    def closed_cameras(self, sample: BootSample) -> tuple[str, ...]:
        """Return the cameras that are not open."""
        cameras = sample.health.report.cameras if sample.health else ()
        open_names = {camera.name for camera in cameras if camera.open}
        return tuple(camera.name for camera in self._cameras if camera.name not in open_names)

    def _elapsed_s(self, sample: BootSample) -> float:
        return (sample.t_ns - self._started_ns) / 1e9

    def _is_footage_growing(self, camera: str, t_ns: int) -> bool:
        last_growth_ns = self._last_growth_ns.get(camera)
        return last_growth_ns is not None and (t_ns - last_growth_ns) / 1e9 <= MAX_FOOTAGE_STALL_S

    def _update_growth(self, sample: BootSample) -> None:
        for camera, newest in sample.newest_files.items():
            previous = self._newest_files.get(camera)
            if previous and not newest:
                continue
            # Files from before the first sample are no growth.
            if previous is not None and newest != previous:
                self._last_growth_ns[camera] = sample.t_ns
            self._newest_files[camera] = newest


def describe_newest_file(folder: Path) -> str:
    """Return name and size of a camera's newest file, or "" if there is none; both change as footage grows."""
    try:
        files = [file for file in folder.iterdir() if ".mp4" in file.name]
        newest = max(files, key=lambda file: file.name, default=None)
        return "" if newest is None else f"{newest.name} {newest.stat().st_size}"
    except OSError:
        # Closed and renamed meanwhile, or missing: the next sample shows which.
        return ""


def wait_until_good(
    boot_check: BootCheck,
    take_sample: Callable[[], BootSample],
    clock: Clock,
    timeout_s: float,
    stopping: threading.Event,
) -> tuple[str, ...]:
    """Wait until all conditions are met, and return those unmet at the timeout."""
    deadline_ns = clock.boottime_ns() + int(timeout_s * 1e9)
    reported: tuple[str, ...] = ()
    while True:
        sample = take_sample()
        unmet = boot_check.unmet_conditions(sample)
        if unmet != reported and unmet:
            log.info("not good yet: %s", "; ".join(unmet))
        reported = unmet
        if not unmet:
            for camera in boot_check.closed_cameras(sample):
                log.warning("camera %s: not open; ignored", camera)
            return ()
        if sample.t_ns >= deadline_ns or stopping.wait(CHECK_INTERVAL_S):
            return unmet


def mark_with_retry(
    mark_once: Callable[[float], str | None],
    clock: Clock,
    timeout_s: float,
    stopping: threading.Event,
) -> str | None:
    """Call `mark_once` with the remaining time until it succeeds, and return its output.

    A working system is not given up because the first mark failed. Raises: the last UpdateError.
    """
    deadline_ns = clock.boottime_ns() + int(timeout_s * 1e9)
    reported = ""
    while True:
        remaining_s = (deadline_ns - clock.boottime_ns()) / 1e9
        try:
            return mark_once(max(MIN_RAUC_TIMEOUT_S, remaining_s))
        except UpdateError as error:
            if clock.boottime_ns() >= deadline_ns or stopping.wait(CHECK_INTERVAL_S):
                raise
            if str(error) != reported:
                log.info("good, but not marked yet: %s", error)
            reported = str(error)


def mark_good(timeout_s: float, config_file: Path = RAUC_CONFIG_FILE) -> str | None:
    """Mark the booted slot good, and return RAUC's output, or None if this machine has no RAUC.

    Raises: UpdateError if RAUC does not do it in time.
    """
    if shutil.which(PROGRAM) is None or not config_file.exists():
        return None
    return RaucClient().mark("good", "booted", timeout_s)
