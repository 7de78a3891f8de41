"""Faults of the machine, each with one threshold to come and one to go. Pure but for the registry."""

from collections.abc import Mapping

import msgspec

from agent.base.health_model import CameraHealth, Degradation, DiskHealth
from agent.faults.registry import FaultCode, FaultRegistry
from agent.health.degradation import ResourceLoad
from agent.health.hysteresis import Hysteresis, at_least, below

BOARD_SUBJECT, DISK_SUBJECT = "board", "disk"

MIN_FPS_RATIO = 0.5
"""Share of the target rate below which CAM-04 comes; it goes at three quarters."""

MIN_DAYS_LEFT = 60.0
MAX_LIFE_USED = 0.9


class _FaultCondition(msgspec.Struct, frozen=True, kw_only=True):
    """One fault at one check. None means unknown; neither bad nor good keeps the fault as it is."""

    bad: bool | None
    good: bool | None
    detail: str


class MachineFaults:
    """Raises and clears SYS-02 to 05, SYS-07, STO-05 to 07, and CAM-04 for each camera."""

    def __init__(self, faults: FaultRegistry) -> None:
        self._faults = faults
        self._hysteresis: dict[tuple[FaultCode, str], Hysteresis] = {}

    def update(
        self,
        t_ns: int,
        load: ResourceLoad,
        disk: DiskHealth,
        cameras: tuple[CameraHealth, ...],
        degradation: Degradation,
    ) -> None:
        """Check all faults. Called once per second."""
        for code, condition in _board_conditions(load).items():
            self._update_fault(t_ns, code, BOARD_SUBJECT, condition)
        for code, condition in _disk_conditions(load, disk).items():
            self._update_fault(t_ns, code, DISK_SUBJECT, condition)
        for camera in cameras:
            self._update_fault(t_ns, "CAM-04", camera.name, _frame_rate_condition(camera))
        if degradation.level == "full":
            self._faults.clear("SYS-07", BOARD_SUBJECT)
        else:
            level = degradation.level.replace("_", " ")
            self._faults.raise_fault("SYS-07", BOARD_SUBJECT, f"{level}: {degradation.reason}")

    def _update_fault(
        self, t_ns: int, code: FaultCode, subject: str, condition: _FaultCondition
    ) -> None:
        hysteresis = self._hysteresis.get((code, subject))
        if hysteresis is None:
            hysteresis = self._hysteresis[code, subject] = Hysteresis(*FAULT_TIMES_S[code])
        was_on = hysteresis.is_on
        if hysteresis.update(t_ns, bad=condition.bad, good=condition.good):
            # Between the thresholds the detail of the last bad reading stays.
            if condition.bad or not was_on:
                self._faults.raise_fault(code, subject, condition.detail)
        elif was_on:
            self._faults.clear(code, subject)


FAULT_TIMES_S: Mapping[FaultCode, tuple[float, float]] = {
    "SYS-02": (10.0, 30.0),
    "SYS-03": (0.0, 60.0),
    "SYS-04": (10.0, 60.0),
    "SYS-05": (120.0, 60.0),
    "STO-05": (10.0, 30.0),
    "STO-06": (30.0, 60.0),
    "STO-07": (0.0, 60.0),
    "CAM-04": (60.0, 20.0),
}
"""Seconds of bad readings in a row until a fault comes, and of good ones until it goes."""


def _board_conditions(load: ResourceLoad) -> dict[FaultCode, _FaultCondition]:
    under_voltage, throttled = load.under_voltage, load.throttled
    power_bad = _any_known(under_voltage, throttled)
    memory_free, memory_pressure = load.memory_free_ratio, load.memory_pressure
    return {
        "SYS-02": _FaultCondition(
            bad=at_least(load.celsius, 80.0),
            good=below(load.celsius, 75.0),
            detail=f"{load.celsius or 0:.0f} °C",
        ),
        "SYS-03": _FaultCondition(
            bad=power_bad,
            good=None if power_bad is None else not power_bad,
            detail="the supply voltage is too low" if under_voltage else "the board is throttled",
        ),
        "SYS-04": _FaultCondition(
            bad=_any_known(below(memory_free, 0.08), at_least(memory_pressure, 0.10)),
            good=_all_known(at_least(memory_free, 0.12), below(memory_pressure, 0.02)),
            detail=f"{memory_free or 0:.1%} of the memory is free; tasks wait for memory "
            f"{memory_pressure or 0:.0%} of the time",
        ),
        "SYS-05": _FaultCondition(
            bad=at_least(load.load_per_core, 2.0),
            good=below(load.load_per_core, 1.5),
            detail=f"the load is {load.load_per_core or 0:.1f} per core",
        ),
    }


def _disk_conditions(load: ResourceLoad, disk: DiskHealth) -> dict[FaultCode, _FaultCondition]:
    worn = _any_known(
        at_least(disk.life_used, MAX_LIFE_USED),
        below(disk.days_left, MIN_DAYS_LEFT),
        None if disk.reserve is None else disk.reserve != "normal",
    )
    return {
        "STO-05": _FaultCondition(
            bad=below(load.disk_space_ratio, 1.0),
            good=at_least(load.disk_space_ratio, 1.5),
            detail="less is free than the retention of footage leaves: other files fill the disk",
        ),
        "STO-06": _FaultCondition(
            bad=at_least(load.write_ms, 1000.0),
            good=below(load.write_ms, 500.0),
            detail=f"a small synced write takes {load.write_ms or 0:.0f} ms",
        ),
        "STO-07": _FaultCondition(
            bad=worn, good=None if worn is None else not worn, detail=_worn_detail(disk)
        ),
    }


def _worn_detail(disk: DiskHealth) -> str:
    parts = [] if disk.life_used is None else [f"{disk.life_used:.0%} of its life is used"]
    if disk.reserve is not None:
        parts.append(f"spare blocks: {disk.reserve}")
    if disk.days_left is not None:
        parts.append(f"about {disk.days_left:.0f} days are left")
    return ", ".join(parts) or "unknown"


def _frame_rate_condition(camera: CameraHealth) -> _FaultCondition:
    """Return CAM-04's condition. A camera that delivers nothing at all is CAM-01 or CAM-02."""
    target_fps = camera.target_fps
    is_delivering = camera.open and camera.fps > 0 and target_fps
    fps_ratio = camera.fps / target_fps if target_fps and is_delivering else None
    return _FaultCondition(
        bad=below(fps_ratio, MIN_FPS_RATIO),
        good=at_least(fps_ratio, 0.75),
        detail=f"{camera.fps:.1f} of {target_fps or 0:.1f} frames per second",
    )


def _any_known(*conditions: bool | None) -> bool | None:
    known = [condition for condition in conditions if condition is not None]
    return any(known) if known else None


def _all_known(*conditions: bool | None) -> bool | None:
    known = [condition for condition in conditions if condition is not None]
    return all(known) if known else None
