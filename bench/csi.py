"""Cost of the camera module's driver against bare Picamera2, and its recovery time after a stall.

The camera is libcamera's virtual one under the real Picamera2, see `tests/virtual_camera`: both sides pay
for its moving lines and its pace. Run: `python -m bench csi`.
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
from bench import videos
from bench.cpu import cpu_s, one_core, process_cpu_s
from bench.table import Row
from drivers.camera.csi import Options, open_camera
from drivers.contracts import Camera, StreamRequest
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
REQUEST = StreamRequest(packets=True, frames_fps=10)
SETTLE_S, MEASURE_S = 2.0, 8.0
TURNS = 5
STALLS = 5
AGENT_RETRY_TEXT = "0.25 to 0.5 s"
"""The wait of `agent.runtime.stage` between a first failure and the next attempt, for the note."""


class CsiCost(msgspec.Struct, frozen=True, kw_only=True):
    """The media received in the measured time, and the CPU seconds; see `bench.peers`."""

    cpu_s: float
    measured_s: float
    packets: int
    frames: int
    parent_s: float = 0.0

    def core_share(self) -> float:
        """The share of a core, of all processes."""
        return (self.cpu_s + self.parent_s) / self.measured_s


def rows() -> list[Row]:
    """Return the rows of the table. Raises: UserError without Picamera2."""
    reason = virtual_camera.skip_reason()
    if reason is not None:
        raise UserError(reason)
    os.environ.update(virtual_camera.picamera2_environment())
    os.environ["LIBCAMERA_LOG_LEVELS"] = "*:ERROR"
    with virtual_camera.installed_pipeline(), one_core():
        return [*cost_rows(), restart_row()]


def cost_rows() -> list[Row]:
    """Compare the same two streams, in turns, every second turn in reverse order.

    The virtual camera's own CPU is subtracted: a real one takes next to nothing. The ratios are
    therefore of the means over all turns.
    """
    works: dict[str, Callable[[], CsiCost]] = {
        "driver": measure_driver,
        **{variant: partial(measure_bare, variant) for variant in ("stock", "ours", "pipeline")},
    }
    costs: dict[str, list[CsiCost]] = {name: [] for name in works}
    for turn in range(TURNS):
        for name in list(works)[:: -1 if turn % 2 else 1]:
            costs[name].append(works[name]())
    core_percent = {
        name: 100 * statistics.mean(one.core_share() for one in each)
        for name, each in costs.items()
    }
    pipeline_percent = core_percent["pipeline"]
    driver_percent, stock_percent, same_encoder_percent = (
        core_percent[name] - pipeline_percent for name in ("driver", "stock", "ours")
    )
    parent_percent = 100 * statistics.mean(one.parent_s / one.measured_s for one in costs["driver"])
    total_ratios = [
        one.core_share() / its.core_share()
        for one, its in zip(costs["driver"], costs["stock"], strict=True)
    ]
    rates = f"{rate_text(costs['driver'])} : {rate_text(costs['stock'])} in a second"
    return [
        Row(
            name="csi, child and parent / bare Picamera2",
            value=driver_percent / stock_percent,
            unit="ratio",
            target="aim <= 1.15",
            note=f"{driver_percent:.1f} : {stock_percent:.1f} % of a core, {parent_percent:.1f} of it the parent's; the "
            f"virtual camera, {pipeline_percent:.1f} for both, is taken off; with it {min(total_ratios):.2f} to "
            f"{max(total_ratios):.2f} in {TURNS} turns; 1080p15 by libx264, 640x360 at "
            f"{REQUEST.frames_fps:g}; {rates}",
        ),
        Row(
            name="csi, child and parent / Picamera2 with the driver's encoder",
            value=driver_percent / same_encoder_percent,
            unit="ratio",
            target="-",
            note=f"{driver_percent:.1f} : {same_encoder_percent:.1f} % of a core: what the second process and the way to it "
            "take; less than a tenth is the machine's unrest",
        ),
    ]


def rate_text(costs: Sequence[CsiCost]) -> str:
    """Format the mean packet and frame rates, to show that the work was done."""
    packets = statistics.mean(one.packets / one.measured_s for one in costs)
    frames = statistics.mean(one.frames / one.measured_s for one in costs)
    return f"{packets:.1f} packets and {frames:.1f} frames"


def measure_driver() -> CsiCost:
    """Measure the driver, its child process and the reader."""
    camera = open_camera("bench", OPTIONS, REQUEST, _boottime_ns)
    try:
        _read_for(camera, SETTLE_S)
        child = find_child()
        start_s, parent_before_s, child_before_s = time.monotonic(), cpu_s(), process_cpu_s(child)
        packets, frames = _read_for(camera, MEASURE_S)
        return CsiCost(
            cpu_s=process_cpu_s(child) - child_before_s,
            parent_s=cpu_s() - parent_before_s,
            measured_s=time.monotonic() - start_s,
            packets=packets,
            frames=frames,
        )
    finally:
        camera.close()


def measure_bare(variant: str) -> CsiCost:
    """Measure the peer, see `bench/peers/bare_picamera2.py`."""
    plan = {
        "options": OPTIONS,
        "frames_fps": REQUEST.frames_fps,
        "settled_s": SETTLE_S,
        "watched_s": MEASURE_S,
    }
    process = subprocess.run(
        [
            *(sys.executable, "-m", "bench.peers.bare_picamera2"),
            *(variant, msgspec.json.encode(plan).decode()),
        ],
        cwd=videos.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError((process.stderr.strip().splitlines() or ["bare Picamera2 failed"])[-1])
    return msgspec.json.decode(process.stdout.strip().splitlines()[-1], type=CsiCost)


def restart_row() -> Row:
    """Measure the time from a stopped child to the first frame of the next one."""
    restart_s = []
    camera = open_camera("bench", OPTIONS, REQUEST, _boottime_ns)
    try:
        for _ in range(STALLS):
            _read_for(camera, 1.0)
            stall_start_s = time.monotonic()
            os.kill(find_child(), signal.SIGSTOP)
            _read_until_timeout(camera)
            camera = open_camera("bench", OPTIONS, REQUEST, _boottime_ns)
            while not isinstance(camera.read(1.0), Frame):
                pass
            restart_s.append(time.monotonic() - stall_start_s - OPTIONS.read_timeout_s)
    finally:
        camera.close()
    return Row(
        name="csi, from a stall's discovery to a new frame",
        value=statistics.median(restart_s),
        unit="s",
        target="-",
        note=f"median of {STALLS}, longest {max(restart_s):.2f}; before it `read_timeout_s` "
        f"({OPTIONS.read_timeout_s:g} s here), in the agent {AGENT_RETRY_TEXT} more",
    )


def _read_until_timeout(camera: Camera) -> None:
    """Read until the driver gives up the child. Raises: DriverError unless it is for silence."""
    try:
        while True:
            camera.read(1.0)
    except DriverError as error:
        if error.kind != "timeout":
            raise


def _read_for(camera: Camera, duration_s: float) -> tuple[int, int]:
    """Count the packets and frames of a span."""
    packets = frames = 0
    deadline_s = time.monotonic() + duration_s
    while time.monotonic() < deadline_s:
        media = camera.read(0.2)
        packets += isinstance(media, Packet)
        frames += isinstance(media, Frame)
    return packets, frames


def find_child() -> int:
    """Return the process of the open camera."""
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            if b"drivers.csi.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    raise RuntimeError("the driver has no child")


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
