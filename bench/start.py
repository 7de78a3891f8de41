"""Start-up: CPU of a command's start next to bare Python, time and CPU from `vigie run` to READY, time to footage on
the disk, and detection of a failed stage.

Run: `python -m bench start`; it takes about two minutes, most of it for a stage that hangs.
"""

import contextlib
import logging
import os
import random
import resource
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
from agent.recording.segment_name import PART_SUFFIX, parse_segment_name
from agent.runtime.sd_notify import Notifier
from agent.runtime.stage import StageThread
from agent.runtime.supervisor import Order, Supervisor
from bench import box, videos
from bench.cpu import Work, cpu_s, process_cpu_s, run_in_turns
from bench.memory import compiled_code, floor_code, run_python
from bench.mosquitto import running_mosquitto
from bench.table import Row

STARTS = 7
FAILURES = 15
TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.005
WATCHDOG_S = 5.0
"""WatchdogSec= of vigie-agent.service."""

DROP_CACHES = Path("/proc/sys/vm/drop_caches")


class StartTimes(msgspec.Struct, frozen=True):
    """Seconds since the process started."""

    ready_s: float
    ready_cpu_s: float
    """CPU of the process until READY, in hundredths."""
    frame_s: float
    """The time of the first frame in the footage."""
    footage_s: float
    """The time at which the first fragment, from keyframe to keyframe, was on the disk."""


def rows() -> list[Row]:
    """Return the rows of the table."""
    video = videos.video_path(videos.MAIN)
    with (
        tempfile.TemporaryDirectory(prefix="vigie-bench-") as name,
        running_mosquitto(Path(name)) as broker,
    ):
        config = box.write_config(
            Path(name) / "box", box.CameraSetup(video=video, loop=True), broker
        )
        measure_start(config)
        warm, floors_s = [], []
        for _ in range(STARTS):
            warm.append(measure_start(config))
            floors_s.append(measure_floor_s(video))
        cold = [measure_start(config)] if drop_caches() else []
    rows = [
        Row(
            name="start to READY",
            value=statistics.median(start.ready_s for start in warm),
            unit="s",
            target="aim <= 2",
            note=f"`vigie run`, median of {STARTS}, longest "
            f"{max(start.ready_s for start in warm):.2f} s; one 1080p camera, detector loaded",
        ),
        Row(
            name="start to READY, CPU / libraries, model and first picture",
            value=statistics.median(
                start.ready_cpu_s / floor_s for start, floor_s in zip(warm, floors_s, strict=True)
            ),
            unit="ratio",
            target="aim <= 1.25",
            note=f"{1000 * statistics.median(start.ready_cpu_s for start in warm):.0f} : "
            f"{1000 * statistics.median(floors_s):.0f} ms",
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
            name="start to the first video on the disk",
            value=statistics.median(start.footage_s for start in warm),
            unit="s",
            target="-",
            note="the first fragment, flushed; the camera gives a keyframe every 2 s, and it takes "
            "two of them",
        ),
    ]
    for start in cold:
        rows += [
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
    return [*command_rows(), *rows, failing_row(), hanging_row()]


def command_rows() -> list[Row]:
    """Measure the CPU of the start of short commands, next to an interpreter that does nothing."""
    commands = {
        "--help": ("aim <= 1.5", "imports no command's module"),
        "faults": ("aim <= 2", "the list of fault codes"),
        "run --help": ("-", "what `vigie run` imports at its start, libraries included"),
    }
    works = {words: command_work("-m", "agent", *words.split()) for words in commands}
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name, compiled_code(Path(name)):
        turns = run_in_turns({"python": command_work("-c", "pass"), **works})
    return [
        Row(
            name=f"start of `vigie {words}` / bare Python",
            value=turns.ratio(words, "python"),
            unit="ratio",
            target=target,
            note=f"CPU {turns.ms(words, 1):.0f} : {turns.ms('python', 1):.0f} ms; {note}",
        )
        for words, (target, note) in commands.items()
    ]


def command_work(*arguments: str) -> Work:
    """Run Python with these arguments in its own process."""

    def measure() -> float:
        start_s = cpu_s(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *arguments], cwd=videos.ROOT, stdout=subprocess.DEVNULL, check=True
        )
        return cpu_s(resource.RUSAGE_CHILDREN) - start_s

    return measure


def drop_caches() -> bool:
    """Drop the kernel's page cache. Return False without root."""
    os.sync()
    try:
        DROP_CACHES.write_text("3\n")
    except OSError:
        return False
    return True


def measure_start(config: Path) -> StartTimes:
    """Start the agent, wait for READY and for a fragment on the disk, and stop it."""
    folder = config.parent
    shutil.rmtree(folder / "state", ignore_errors=True)
    with listen_as_systemd(folder / "notify") as notify_socket:
        start_s, began_ns = time.monotonic(), SystemClock().boottime_ns()
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "run", "--config", config],
            cwd=videos.ROOT,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
            stderr=subprocess.DEVNULL,
        )
        try:
            footage = threading.Thread(
                target=(watch := FootageWatch(folder / "state")).wait_for_fragment
            )
            footage.start()
            while b"READY=1" not in notify_socket.recv(4096):
                pass
            ready_s, ready_cpu_s = time.monotonic() - start_s, process_cpu_s(process.pid)
            footage.join()
            if watch.begin_ms is None:
                raise RuntimeError(f"no footage within {TIMEOUT_S:g} s")
            return StartTimes(
                ready_s=ready_s,
                ready_cpu_s=ready_cpu_s,
                frame_s=watch.begin_ms / 1e3 - began_ns / 1e9,
                footage_s=watch.found_at_s - start_s,
            )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def measure_floor_s(video: Path) -> float:
    """Measure the CPU of a process that imports the libraries, loads the model and decodes a first picture, in seconds."""
    code = f"""
{floor_code()}
import time
with av.open({str(video)!r}) as container:
    container.streams.video[0].codec_context.thread_count = 1
    next(container.decode(video=0))
print(time.process_time())
"""
    return float(run_python(code))


class FootageWatch:
    """Watches for the first complete fragment in a footage file; times are since the boot."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "footage" / box.CAMERA
        self.found_at_s = 0.0
        self.begin_ms: int | None = None

    def wait_for_fragment(self) -> None:
        """Poll until a fragment is complete."""
        never_set, deadline_s = threading.Event(), time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline_s:
            for file in self._folder.glob("*.mp4*"):
                with contextlib.suppress(FileNotFoundError):
                    name = parse_segment_name(file.name.removesuffix(PART_SUFFIX))
                    if name is not None and b"moof" in file.read_bytes():
                        self.found_at_s, self.begin_ms = time.monotonic(), name.begin_ms
                        return
            never_set.wait(POLL_INTERVAL_S)


@contextlib.contextmanager
def listen_as_systemd(address: Path) -> Iterator[socket.socket]:
    """Listen on the socket that systemd would provide."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify_socket:
        notify_socket.bind(str(address))
        notify_socket.settimeout(TIMEOUT_S)
        try:
            yield notify_socket
        finally:
            address.unlink()


class FailingStage:
    """A stage that fails or hangs on request, and records the times of its turns."""

    name = "breaking"

    def __init__(self) -> None:
        self.has_turned = threading.Event()
        self.should_fail = threading.Event()
        self.hang_event: threading.Event | None = None

    def run_once(self, stopping: threading.Event) -> None:
        """Fail, hang or record the turn."""
        if self.hang_event is not None:
            self.hang_event.wait()
        if self.should_fail.is_set():
            self.should_fail.clear()
            raise RuntimeError("as requested")
        self.has_turned.set()
        stopping.wait(0.01)

    def close(self) -> None:
        """Do nothing: no resource is held."""


def failing_row() -> Row:
    """Measure the time from a stage's failure to its next turn."""
    logging.disable()  # each failure is a traceback
    recovery_ms = []
    stage = FailingStage()
    thread = StageThread(stage, SystemClock().boottime_ns, random.Random(1), vital=True)
    thread.start()
    for _ in range(FAILURES):
        stage.has_turned.clear()
        stage.has_turned.wait()
        stage.should_fail.set()
        while stage.should_fail.is_set():
            time.sleep(0.001)
        start_s = time.monotonic()
        stage.has_turned.clear()
        stage.has_turned.wait()
        recovery_ms.append(1e3 * (time.monotonic() - start_s))
    thread.stop()
    thread.join(5)
    return Row(
        name="a stage that fails turns again",
        value=statistics.median(recovery_ms),
        unit="ms",
        target="-",
        note=f"median of {FAILURES} single failures, longest {max(recovery_ms):.0f} ms; it waits "
        "250 to 500 ms, by chance",
    )


def hanging_row() -> Row:
    """Measure the time from a vital stage's hang until the watchdog is no longer petted."""
    clock = SystemClock()
    stage = FailingStage()
    with (
        tempfile.TemporaryDirectory() as name,
        listen_as_systemd(Path(name) / "notify") as notify_socket,
    ):
        notifier = Notifier(
            {
                "NOTIFY_SOCKET": str(Path(name) / "notify"),
                "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
            }
        )
        supervisor = Supervisor(notifier, clock.boottime_ns, random.Random(1))
        supervisor.add({Order.CAPTURE: [stage]})
        notify_socket.settimeout(0)
        supervisor.start()
        stage.has_turned.wait()
        stage.hang_event = threading.Event()
        start_s = time.monotonic()
        while stage.name not in supervisor.check():
            last_fed_s = time.monotonic()
            while drain_one(notify_socket):
                pass
            time.sleep(supervisor.check_interval_s)
        detection_s = time.monotonic() - start_s
        stage.hang_event.set()
        supervisor.stop()
    return Row(
        name="a vital stage that hangs is not covered for",
        value=detection_s,
        unit="s",
        target="-",
        note=f"its loop may take 30 s; the last food came after {last_fed_s - start_s:.1f} s, and systemd "
        f"acts {WATCHDOG_S:g} s after that",
    )


def drain_one(notify_socket: socket.socket) -> bool:
    """Receive a message. Return False if there is none."""
    try:
        return bool(notify_socket.recv(4096))
    except BlockingIOError:
        return False
