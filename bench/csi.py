"""What the camera module's driver costs beside bare Picamera2, and how soon it is back after a stall.

The camera is libcamera's virtual one under the real Picamera2, see `tests/virtual_camera`: both
sides pay for its moving lines, and both for its pace. Run: `python -m bench csi`.
"""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from agent.base.errors import UserError
from bench import films
from bench.cpu import cpu_s, one_core, process_cpu_s
from bench.table import Row
from drivers.camera.csi import Options, open_camera
from drivers.contracts import Camera, Wanted
from drivers.errors import DriverError
from drivers.media import Frame, Packet
from tests import virtual_camera

OPTIONS = Options(
    camera="Virtual0",
    width_px=1920,
    height_px=1080,
    fps=15,
    detect_width_px=640,
    detect_height_px=360,
    encoder="libav",
    read_timeout_s=1.0,
)
WANTED = Wanted(packets=True, frames_fps=10)
SETTLED_S, WATCHED_S = 2.0, 8.0
TURNS = 5
STALLS = 5
AGENTS_WAIT = "0.25 to 0.5 s"
"""`agent.runtime.stage`: between a first failure and the next try."""


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """What came in the time that was watched, and its CPU seconds; see `bench.peers`."""

    cpu_s: float
    watched_s: float
    packets: int
    frames: int
    parent_s: float = 0.0

    def core(self) -> float:
        """The share of a core, of all processes."""
        return (self.cpu_s + self.parent_s) / self.watched_s


def rows() -> list[Row]:
    """The rows for the table. Raises BadInput where there is no Picamera2."""
    why = virtual_camera.why_not()
    if why is not None:
        raise UserError(why)
    os.environ.update(virtual_camera.environment())
    os.environ["LIBCAMERA_LOG_LEVELS"] = "*:ERROR"
    with virtual_camera.installed(), one_core():
        return [*cost_rows(), restart_row()]


def cost_rows() -> list[Row]:
    """The same two streams, in turns, every second turn backwards. What the virtual camera alone
    takes is left out of the ratios: a real one takes next to nothing, and would not level them.
    That leaves differences of differences, so they are of the means over all turns.
    """
    works: dict[str, Callable[[], Took]] = {
        "driver": driver,
        **{what: partial(bare, what) for what in ("stock", "ours", "pipeline")},
    }
    took: dict[str, list[Took]] = {name: [] for name in works}
    for turn in range(TURNS):
        for name in list(works)[:: -1 if turn % 2 else 1]:
            took[name].append(works[name]())
    core = {name: 100 * statistics.mean(one.core() for one in each) for name, each in took.items()}
    alone = core["pipeline"]
    mine, stock, same = (core[name] - alone for name in ("driver", "stock", "ours"))
    parent = 100 * statistics.mean(one.parent_s / one.watched_s for one in took["driver"])
    whole = [
        one.core() / its.core() for one, its in zip(took["driver"], took["stock"], strict=True)
    ]
    done = f"{counted(took['driver'])} : {counted(took['stock'])} in a second"
    return [
        Row(
            name="csi, child and parent / bare Picamera2",
            value=mine / stock,
            unit="ratio",
            target="aim <= 1.15",
            note=f"{mine:.1f} : {stock:.1f} % of a core, {parent:.1f} of it the parent's; the "
            f"virtual camera, {alone:.1f} for both, is taken off; with it {min(whole):.2f} to "
            f"{max(whole):.2f} in {TURNS} turns; 1080p15 by libx264, 640x360 at "
            f"{WANTED.frames_fps:g}; {done}",
        ),
        Row(
            name="csi, child and parent / Picamera2 with the driver's encoder",
            value=mine / same,
            unit="ratio",
            target="-",
            note=f"{mine:.1f} : {same:.1f} % of a core: what the second process and the way to it "
            "take; less than a tenth is the machine's unrest",
        ),
    ]


def counted(took: Sequence[Took]) -> str:
    """That the work was done."""
    packets = statistics.mean(one.packets / one.watched_s for one in took)
    frames = statistics.mean(one.frames / one.watched_s for one in took)
    return f"{packets:.1f} packets and {frames:.1f} frames"


def driver() -> Took:
    """The driver, its child and the reader of it."""
    camera = open_camera("bench", OPTIONS, WANTED, _boottime_ns)
    try:
        _read(camera, SETTLED_S)
        child = the_child()
        began_s, parent, before = time.monotonic(), cpu_s(), process_cpu_s(child)
        packets, frames = _read(camera, WATCHED_S)
        return Took(
            cpu_s=process_cpu_s(child) - before,
            parent_s=cpu_s() - parent,
            watched_s=time.monotonic() - began_s,
            packets=packets,
            frames=frames,
        )
    finally:
        camera.close()


def bare(what: str) -> Took:
    """The peer, see `bench/peers/bare_picamera2.py`."""
    plan = {
        "options": OPTIONS,
        "frames_fps": WANTED.frames_fps,
        "settled_s": SETTLED_S,
        "watched_s": WATCHED_S,
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench.peers.bare_picamera2"),
            *(what, msgspec.json.encode(plan).decode()),
        ],
        cwd=films.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["bare Picamera2 failed"])[-1])
    return msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=Took)


def restart_row() -> Row:
    """From a child that is stopped where it is to the first frame of the next one."""
    took_s = []
    camera = open_camera("bench", OPTIONS, WANTED, _boottime_ns)
    try:
        for _ in range(STALLS):
            _read(camera, 1.0)
            stalled_s = time.monotonic()
            os.kill(the_child(), signal.SIGSTOP)
            _until_failed(camera)
            camera = open_camera("bench", OPTIONS, WANTED, _boottime_ns)
            while not isinstance(camera.read(1.0), Frame):
                pass
            took_s.append(time.monotonic() - stalled_s - OPTIONS.read_timeout_s)
    finally:
        camera.close()
    return Row(
        name="csi, from a stall's discovery to a new frame",
        value=statistics.median(took_s),
        unit="s",
        target="-",
        note=f"median of {STALLS}, longest {max(took_s):.2f}; before it `read_timeout_s` "
        f"({OPTIONS.read_timeout_s:g} s here), in the agent {AGENTS_WAIT} more",
    )


def _until_failed(camera: Camera) -> None:
    """Read until the driver gives the child up. Raises DriverError where it is not for silence."""
    try:
        while True:
            camera.read(1.0)
    except DriverError as error:
        if error.kind != "timeout":
            raise


def _read(camera: Camera, seconds: float) -> tuple[int, int]:
    """Take what comes for a while: packets and frames."""
    packets = frames = 0
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        media = camera.read(0.2)
        packets += isinstance(media, Packet)
        frames += isinstance(media, Frame)
    return packets, frames


def the_child() -> int:
    """The process of the one camera that is open."""
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            if b"drivers.csi.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    raise RuntimeError("the driver has no child")


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
