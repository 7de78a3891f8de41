"""How soon a box records: from the start of `vigie run` to READY and to film on the disk, and how soon a
stage that has died is noticed.

Run: `python -m bench start`; it takes about two minutes, most of it a stage that hangs.
"""

import contextlib
import logging
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.base.clock import SystemClock
from agent.recording.segment_name import PART, parse_segment_name
from agent.runtime.sd_notify import Notifier
from agent.runtime.stage import StageThread
from agent.runtime.supervisor import Supervisor
from bench import box, films
from bench.mosquitto import mosquitto
from bench.table import Row

STARTS = 7
FAILURES = 15
WAIT_S = 60.0
LOOK_S = 0.005
WATCHDOG_S = 5.0
"""As vigie-agent.service has it."""

DROP_CACHES = Path("/proc/sys/vm/drop_caches")


class Start(msgspec.Struct, frozen=True):
    """Seconds from the process's start."""

    ready_s: float
    frame_s: float
    """The time of the first frame that is in the footage."""
    footage_s: float
    """When the first fragment was on the disk: it holds what is between two keyframes."""


def rows() -> list[Row]:
    """The rows for the table."""
    film = films.made(films.MAIN)
    with (
        tempfile.TemporaryDirectory(prefix="vigie-bench-") as name,
        mosquitto(Path(name)) as broker,
    ):
        config = box.configured(Path(name) / "box", box.Camera(film=film, loop=True), broker)
        started(config)
        warm = [started(config) for _ in range(STARTS)]
        cold = [started(config)] if dropped() else []
    made = [
        Row(
            name="start to READY",
            value=statistics.median(start.ready_s for start in warm),
            unit="s",
            target="aim <= 2",
            note=f"`vigie run`, median of {STARTS}, longest "
            f"{max(start.ready_s for start in warm):.2f} s; one 1080p camera, detector loaded",
        ),
        Row(
            name="start to the first recorded frame",
            value=statistics.median(start.frame_s for start in warm),
            unit="s",
            target="aim <= 2",
            note=f"the time that the footage begins with; median of {STARTS}, longest "
            f"{max(start.frame_s for start in warm):.2f} s",
        ),
        Row(
            name="start to the first film on the disk",
            value=statistics.median(start.footage_s for start in warm),
            unit="s",
            target="-",
            note="the first fragment, flushed; the camera gives a keyframe every 2 s, and it takes "
            "two of them",
        ),
    ]
    for start in cold:
        made += [
            Row(
                name="start to READY, cold",
                value=start.ready_s,
                unit="s",
                target="-",
                note="nothing of it in the kernel's cache; once",
            ),
            Row(
                name="start to the first recorded frame, cold",
                value=start.frame_s,
                unit="s",
                target="-",
                note="the same run",
            ),
        ]
    return [*made, failing_row(), hanging_row()]


def dropped() -> bool:
    """Whether the kernel has emptied its cache: that takes root."""
    os.sync()
    try:
        DROP_CACHES.write_text("3\n")
    except OSError:
        return False
    return True


def started(config: Path) -> Start:
    """Start the agent, wait for READY and for a fragment on the disk, and stop it."""
    folder = config.parent
    shutil.rmtree(folder / "state", ignore_errors=True)
    with listening(folder / "notify") as manager:
        began_s, began_ns = time.monotonic(), SystemClock().boottime_ns()
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "run", "--config", config],
            cwd=films.ROOT,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
            stderr=subprocess.DEVNULL,
        )
        try:
            footage = threading.Thread(target=(seen := Seen(folder / "state")).look)
            footage.start()
            while b"READY=1" not in manager.recv(4096):
                pass
            ready_s = time.monotonic() - began_s
            footage.join()
            if seen.begin_ms is None:
                raise RuntimeError(f"no footage within {WAIT_S:g} s")
            return Start(ready_s, seen.begin_ms / 1e3 - began_ns / 1e9, seen.at_s - began_s)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


class Seen:
    """When there was a whole fragment in a footage file, and when that begins, since the boot."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "footage" / box.CAMERA
        self.at_s = 0.0
        self.begin_ms: int | None = None

    def look(self) -> None:
        """Look until there is one."""
        never, end_s = threading.Event(), time.monotonic() + WAIT_S
        while time.monotonic() < end_s:
            for file in self._folder.glob("*.mp4*"):
                with contextlib.suppress(FileNotFoundError):
                    name = parse_segment_name(file.name.removesuffix(PART))
                    if name is not None and b"moof" in file.read_bytes():
                        self.at_s, self.begin_ms = time.monotonic(), name.begin_ms
                        return
            never.wait(LOOK_S)


@contextlib.contextmanager
def listening(address: Path) -> Iterator[socket.socket]:
    """Where systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(WAIT_S)
        try:
            yield manager
        finally:
            address.unlink()


class Breaking:
    """A stage that fails when it is told to, or hangs, and remembers when it turned."""

    name = "breaking"

    def __init__(self) -> None:
        self.turned = threading.Event()
        self.fails = threading.Event()
        self.hang: threading.Event | None = None

    def run_once(self, stopping: threading.Event) -> None:
        """One turn."""
        if self.hang is not None:
            self.hang.wait()
        if self.fails.is_set():
            self.fails.clear()
            raise RuntimeError("as it was told to")
        self.turned.set()
        stopping.wait(0.01)

    def close(self) -> None:
        """Nothing is held."""


def failing_row() -> Row:
    """From a stage's failure to its next turn."""
    logging.disable()  # each failure is a traceback
    took_ms = []
    stage = Breaking()
    thread = StageThread(stage, SystemClock().boottime_ns, random.Random(1), vital=True)
    thread.start()
    for _ in range(FAILURES):
        stage.turned.clear()
        stage.turned.wait()
        stage.fails.set()
        while stage.fails.is_set():
            time.sleep(0.001)
        began_s = time.monotonic()
        stage.turned.clear()
        stage.turned.wait()
        took_ms.append(1e3 * (time.monotonic() - began_s))
    thread.stop()
    thread.join(5)
    return Row(
        name="a stage that fails turns again",
        value=statistics.median(took_ms),
        unit="ms",
        target="-",
        note=f"median of {FAILURES} single failures, longest {max(took_ms):.0f} ms; it waits "
        "250 to 500 ms, by chance",
    )


def hanging_row() -> Row:
    """From the moment when a vital stage hangs until the watchdog is not fed any more."""
    clock = SystemClock()
    stage = Breaking()
    thread = StageThread(stage, clock.boottime_ns, random.Random(1), vital=True)
    with tempfile.TemporaryDirectory() as name, listening(Path(name) / "notify") as manager:
        notifier = Notifier(
            {
                "NOTIFY_SOCKET": str(Path(name) / "notify"),
                "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
            }
        )
        supervisor = Supervisor([[thread]], notifier, clock.boottime_ns)
        manager.settimeout(0)
        supervisor.start()
        stage.turned.wait()
        stage.hang = threading.Event()
        began_s = time.monotonic()
        while stage.name not in supervisor.check():
            fed_s = time.monotonic()
            while drained(manager):
                pass
            time.sleep(supervisor.check_every_s)
        noticed_s = time.monotonic() - began_s
        stage.hang.set()
        supervisor.stop()
    return Row(
        name="a vital stage that hangs is not covered for",
        value=noticed_s,
        unit="s",
        target="-",
        note=f"its loop may take 30 s; the last food came after {fed_s - began_s:.1f} s, and systemd "
        f"acts {WATCHDOG_S:g} s after that",
    )


def drained(manager: socket.socket) -> bool:
    """Whether there was a message."""
    try:
        return bool(manager.recv(4096))
    except BlockingIOError:
        return False
