"""Pan-tilt heads: how soon a command is on the line, what the codecs take, and a head at rest.

Run: `python -m bench head`; it takes some three minutes, because operators take their time.
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
from agent.ptz.head import PtzHead
from agent.ptz.head_stage import IDLE_S, HeadStage
from agent.runtime.stage import StageThread
from bench import box, codecs, commands, films
from bench.commands import MECHANICS, Trial
from bench.cpu import cpu_s
from bench.mosquitto import mosquitto
from bench.table import Row
from drivers.contracts import Ptz
from drivers.ptz import pelco_d
from drivers.simulated.motion import HeadMotion
from drivers.simulated.pelco_device import PelcoSide
from drivers.simulated.pty_head import PtyHead

SETTLED_S, WATCHED_S = 3.0, 20.0


def rows() -> list[Row]:
    """The rows for the table."""
    return [*command_rows(), *codecs.rows(), idle_row()]


def command_rows() -> list[Row]:
    """A quiet box, a busy one, and one whose head is asked where it is."""
    quiet = box.Camera(film=films.made(films.SUB), detect=False, loop=True)
    busy = box.Camera(film=films.made(films.BUSY), loop=True)
    with (
        tempfile.TemporaryDirectory(prefix="vigie-bench-") as name,
        mosquitto(Path(name)) as broker,
    ):
        sent = [
            commands.tried(trial, Path(name), broker)
            for trial in (
                Trial(name="quiet", camera=quiet),
                Trial(name="busy", camera=busy),
                Trial(name="asked", camera=quiet, options=commands.ASKED, answer=commands.ANSWER),
            )
        ]
    return commands.rows(*sent)


def idle_row() -> Row:
    """A head that stands still, with its stage and its bus, beside a thread that only wakes up."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
        idle = 100 * head_share(Path(name))
    floor = 100 * waking_share()
    return Row(
        name="a head at rest",
        value=idle,
        unit="%",
        target="aim <= 0.5",
        note=f"CPU, of a core, over {WATCHED_S:g} s; `pelco_d` on a pty; a thread that wakes up as "
        f"often, every {IDLE_S:g} s, takes {floor:.3f} %",
    )


def head_share(folder: Path) -> float:
    """The share of a core that a head at rest takes. The far end of its line sleeps."""
    clock = SystemClock()
    faults = FaultRegistry(clock.boottime_ns)
    body = HeadMotion(MECHANICS, clock.boottime_ns())
    line = PtyHead(folder / "line", [PelcoSide(body, "D")], clock.boottime_ns)
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

    head = PtzHead(HeadConfig(name="mast", driver="pelco_d"), open_ptz, folder, clock, faults)
    stage = HeadStage(head, clock, faults)
    thread = StageThread(stage, clock.boottime_ns, random.Random(1), vital=False)
    thread.start()
    try:
        time.sleep(SETTLED_S)
        state = head.state()
        if head.abilities is None or state.moving:
            raise RuntimeError(f"the head does not rest: {state.error}")
        return _share()
    finally:
        thread.stop()
        thread.join(5.0)
        line.close()


def waking_share() -> float:
    """The share that a thread takes which waits for something, as often as a head's stage does."""
    never, ended = threading.Event(), threading.Event()

    def wait() -> None:
        while not ended.is_set():
            never.wait(IDLE_S)

    thread = threading.Thread(target=wait)
    thread.start()
    share = _share()
    ended.set()
    thread.join()
    return share


def _share() -> float:
    """CPU of this process, of a core, while this thread sleeps."""
    began_s, before_s = time.monotonic(), cpu_s()
    time.sleep(WATCHED_S)
    return (cpu_s() - before_s) / (time.monotonic() - began_s)
