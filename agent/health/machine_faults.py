"""The faults of the machine itself, by marks that they come and go at. Pure but for the board."""

from collections.abc import Mapping

import msgspec

from agent.base.health_model import CameraHealth, Degradation, DiskHealth
from agent.faults.registry import FaultCode, FaultRegistry
from agent.health.hysteresis import Hysteresis, above, below
from agent.health.strain import ResourceLoad

BOARD, DISK = "board", "disk"

FEW_FRAMES = 0.5
"""Of what is wanted; less is a fault, and it is gone with three quarters."""

DAYS_LEFT_FEW = 60.0
LIFE_USED_MUCH = 0.9


class _Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What one look says of one fault."""

    bad: bool | None
    good: bool | None
    detail: str


class MachineFaults:
    """Raises and clears SYS-02 to 05, SYS-07, STO-05 to 07, and CAM-04 for each camera."""

    def __init__(self, faults: FaultRegistry) -> None:
        self._faults = faults
        self._latches: dict[tuple[FaultCode, str], Hysteresis] = {}

    def look(
        self,
        t_ns: int,
        strain: ResourceLoad,
        disk: DiskHealth,
        cameras: tuple[CameraHealth, ...],
        degradation: Degradation,
    ) -> None:
        """One look at all of them, once a second."""
        for code, mark in _board(strain).items():
            self._judge(t_ns, code, BOARD, mark)
        for code, mark in _disk(strain, disk).items():
            self._judge(t_ns, code, DISK, mark)
        for camera in cameras:
            self._judge(t_ns, "CAM-04", camera.name, _frames(camera))
        if degradation.level == "full":
            self._faults.clear("SYS-07", BOARD)
        else:
            level = degradation.level.replace("_", " ")
            self._faults.raise_fault("SYS-07", BOARD, f"{level}: {degradation.why}")

    def _judge(self, t_ns: int, code: FaultCode, subject: str, mark: _Mark) -> None:
        latch = self._latches.get((code, subject))
        if latch is None:
            latch = self._latches[code, subject] = Hysteresis(*TIMES[code])
        was = latch.on
        if latch.update(t_ns, bad=mark.bad, good=mark.good):
            # While it is between the marks the newest bad word stands.
            if mark.bad or not was:
                self._faults.raise_fault(code, subject, mark.detail)
        elif was:
            self._faults.clear(code, subject)


TIMES: Mapping[FaultCode, tuple[float, float]] = {
    "SYS-02": (10.0, 30.0),
    "SYS-03": (0.0, 60.0),
    "SYS-04": (10.0, 60.0),
    "SYS-05": (120.0, 60.0),
    "STO-05": (10.0, 30.0),
    "STO-06": (30.0, 60.0),
    "STO-07": (0.0, 60.0),
    "CAM-04": (60.0, 20.0),
}
"""For how many seconds on end it must be bad to come, and good to go."""


def _board(strain: ResourceLoad) -> dict[FaultCode, _Mark]:
    low, slow = strain.under_voltage, strain.throttled
    known = [sign for sign in (low, slow) if sign is not None]
    power = any(known) if known else None
    free, stalls = strain.memory_free, strain.memory_pressure
    return {
        "SYS-02": _Mark(
            bad=above(strain.celsius, 80.0),
            good=below(strain.celsius, 75.0),
            detail=f"{strain.celsius or 0:.0f} °C",
        ),
        "SYS-03": _Mark(
            bad=power,
            good=None if power is None else not power,
            detail="the supply's voltage is too low" if low else "the board slows itself down",
        ),
        "SYS-04": _Mark(
            bad=_any(below(free, 0.08), above(stalls, 0.10)),
            good=_all(above(free, 0.12), below(stalls, 0.02)),
            detail=f"{free or 0:.1%} of the memory is free, and all wait for it "
            f"{stalls or 0:.0%} of the time",
        ),
        "SYS-05": _Mark(
            bad=above(strain.load_per_core, 2.0),
            good=below(strain.load_per_core, 1.5),
            detail=f"{strain.load_per_core or 0:.1f} want to run on each core",
        ),
    }


def _disk(strain: ResourceLoad, disk: DiskHealth) -> dict[FaultCode, _Mark]:
    worn = _any(
        above(disk.life_used, LIFE_USED_MUCH),
        below(disk.days_left, DAYS_LEFT_FEW),
        None if disk.reserve is None else disk.reserve != "normal",
    )
    return {
        "STO-05": _Mark(
            bad=below(strain.room, 1.0),
            good=above(strain.room, 1.5),
            detail="less is free than the ring of footage leaves: something else fills it",
        ),
        "STO-06": _Mark(
            bad=above(strain.write_ms, 1000.0),
            good=below(strain.write_ms, 500.0),
            detail=f"a small write takes {strain.write_ms or 0:.0f} ms",
        ),
        "STO-07": _Mark(
            bad=worn, good=None if worn is None else not worn, detail=_worn_detail(disk)
        ),
    }


def _worn_detail(disk: DiskHealth) -> str:
    said = [] if disk.life_used is None else [f"{disk.life_used:.0%} of its life is used"]
    if disk.reserve is not None:
        said.append(f"its spare blocks: {disk.reserve}")
    if disk.days_left is not None:
        said.append(f"about {disk.days_left:.0f} days are left")
    return ", ".join(said) or "unknown"


def _frames(camera: CameraHealth) -> _Mark:
    """A camera that gives nothing at all is another fault's matter."""
    wanted = camera.fps_wanted
    gives = camera.open and camera.fps > 0 and wanted
    got = camera.fps / wanted if wanted and gives else None
    return _Mark(
        bad=below(got, FEW_FRAMES),
        good=above(got, 0.75),
        detail=f"{camera.fps:.1f} of {wanted or 0:.1f} frames a second",
    )


def _any(*signs: bool | None) -> bool | None:
    known = [sign for sign in signs if sign is not None]
    return any(known) if known else None


def _all(*signs: bool | None) -> bool | None:
    known = [sign for sign in signs if sign is not None]
    return all(known) if known else None
