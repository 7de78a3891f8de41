"""Check of a booted system, and its mark as good, by `vigie boot-good` once after a boot."""

import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from agent.base.clock import Clock
from agent.health.box_check import BoxCheck, BoxSample
from agent.update.errors import UpdateError
from agent.update.rauc import PROGRAM, RaucClient

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
RAUC_CONFIG_FILE = Path("/etc/rauc/system.conf")
MIN_RAUC_TIMEOUT_S = 60.0
"""RAUC starts two programs of Vigie, which takes its time on a busy board."""


def wait_until_good(
    box_check: BoxCheck,
    take_sample: Callable[[], BoxSample],
    clock: Clock,
    timeout_s: float,
    stopping: threading.Event,
) -> tuple[str, ...]:
    """Wait until all conditions are met, and return those unmet at the timeout."""
    deadline_ns = clock.boottime_ns() + int(timeout_s * 1e9)
    reported: tuple[str, ...] = ()
    while True:
        sample = take_sample()
        unmet = box_check.unmet_conditions(sample)
        if unmet != reported and unmet:
            log.info("not good yet: %s", "; ".join(unmet))
        reported = unmet
        if not unmet:
            for camera in box_check.closed_cameras(sample):
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
