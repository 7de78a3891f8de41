"""Pan-tilt heads: command latency on the line, codecs, and the CPU of a head at rest.

Run: `python -m bench head`; it takes about three minutes, since operators pause between commands.
"""

import random
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from agent.base.clock import SystemClock
from agent.config.heads import HeadConfig
from agent.faults.registry import FaultRegistry
from agent.ptz.connection import HeadConnection
from agent.ptz.head import PtzHead
from agent.ptz.head_stage import IDLE_S, HeadStage
from agent.runtime.stage import StageThread
from bench import box, codecs, commands, videos
from bench.commands import MECHANICS, CommandTrial
from bench.cpu import cpu_s
from bench.mosquitto import running_mosquitto
from bench.table import Row
from drivers.contracts import Ptz
from drivers.ptz import pelco_d
from simulation.heads.head_simulator import HeadSimulator
from simulation.heads.pelco_device import PelcoDevice
from simulation.heads.pty_serial_line import PtySerialLine

SETTLE_S, MEASURE_S = 3.0, 20.0


def rows() -> list[Row]:
    """Return the rows of the table."""
    return [*command_rows(), *codecs.rows(), idle_row()]


def command_rows() -> list[Row]:
    """Measure a quiet box, a busy one, and one whose head's position is queried."""
    quiet = box.CameraSetup(video=videos.video_path(videos.SUB), detect=False, loop=True)
    busy = box.CameraSetup(video=videos.video_path(videos.BUSY_MAIN), loop=True)
    with (
        tempfile.TemporaryDirectory(prefix="vigie-bench-") as name,
        running_mosquitto(Path(name)) as broker,
    ):
        timings = [
            commands.run_trial(trial, Path(name), broker)
            for trial in (
                CommandTrial(name="quiet", camera=quiet),
                CommandTrial(name="busy", camera=busy),
                CommandTrial(
                    name="asked",
                    camera=quiet,
                    options=commands.QUERY_OPTIONS,
                    answer_noise=commands.ANSWER_DELAY,
                ),
            )
        ]
    return commands.rows(*timings)


def idle_row() -> Row:
    """Compare a resting head, with its stage and its bus, with a thread that only wakes up."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
        idle = 100 * idle_head_cpu(Path(name))
    floor = 100 * wakeup_cpu()
    return Row(
        name="a head at rest",
        value=idle,
        unit="%",
        target="aim <= 0.5",
        note=f"CPU, of a core, over {MEASURE_S:g} s; `pelco_d` on a pty; a thread that wakes up as "
        f"often, every {IDLE_S:g} s, takes {floor:.3f} %",
    )


def idle_head_cpu(folder: Path) -> float:
    """Return the share of a core of a resting head. The far end of its line sleeps."""
    clock = SystemClock()
    faults = FaultRegistry(clock.boottime_ns)
    simulator = HeadSimulator(MECHANICS, clock.boottime_ns())
    line = PtySerialLine(folder / "line", [PelcoDevice(simulator, "D")], clock.boottime_ns)
    options = msgspec.convert(
        {
            "port": str(line.link),
            "tilt_deg": MECHANICS.tilt_deg,
            "pan_max_deg_s": MECHANICS.pan_max_deg_s,
            "tilt_max_deg_s": MECHANICS.tilt_max_deg_s,
        },
        pelco_d.Options,
    )

    def open_ptz() -> Ptz:
        return pelco_d.open_ptz("mast", options, clock.boottime_ns)

    config = HeadConfig(name="mast", driver="pelco_d")
    head = PtzHead(config, HeadConnection(config.name, open_ptz, faults), folder, clock)
    stage = HeadStage(head, clock, faults)
    thread = StageThread(stage, clock.boottime_ns, random.Random(1), vital=False)
    thread.start()
    try:
        time.sleep(SETTLE_S)
        state = head.state()
        if head.capabilities is None or state.moving:
            raise RuntimeError(f"the head does not rest: {state.error}")
        return _measure_cpu()
    finally:
        thread.stop()
        thread.join(5.0)
        line.close()


def wakeup_cpu() -> float:
    """Return the share of a core of a thread that wakes as often as a head's stage."""
    never_set, ended = threading.Event(), threading.Event()

    def wait_loop() -> None:
        while not ended.is_set():
            never_set.wait(IDLE_S)

    thread = threading.Thread(target=wait_loop)
    thread.start()
    cpu_fraction = _measure_cpu()
    ended.set()
    thread.join()
    return cpu_fraction


def _measure_cpu() -> float:
    """Return the CPU of this process, in shares of a core, while this thread sleeps."""
    start_s, cpu_before_s = time.monotonic(), cpu_s()
    time.sleep(MEASURE_S)
    return (cpu_s() - cpu_before_s) / (time.monotonic() - start_s)
