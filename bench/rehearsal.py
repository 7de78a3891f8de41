"""A rehearsal on a running box: the processor time of its child next to its budget, and recorded frames that are lost.

The box is the whole agent in its own process, with a rendered street that it encodes, records at 25 frames a second and searches.
A centre has it rehearse a larger model on what it has recorded meanwhile. Every recorded frame is then decoded: none may be
missing. Run: `python -m bench rehearsal`.
"""

import random
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import av
import msgspec

from agent.base.clock import SystemClock, rfc3339
from agent.config.broker import BrokerConfig
from agent.recording import catalogue
from agent.recording.catalogue import FootageEntry
from agent.rehearsal.rehearsal_child import WORK_RATIO
from agent.rehearsal.rehearsal_stage import START_PROCESS
from bench.mosquitto import running_mosquitto
from bench.processes import running_process
from bench.table import Row
from centre.config_exchange import ConfigExchange
from drivers.child.process import cpu_time_s
from tests.machine_tree import FakeProcFs

BOX, CAMERA = "bench-1", "street"
FPS, WIDTH_PX, HEIGHT_PX = 25, 640, 360
SEGMENT_S, SEGMENTS = 5, 8
REPORT_TIMEOUT_S = 120.0
SAMPLE_S = 0.05
PROPOSED_MODEL = "ssdlite_mobilenet_v2"
CONFIG = f"""
[box]
id = "{BOX}"
site = "bench"
state = "state"
[broker]
url = "{{url}}"
ack = "broker"
[record]
segment_s = {SEGMENT_S}
[[camera]]
name = "{CAMERA}"
driver = "fake"
options = {{{{ width_px = {WIDTH_PX}, height_px = {HEIGHT_PX}, fps = {FPS} }}}}
[camera.detect]
scene = "scene.toml"
"""
SCENE = '[[line]]\nname = "street"\nfrom = [0.0, 0.6]\nto = [1.0, 0.6]\n'


class ChildMeter:
    """Samples the processor time of the rehearsal's child, from its start to its end."""

    def __init__(self) -> None:
        self.cpu_s = self.wall_s = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End the measurement."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        pid = begin_s = None
        while not self._ended.wait(SAMPLE_S):
            if pid is None:
                pid, begin_s = find_child(), time.monotonic()
            elif begin_s is not None and (used_s := cpu_time_s(pid)) is not None:
                self.cpu_s, self.wall_s = used_s, time.monotonic() - begin_s


def find_child() -> int | None:
    """Return the process of the rehearsal's child, or None."""
    module = str(START_PROCESS.args[0]).encode()  # type: ignore[attr-defined] # a partial
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if module in (folder / "cmdline").read_bytes().split(b"\0"):
                return int(folder.name)
        except OSError:
            continue
    return None


def closed_segments(state: Path) -> list[FootageEntry]:
    """Return the closed files of the camera."""
    entries = catalogue.find_segments(state / "footage", state / "custody", [CAMERA], None, None)
    return [entry for entry in entries if entry.closed is not None]


def count_lost_frames(entries: list[FootageEntry]) -> tuple[int, int]:
    """Return how many frames are missing in the time of these files, and how many there are."""
    frames = 0
    for entry in entries:
        with av.open(str(entry.path)) as container:
            frames += sum(1 for _ in container.decode(video=0))
    first, last = entries[0].closed, entries[-1].closed
    if first is None or last is None:
        raise RuntimeError("a file has no receipt of its close")
    span_ns = last.begin_ns + last.duration_ns - first.begin_ns
    return abs(round(span_ns * FPS / 1e9) - frames), frames


def rows() -> list[Row]:
    """Return the rows of the table. Raises: RuntimeError, UserError if there is no rehearsal."""
    with (
        tempfile.TemporaryDirectory(prefix="vigie-bench-") as name,
        running_mosquitto(Path(name)) as url,
    ):
        folder, state = Path(name), Path(name) / "state"
        file, machine = folder / "vigie.toml", folder / "machine"
        file.write_text(CONFIG.format(url=url))
        (folder / "scene.toml").write_text(SCENE)
        # The load of this machine would pause the rehearsal.
        FakeProcFs(machine, folder)
        agent: list[str | Path] = [
            sys.executable,
            "-m",
            "agent",
            "run",
            "--config",
            file,
            "--root",
            machine,
        ]
        rng = random.Random(1)
        exchange = ConfigExchange(BrokerConfig(url=url), BOX, rng, SystemClock().boottime_ns)
        with closing(exchange), running_process(agent):
            wait_for_segments(state, SEGMENTS)
            recorded = closed_segments(state)[:SEGMENTS]
            end = recorded[-1].end
            if end is None:
                raise RuntimeError("a file has no end")
            message = {
                "box": BOX,
                "version": 1,
                "settings": {"camera": {CAMERA: {"detect": {"model": PROPOSED_MODEL}}}},
                "rehearse": {"begin": rfc3339(recorded[0].begin), "end": rfc3339(end)},
                "by": "bench",
                "role": "supervisor",
            }
            exchange.read_report()
            meter = ChildMeter()
            *_, report = exchange.rehearse(msgspec.json.encode(message))
            meter.end()
            wait_for_segments(state, len(closed_segments(state)) + 1)
        lost, frames = count_lost_frames(closed_segments(state))
    (camera,) = report.cameras
    if camera.present is None or camera.proposed is None:
        raise RuntimeError(camera.reason)
    costs = (
        f"{camera.covered_s:.0f} s of footage in {meter.wall_s:.0f} s: decoding {camera.decode_cpu_s:.1f} s of CPU, "
        f"{camera.present.model} {camera.present.cpu_s:.1f} s, {camera.proposed.model} {camera.proposed.cpu_s:.1f} s"
    )
    return [
        Row(
            name="rehearsal, processor time of its child, of one core",
            value=meter.cpu_s / meter.wall_s,
            unit="",
            target=f"<= {WORK_RATIO:g}",
            note=costs,
        ),
        Row(
            name="rehearsal, recorded frames lost",
            value=lost,
            unit="",
            target="<= 0",
            note=f"{frames} frames decoded at {FPS} fps",
        ),
    ]


def wait_for_segments(state: Path, count: int) -> None:
    """Raises: RuntimeError if so many files are not closed in time."""
    deadline_s = time.monotonic() + REPORT_TIMEOUT_S + count * SEGMENT_S
    while len(closed_segments(state)) < count:
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"{count} files were not recorded in time")
        time.sleep(SAMPLE_S * 10)
