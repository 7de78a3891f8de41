"""Faults of the machine, each with one threshold to come and one to go. Pure but for the registry."""

from collections.abc import Mapping

import msgspec

from agent.base.health_model import Degradation, DiskHealth
from agent.base.message import Message, join_phrases
from agent.faults import diagnosis
from agent.faults.registry import FaultCode, FaultRegistry
from agent.health.degradation import ResourceLoad
from agent.health.hysteresis import Hysteresis, at_least, below

BOARD_SUBJECT, DISK_SUBJECT, STATE_DISK_SUBJECT = "board", "disk", "state disk"
"""`disk`: the file system of the footage, and the device of the state folder. `state disk`: the file system of
the state folder, if it is another."""

MAX_SOC_CELSIUS = 80.0
MIN_MEMORY_FREE_RATIO = 0.08
MAX_LOAD_PER_CORE = 2.0
"""Runnable programs for each core."""

MIN_DAYS_LEFT = 60.0
MAX_LIFE_USED = 0.9


class _FaultCondition(msgspec.Struct, frozen=True, kw_only=True):
    """One fault at one check. None means unknown; neither bad nor good keeps the fault as it is."""

    bad: bool | None
    good: bool | None
    detail: Message


class MachineFaults:
    """Raises and clears SYS-02 to 05, SYS-07, and STO-05 to 07."""

    def __init__(self, faults: FaultRegistry) -> None:
        self._faults = faults
        self._hysteresis: dict[tuple[FaultCode, str], Hysteresis] = {}

    def update(
        self,
        t_ns: int,
        load: ResourceLoad,
        disk: DiskHealth,
        degradation: Degradation,
    ) -> None:
        """Check all faults. Called once per second."""
        for code, condition in _board_conditions(load).items():
            self._update_fault(t_ns, code, BOARD_SUBJECT, condition)
        for (code, subject), condition in _disk_conditions(load, disk).items():
            self._update_fault(t_ns, code, subject, condition)
        if degradation.level == "full":
            self._faults.clear("SYS-07", BOARD_SUBJECT)
        else:
            detail = Message(
                "{problem}: {reason}",
                problem=diagnosis.LEVEL_WORDS[degradation.level],
                reason=degradation.reason,
            )
            self._faults.raise_fault("SYS-07", BOARD_SUBJECT, detail)

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
}
"""Seconds of bad readings in a row until a fault comes, and of good ones until it goes."""


def _board_conditions(load: ResourceLoad) -> dict[FaultCode, _FaultCondition]:
    under_voltage, throttled = load.under_voltage, load.throttled
    power_bad = _any_known(under_voltage, throttled)
    memory_free, memory_pressure = load.memory_free_ratio, load.memory_pressure
    return {
        "SYS-02": _FaultCondition(
            bad=at_least(load.celsius, MAX_SOC_CELSIUS),
            good=below(load.celsius, 75.0),
            detail=Message("{celsius:.0f} C", celsius=load.celsius or 0),
        ),
        "SYS-03": _FaultCondition(
            bad=power_bad,
            good=None if power_bad is None else not power_bad,
            detail=Message("the supply voltage is too low")
            if under_voltage
            else Message("the board is throttled"),
        ),
        "SYS-04": _FaultCondition(
            bad=_any_known(
                below(memory_free, MIN_MEMORY_FREE_RATIO), at_least(memory_pressure, 0.10)
            ),
            good=_all_known(at_least(memory_free, 0.12), below(memory_pressure, 0.02)),
            detail=Message(
                "{share:.1%} of the memory is free; tasks wait for memory {pressure:.0%} of the time",
                share=memory_free or 0,
                pressure=memory_pressure or 0,
            ),
        ),
        "SYS-05": _FaultCondition(
            bad=at_least(load.load_per_core, MAX_LOAD_PER_CORE),
            good=below(load.load_per_core, 1.5),
            detail=Message("the load is {load:.1f} per core", load=load.load_per_core or 0),
        ),
    }


def _disk_conditions(
    load: ResourceLoad, disk: DiskHealth
) -> dict[tuple[FaultCode, str], _FaultCondition]:
    worn = _any_known(
        at_least(disk.life_used, MAX_LIFE_USED),
        below(disk.days_left, MIN_DAYS_LEFT),
        None if disk.reserve is None else disk.reserve != "normal",
    )
    return {
        ("STO-05", DISK_SUBJECT): _FaultCondition(
            bad=below(load.footage_space_ratio, 1.0),
            good=at_least(load.footage_space_ratio, 1.5),
            detail=Message(
                "less is free than the retention of footage leaves: other files fill the disk"
            ),
        ),
        ("STO-05", STATE_DISK_SUBJECT): _FaultCondition(
            bad=below(load.state_space_ratio, 1.0),
            good=at_least(load.state_space_ratio, 1.5),
            detail=Message(
                "little is free on the file system of the state folder; that of the footage is another"
            ),
        ),
        ("STO-06", DISK_SUBJECT): _FaultCondition(
            bad=at_least(load.write_ms, 1000.0),
            good=below(load.write_ms, 500.0),
            detail=Message("a small synced write takes {ms:.0f} ms", ms=load.write_ms or 0),
        ),
        ("STO-07", DISK_SUBJECT): _FaultCondition(
            bad=worn, good=None if worn is None else not worn, detail=_worn_detail(disk)
        ),
    }


def _worn_detail(disk: DiskHealth) -> Message:
    used, reserve, days = disk.life_used, disk.reserve, disk.days_left
    detail = join_phrases(
        None if used is None else Message("{share:.0%} of its life is used", share=used),
        None if reserve is None else Message("spare blocks: {reserve}", reserve=reserve),
        None if days is None else Message("about {days:.0f} days are left", days=days),
    )
    return detail if isinstance(detail, Message) else Message("unknown")


def _any_known(*conditions: bool | None) -> bool | None:
    known = [condition for condition in conditions if condition is not None]
    return any(known) if known else None


def _all_known(*conditions: bool | None) -> bool | None:
    known = [condition for condition in conditions if condition is not None]
    return all(known) if known else None
