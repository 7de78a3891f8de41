"""agent.health.degradation and load_shedding: down when it must, up after a calm, and without oscillation."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.health_model import DEGRADATION_LEVELS, DegradationLevel, DiskHealth, Vitals
from agent.health.degradation import (
    RECOVERY_S,
    STEPS,
    DegradationPolicy,
    ResourceLoad,
    compute_load,
)
from agent.health.hysteresis import Hysteresis
from agent.pipeline.camera_pipeline import CameraDuty
from drivers.contracts import StreamRequest

S = 1_000_000_000
WELL = ResourceLoad(
    celsius=50.0,
    under_voltage=False,
    throttled=False,
    memory_free_ratio=0.5,
    memory_pressure=0.0,
    load_per_core=0.3,
    footage_space_ratio=30.0,
    write_ms=8.0,
)


class Day:
    """A degradation policy whose seconds pass."""

    def __init__(self) -> None:
        self.t_ns = 0
        self.ladder = DegradationPolicy(0)

    def pass_s(self, seconds: float, strained: ResourceLoad) -> DegradationLevel:
        for _ in range(int(seconds)):
            self.t_ns += S
            self.ladder.update(self.t_ns, strained)
        return self.ladder.current.level


def of(**strained: Any) -> ResourceLoad:
    return ResourceLoad(
        **{**{name: getattr(WELL, name) for name in WELL.__struct_fields__}, **strained}
    )


@pytest.mark.parametrize(
    ("strained", "level", "why"),
    [
        ({"celsius": 84.0}, "no_detection", "heat: 84 °C"),
        ({"celsius": 89.0}, "record_only", "heat: 89 °C"),
        ({"celsius": 96.0}, "heartbeat", "heat: 96 °C"),
        ({"under_voltage": True}, "record_only", "voltage"),
        ({"memory_free_ratio": 0.05}, "no_detection", "memory: 5.0% free"),
        ({"memory_free_ratio": 0.02}, "record_only", "memory: 2.0% free"),
        ({"memory_pressure": 0.3}, "no_detection", "memory: all tasks wait"),
        ({"load_per_core": 7.0}, "no_detection", "load: 7.0 per core"),
        ({"load_per_core": 13.0}, "record_only", "load"),
        ({"write_ms": 6000.0}, "record_only", "disk: a write takes 6000 ms"),
        ({"footage_space_ratio": 0.4}, "record_only", "disk: full"),
        ({"footage_space_ratio": 0.1}, "heartbeat", "disk: full"),
        ({"throttled": True}, "reduced_detection", "the board is throttled"),
        ({"celsius": 81.0}, "reduced_detection", "heat: 81 °C"),
        ({"load_per_core": 5.0}, "reduced_detection", "load: 5.0 per core"),
    ],
)
def test_each_kind_of_load_lowers_the_level_to_its_own(
    strained: Mapping[str, Any], level: DegradationLevel, why: str
) -> None:
    day = Day()
    assert day.pass_s(300, of(**strained)) == level
    assert day.ladder.current.reason.startswith(why)


def test_a_short_spike_does_not_change_the_level() -> None:
    day = Day()
    assert day.pass_s(9, of(celsius=99.0)) == "full"
    assert day.pass_s(1, WELL) == "full"
    assert day.pass_s(9, of(celsius=99.0)) == "full"


def test_undervoltage_stops_detection_first_and_more_if_it_persists() -> None:
    day = Day()
    assert day.pass_s(11, of(under_voltage=True)) == "no_detection"
    assert day.pass_s(100, of(under_voltage=True)) == "no_detection"
    assert day.pass_s(20, of(under_voltage=True)) == "record_only"


def test_the_level_rises_only_after_a_long_calm() -> None:
    day = Day()
    day.pass_s(60, of(celsius=84.0))
    assert day.pass_s(3600, of(celsius=78.0)) == "no_detection"
    assert day.pass_s(RECOVERY_S, of(celsius=70.0)) == "no_detection"
    assert day.pass_s(1, of(celsius=78.0)) == "no_detection"
    assert day.pass_s(RECOVERY_S, of(celsius=70.0)) == "no_detection"
    assert day.pass_s(2, of(celsius=70.0)) == "full"
    assert day.ladder.current.reason == ""


def test_heat_caused_by_detection_does_not_oscillate_by_the_minute() -> None:
    """Each minute that detection runs warms the board by a degree, each without it cools it."""
    day, celsius, changes = Day(), 82.0, 0
    before: DegradationLevel = "full"
    for _ in range(24 * 60):
        level = day.pass_s(60, of(celsius=celsius))
        celsius = min(90.0, celsius + 1) if level == "full" else max(60.0, celsius - 1)
        changes += level != before
        before = level
    assert 24 < changes < 24 * 60 / 8


def test_a_levels_time_and_reason_date_from_its_change() -> None:
    day = Day()
    day.pass_s(60, of(celsius=84.0))
    since_ns, why = day.ladder.current.since_ns, day.ladder.current.reason
    assert since_ns == 11 * S
    day.pass_s(60, of(celsius=85.0))
    assert (day.ladder.current.since_ns, day.ladder.current.reason) == (since_ns, why)


def test_a_level_names_the_fault_behind_it_and_its_reason_follows_the_cause() -> None:
    day = Day()
    day.pass_s(60, of(celsius=84.0))
    assert day.ladder.current.cause == "SYS-02"
    day.pass_s(30, of(celsius=70.0, memory_free_ratio=0.05))
    assert day.pass_s(RECOVERY_S, of(celsius=70.0, memory_free_ratio=0.05)) == "no_detection"
    current = day.ladder.current
    assert (current.cause, current.reason[:7], current.since_ns) == ("SYS-04", "memory:", 11 * S)
    assert day.pass_s(RECOVERY_S + 2, WELL) == "full"
    assert day.ladder.current.cause is None


def test_a_full_disk_of_the_state_folder_does_not_stop_recording() -> None:
    day = Day()
    assert day.pass_s(300, of(state_space_ratio=0.0)) == "record_only"
    assert day.ladder.current.reason == "disk: that of the state folder is full"


def test_an_unknown_reading_counts_as_no_load() -> None:
    day = Day()
    assert day.pass_s(1000, ResourceLoad()) == "full"
    day.pass_s(60, of(celsius=99.0))
    assert day.pass_s(RECOVERY_S + 2, ResourceLoad()) == "full"


@given(
    celsius=st.one_of(st.none(), st.floats(-50, 140)),
    memory=st.one_of(st.none(), st.floats(0, 1)),
    room=st.one_of(st.none(), st.floats(0, 100)),
    low=st.one_of(st.none(), st.booleans()),
)
def test_a_constant_load_gives_a_constant_level(
    celsius: float | None, memory: float | None, room: float | None, low: bool | None
) -> None:
    day, strained = (
        Day(),
        of(celsius=celsius, memory_free_ratio=memory, footage_space_ratio=room, under_voltage=low),
    )
    level = day.pass_s(200, strained)
    assert day.pass_s(400, strained) == level
    assert bool(day.ladder.current.reason) == (level != "full")


def test_every_level_below_full_has_a_matching_reason() -> None:
    assert {rung.level for rung in STEPS} == set(DEGRADATION_LEVELS[1:])


def test_no_threshold_is_both_raised_and_recovered() -> None:
    for rung in STEPS:
        for value in (0.0, 0.01, 0.1, 0.3, 0.7, 1.5, 4.0, 20.0, 78.0, 84.0, 99.0, 3000.0, 9000.0):
            strained = ResourceLoad(
                celsius=value,
                memory_free_ratio=value,
                memory_pressure=value,
                load_per_core=value,
                footage_space_ratio=value,
                write_ms=value,
                under_voltage=value > 1,
            )
            assert not (rung.breached(strained) and rung.recovered(strained))


def test_between_its_thresholds_a_hysteresis_keeps_its_state() -> None:
    latch = Hysteresis(on_after_s=2, off_after_s=3)
    steps = [(True, False)] * 3 + [(False, False)] * 9 + [(False, True)] * 4
    reported = [
        latch.update(second * S, bad=bad, good=good) for second, (bad, good) in enumerate(steps)
    ]
    assert reported == [False, False] + [True] * 13 + [False]


def test_load_does_not_depend_on_the_size_of_the_box() -> None:
    small = Vitals(
        soc_celsius=None,
        load_1min=2.0,
        memory_available_bytes=100,
        agent_rss_bytes=None,
        state_free_bytes=10**8,
        state_total_bytes=10**10,
        footage_free_bytes=10**8,
        footage_total_bytes=10**10,
        cores=4,
        memory_total_bytes=1000,
    )
    reported = compute_load(small, DiskHealth(write_ms=4.0))
    assert (
        reported.memory_free_ratio,
        reported.load_per_core,
        reported.footage_space_ratio,
        reported.write_ms,
    ) == (
        0.1,
        0.5,
        0.5,
        4.0,
    )
    assert reported.celsius is None


MAIN = StreamRequest(packets=True, frames_fps=10.0)
ONLY_FRAMES = StreamRequest(packets=False, frames_fps=10.0)


def test_lower_levels_drop_frames_first_and_packets_last() -> None:
    allowance = CameraDuty()
    assert (allowance.limit(MAIN), allowance.limit(ONLY_FRAMES)) == (MAIN, ONLY_FRAMES)
    for level in ("no_detection", "record_only"):
        allowance.set_level(level, 0)
        assert allowance.limit(MAIN) == StreamRequest(packets=True, frames_fps=0.0)
        assert allowance.limit(ONLY_FRAMES) is None
        assert allowance.can_record
    allowance.set_level("heartbeat", 0)
    assert (allowance.limit(MAIN), allowance.limit(ONLY_FRAMES)) == (None, None)


def test_the_recording_gap_is_reported_when_recording_resumes() -> None:
    allowance = CameraDuty()
    assert allowance.set_level("no_detection", 1) is None
    assert allowance.set_level("heartbeat", 2) is None
    assert allowance.set_level("heartbeat", 3) is None
    assert allowance.set_level("record_only", 9) == (2, 9)
    assert allowance.set_level("full", 12) is None
