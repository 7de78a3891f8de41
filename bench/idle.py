"""An idle box: the wakeups and the bytes of `vigie run` while nothing is detected and one stream is recorded.

A wakeup is a voluntary context switch of one of its threads, proc(5); more of them than with an idle machine are
counted on a busy one, whose threads wait for each other. Bytes are those of write(2) and its like, without the
footage: pages of databases, the live file and the flight recorder, with the runtime folder on the disk.

Run: `python -m bench idle`; it takes about two minutes.
"""

import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench import box, videos
from bench.mosquitto import running_mosquitto
from bench.processes import running_process
from bench.table import Row

SETTLE_S, MEASURE_S = 30.0, 60.0
"""A minute has the counts and the chain's head of a minute once."""


class IdleSample(msgspec.Struct, frozen=True):
    """Counters of a process since its start."""

    wakeups: int
    written_bytes: int
    footage_bytes: int


def rows() -> list[Row]:
    """Return the rows of the table."""
    camera = box.CameraSetup(video=videos.video_path(videos.SUB), detect=False, loop=True)
    with (
        tempfile.TemporaryDirectory(prefix="vigie-bench-") as name,
        running_mosquitto(Path(name)) as broker,
    ):
        config = box.write_config(Path(name) / "box", camera, broker)
        footage = config.parent / "state" / "footage"
        with running_process((sys.executable, "-m", "agent", "run", "--config", config)) as pid:
            time.sleep(SETTLE_S)
            start_s, before = time.monotonic(), read_sample(pid, footage)
            time.sleep(MEASURE_S)
            after, duration_s = read_sample(pid, footage), time.monotonic() - start_s
    written_bytes = after.written_bytes - before.written_bytes
    own_bytes = written_bytes - (after.footage_bytes - before.footage_bytes)
    return [
        Row(
            name="an idle box, wakeups",
            value=(after.wakeups - before.wakeups) / duration_s,
            unit="/s",
            target="<= 15",
            note="all threads of `vigie run`, one stream of 360p5 recorded, nothing detected",
        ),
        Row(
            name="an idle box, bytes written in an hour, footage excluded",
            value=own_bytes / duration_s * 3600 / 1e6,
            unit="MB",
            target="<= 5",
            note="the runtime folder on the disk: it is in memory on an installed box",
        ),
    ]


def read_sample(pid: int, footage: Path) -> IdleSample:
    """Read the counters of a process and of its footage."""
    process = Path("/proc", str(pid))
    wakeups = sum(
        _field(thread / "status", "voluntary_ctxt_switches")
        for thread in (process / "task").iterdir()
    )
    return IdleSample(
        wakeups=wakeups,
        written_bytes=_field(process / "io", "wchar"),
        footage_bytes=sum(file.stat().st_size for file in footage.glob("*/*")),
    )


def _field(file: Path, name: str) -> int:
    lines = file.read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
