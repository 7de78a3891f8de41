"""Cost of the health monitor: CPU of the health stage and the flight recorder, bytes on the disk.

CPU: an agent with four cameras that is not started. A manual clock advances its health stage and flight
recorder second by second, with their files, their JSON and their synced writes.

Bytes: those that arrive at the disk, including the file system's. Two ext4 on loop devices get the writes
of a recorder of one camera, a synced write each second, and one of them the flight recorder's too; the
difference is its share. The agent's log is added. Health reports are written to no disk, the disk's wear
record once an hour. A third ext4 holds the whole state of an agent that records nothing, with a broker
and one camera: the writes of an idle box. This part needs root.

Run: `python -m bench health`; it takes about six minutes.
"""

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from agent.app.agent import Agent
from agent.base.clock import ClockTrust, SystemClock
from agent.base.health_model import FlightSample
from agent.capture import camera_source
from agent.config_change.start_config import StartConfig
from agent.health.flight_page import PAGE_BYTES
from agent.health.flight_recorder import FlightRecorder
from agent.runtime.sd_notify import Notifier
from bench import videos
from bench.cpu import cpu_s, one_core
from bench.mosquitto import running_mosquitto
from bench.table import Row

SECONDS = 1200
SETTLE_S, MEASURE_S = 60, 240
"""The writes of an agent's start reach the disk within half a minute."""
DAY_S = 86_400.0
RECORDED_BYTES_S = 60_000
"""One second of a stream of half a megabit per second."""
IMAGE_BYTES = 120 << 20
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - where a box has /run

CONFIG = """
[box]
id = "bench-1"
site = "bench"
state = "state"
[broker]
url = "{url}"
ack = "broker"
"""
CAMERA = """
[[camera]]
name = "camera-{number}"
driver = "fake"
record = false
[camera.options]
width_px = 320
height_px = 180
"""


class ManualClock:
    """A clock that a bench advances second by second."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._now_ns = self._clock.boottime_ns()

    def boottime_ns(self) -> int:
        """Return the manual time."""
        return self._now_ns

    def unsteered_ns(self) -> int:
        """The machine's own, as UTC is."""
        return self._clock.unsteered_ns()

    def utc(self, t_ns: int) -> datetime:
        """The machine's own."""
        return self._clock.utc(t_ns)

    def trust(self) -> ClockTrust:
        """The machine's own."""
        return self._clock.trust()

    def pass_second(self) -> None:
        """Advance by a second."""
        self._now_ns += 1_000_000_000


def rows() -> list[Row]:
    """Return the rows of the table."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-", dir=MEMORY_FOLDER) as name:
        folder = Path(name)
        return [*cpu_rows(folder), *byte_rows(folder)]


def cpu_rows(folder: Path) -> list[Row]:
    """Measure the share of a core, of both and of the flight recorder alone."""
    with one_core():
        health_s, flight_recorder_s, pages = measure_health_cpu(folder, SECONDS)
    return [
        Row(
            name="health: sampling, live file and flight recorder",
            value=100 * (health_s + flight_recorder_s) / SECONDS,
            unit="% of a core",
            target="< 0.2",
            note=f"{SECONDS} looks, 4 cameras; the flight recorder "
            f"{100 * flight_recorder_s / SECONDS:.3f} % of it",
        ),
        Row(
            name="flight recorder, bytes that it writes a day",
            value=pages * PAGE_BYTES * DAY_S / SECONDS / 1e6,
            unit="MB",
            target="-",
            note="pages of 4096 bytes, in place",
        ),
    ]


def measure_health_cpu(folder: Path, seconds: int) -> tuple[float, float, int]:
    """Return CPU seconds of the health stage and the flight recorder, and the pages written."""
    file = write_config(folder / "looked", "mqtt://127.0.0.1", cameras=4)
    os.environ["RUNTIME_DIRECTORY"] = str(folder / "run")
    clock = ManualClock()
    config, cameras = camera_source.load_sources(file, clock)
    agent = Agent(
        StartConfig(config=config, sources=cameras), clock, random.Random(1), notifier=Notifier({})
    )
    del os.environ["RUNTIME_DIRECTORY"]
    health_stage, flight = agent.health.monitor.stages
    cpu_used_s = [0.0, 0.0]
    for _ in range(seconds):
        clock.pass_second()
        for index, step in enumerate((health_stage.check, flight.flush_if_due)):
            start_s = cpu_s()
            step()
            cpu_used_s[index] += cpu_s() - start_s
    agent.outbox.close()
    return cpu_used_s[0], cpu_used_s[1], flight.pages_written


def byte_rows(folder: Path) -> list[Row]:
    """Measure the bytes that logs and the flight recorder add per day to a recorder's."""
    with (
        running_mosquitto(folder) as broker,
        ext4(folder / "idle") as idle,
        ext4(folder / "without") as without,
        ext4(folder / "with") as with_flight,
        running_agent(folder, idle, broker) as log_file,
    ):
        flight_recorder_bytes, log_bytes, idle_bytes = measure_flight_bytes(
            without, with_flight, idle, log_file
        )
    per_day = DAY_S / MEASURE_S / 1e6
    return [
        Row(
            name="logs, health and flight recorder, bytes a day",
            value=(flight_recorder_bytes + log_bytes) * per_day,
            unit="MB",
            target="aim < 50",
            note=f"at the disk, next to a recorder's synced write each second; log "
            f"{log_bytes * per_day:.2f} MB, health on no disk",
        ),
        Row(
            name="an agent that records nothing, bytes a day",
            value=idle_bytes * per_day,
            unit="MB",
            target="-",
            note="at the disk: flow once a minute through the outbox, the flight recorder, and the "
            "journal of an ext4 that nothing else syncs",
        ),
    ]


def measure_flight_bytes(
    without: Path, with_flight: Path, idle: Path, log_file: Path
) -> tuple[int, int, int]:
    """Return the flight recorder's bytes at the disk, and an idle agent's bytes of log and state."""
    clock, noise = SystemClock(), random.Random(1)
    flight = FlightRecorder(with_flight, clock, "boot", "run")
    flight.write_begin()
    with (without / "video").open("ab") as plain, (with_flight / "video").open("ab") as video:
        before = (0, 0, 0, 0)
        for second in range(SETTLE_S + MEASURE_S):
            if second == SETTLE_S:
                before = _byte_counts(without, with_flight, idle, log_file)
            for file in (plain, video):
                file.write(noise.randbytes(RECORDED_BYTES_S))
                file.flush()
                os.fdatasync(file.fileno())
            flight.add_sample(
                FlightSample(t_ns=clock.boottime_ns(), soc_celsius=noise.uniform(50, 60))
            )
            flight.flush_if_due()
            time.sleep(1.0)
        after = _byte_counts(without, with_flight, idle, log_file)
    flight.close()
    flight_recorder_bytes = (after[1] - before[1]) - (after[0] - before[0])
    return flight_recorder_bytes, after[3] - before[3], after[2] - before[2]


def _byte_counts(
    without: Path, with_flight: Path, idle: Path, log_file: Path
) -> tuple[int, int, int, int]:
    return (
        device_bytes_written(without),
        device_bytes_written(with_flight),
        device_bytes_written(idle),
        log_file.stat().st_size,
    )


def device_bytes_written(folder: Path) -> int:
    """Return the bytes written to the folder's device (sysfs-block, `stat`)."""
    device = folder.stat().st_dev
    stat = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    return int(stat.read_text(encoding="ascii").split()[6]) * 512


@contextlib.contextmanager
def ext4(mount_point: Path) -> Iterator[Path]:
    """Mount a new ext4. Raises: CalledProcessError if this machine cannot mount one."""
    mount_point.mkdir()
    image = mount_point.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    extended_options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
    _run("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", extended_options, str(image))
    _run("mount", "-o", "loop,noatime", str(image), str(mount_point))
    try:
        yield mount_point
    finally:
        _run("umount", str(mount_point))


@contextlib.contextmanager
def running_agent(folder: Path, disk: Path, broker: str) -> Iterator[Path]:
    """Run an agent with its state on its own disk. Yields the path of its log."""
    file, log = write_config(disk / "logged", broker, cameras=1), folder / "log"
    with (
        log.open("wb") as log_stream,
        subprocess.Popen(
            [sys.executable, "-m", "agent", "run", "--config", str(file)],
            cwd=videos.ROOT,
            stdout=log_stream,
            stderr=log_stream,
            env={**os.environ, "RUNTIME_DIRECTORY": str(folder / "run")},
        ) as process,
    ):
        try:
            yield log
        finally:
            process.terminate()
            process.wait(30.0)


def write_config(folder: Path, url: str, cameras: int) -> Path:
    """Write a configuration into a new folder."""
    folder.mkdir(parents=True)
    file = folder / "box.toml"
    text = CONFIG.format(url=url)
    file.write_text(text + "".join(CAMERA.format(number=number) for number in range(cameras)))
    return file


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
