"""Whether what has just booted is good: every camera gives pictures, footage grows, the broker answers.

Asked once after a boot, by `vigie boot-good`. What it looks at is what the agent itself cannot talk
itself into: the health file that it replaces each second, and the footage on the disk.
"""

import logging
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from agent.base.clock import Clock
from agent.health.health_file import LiveHealth

log = logging.getLogger(__name__)

LOOK_S = 1.0
FRESH_FRAME_S = 5.0
"""A camera whose last picture is older gives none."""
GROWS_WITHIN_S = 15.0
"""Footage that has not grown for longer does not."""
OPENS_WITHIN_S = 60.0
"""So long a camera may take to open. One that is closed then is cut off or broken, which is a fault of
the street and not of what has been booted: it is named, and not waited for."""
SLOTS = Path("/etc/rauc/system.conf")
RAUC_S = 60.0
"""So long at least RAUC may take: on a box that has a lot to do it starts our two programs slowly."""


class CameraSample(msgspec.Struct, frozen=True, kw_only=True):
    """A camera as it is configured."""

    name: str
    record: bool


class BootSample(msgspec.Struct, frozen=True, kw_only=True):
    """What one look found. `newest` says of each camera's newest file which it is and how large it is;
    it changes while footage grows.
    """

    t_ns: int
    live: LiveHealth | None
    newest: Mapping[str, str]


class BootCheck:
    """Looks again and again, and says what is missing. Pure."""

    def __init__(self, cameras: Sequence[CameraSample], began_ns: int) -> None:
        self._cameras = tuple(cameras)
        self._began_ns = began_ns
        self._newest: dict[str, str] = {}
        self._grown_ns: dict[str, int] = {}

    def missing(self, look: BootSample) -> tuple[str, ...]:
        """What is not good yet, a sentence for each; empty where all is."""
        self._remember(look)
        if look.live is None:
            return ("the agent has not said how it is",)
        if look.live.is_stale(look.t_ns):
            return (f"the agent has said nothing for {look.live.age_s(look.t_ns):.0f} s",)
        report = look.live.report
        told = {camera.name: camera for camera in report.cameras}
        found: list[str] = []
        is_open = 0
        for camera in self._cameras:
            health = told.get(camera.name)
            if health is None or not health.open:
                if self._waited_s(look) <= OPENS_WITHIN_S:
                    found.append(f"camera {camera.name}: is not open yet")
                continue
            is_open += 1
            if health.age_s is None or health.age_s > FRESH_FRAME_S:
                found.append(f"camera {camera.name}: gives no pictures")
            if camera.record and not self._grows(camera.name, look.t_ns):
                found.append(f"camera {camera.name}: its footage does not grow")
        if self._cameras and not is_open and not found:
            found.append("no camera is open")
        if not report.outbox.connected:
            found.append("the broker is not there")
        return tuple(found)

    def closed(self, look: BootSample) -> tuple[str, ...]:
        """The cameras that are not open: those that were not waited for."""
        told = look.live.report.cameras if look.live else ()
        is_open = {camera.name for camera in told if camera.open}
        return tuple(camera.name for camera in self._cameras if camera.name not in is_open)

    def _waited_s(self, look: BootSample) -> float:
        return (look.t_ns - self._began_ns) / 1e9

    def _grows(self, camera: str, t_ns: int) -> bool:
        grown_ns = self._grown_ns.get(camera)
        return grown_ns is not None and (t_ns - grown_ns) / 1e9 <= GROWS_WITHIN_S

    def _remember(self, look: BootSample) -> None:
        for camera, newest in look.newest.items():
            before = self._newest.get(camera)
            if before and not newest:
                continue
            # What lay there before the first look has not grown.
            if before is not None and newest != before:
                self._grown_ns[camera] = look.t_ns
            self._newest[camera] = newest


def newest_footage(folder: Path) -> str:
    """The newest file of a camera, and its size. A new one, or a larger one, is another answer."""
    try:
        names = [file for file in folder.iterdir() if ".mp4" in file.name]
        newest = max(names, key=lambda file: file.name, default=None)
        return "" if newest is None else f"{newest.name} {newest.stat().st_size}"
    except OSError:
        # It was closed and renamed in between, or there is none: the next look will tell.
        return ""


def wait(
    judge: BootCheck,
    look: Callable[[], BootSample],
    clock: Clock,
    within_s: float,
    stopping: threading.Event,
) -> tuple[str, ...]:
    """Look until nothing is missing, for so long at most; what is missing then."""
    end_ns = clock.boottime_ns() + int(within_s * 1e9)
    told: tuple[str, ...] = ()
    while True:
        seen = look()
        missing = judge.missing(seen)
        if missing != told and missing:
            log.info("not yet: %s", "; ".join(missing))
        told = missing
        if not missing:
            for camera in judge.closed(seen):
                log.warning("camera %s: is not open, and was not waited for", camera)
            return ()
        if seen.t_ns >= end_ns or stopping.wait(LOOK_S):
            return missing


def mark(
    mark_good: Callable[[float], str | None],
    clock: Clock,
    within_s: float,
    stopping: threading.Event,
) -> str | None:
    """Have it marked by `mark_good`, which is given what is left of the time, and is asked again while
    there is some. What it said. Raises OSError as it does.

    A system that works is not given up because the mark did not come at once.
    """
    end_ns = clock.boottime_ns() + int(within_s * 1e9)
    told = ""
    while True:
        left_s = (end_ns - clock.boottime_ns()) / 1e9
        try:
            return mark_good(max(RAUC_S, left_s))
        except OSError as error:
            if clock.boottime_ns() >= end_ns or stopping.wait(LOOK_S):
                raise
            if str(error) != told:
                log.info("good, and not marked yet: %s", error)
            told = str(error)


def mark_good(program: str = "rauc", slots: Path = SLOTS, within_s: float = RAUC_S) -> str | None:
    """Tell RAUC that this system is good; what it said, or None where there is no RAUC, or it has no
    `slots` to know of. Raises OSError where it does not do it within the time.
    """
    rauc = shutil.which(program)
    if rauc is None or not slots.exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program and fixed words
            [rauc, "status", "mark-good"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"rauc status mark-good: no answer within {within_s:.0f} s") from error
    said = " / ".join((done.stdout + done.stderr).split("\n")).strip(" /")
    if done.returncode:
        raise OSError(f"rauc status mark-good: exit code {done.returncode}: {said}")
    return said
