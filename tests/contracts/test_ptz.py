"""drivers.contracts: every head driver keeps the contract of heads, word for word.

A test file that imports all of this runs it on its own `BENCHES`.
The heads are simulated, on a clock that the tests advance. A real one joins with
`pytest tests/contracts/test_ptz.py --hardware 'ptz.DRIVER OPTIONS'`: it turns.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic

import msgspec
import pytest
import serial

from drivers.angles import wrap_deg
from drivers.contracts import Pose, Ptz, PtzCapabilities, Velocity
from drivers.errors import DriverError
from drivers.serial_bus import BUSES
from simulation.heads.head_simulator import HeadSimulator
from simulation.heads.pty_serial_line import LineNoise, PtySerialLine
from tests.conftest import hardware_options

from . import heads
from .heads import (
    HEADS,
    IDLE_TIMEOUT_S,
    HardwareBench,
    HardwareRig,
    HeadBench,
    HeadRig,
    SerialHeadBench,
    SerialHeadRig,
    SimulatedRig,
    open_head,
)
from .onvif_bench import ONVIF_HEADS

BENCHES: dict[str, HeadBench] = HEADS | ONVIF_HEADS
WITHIN_S = 20.0
"""A call is over within a second or two, and on a busy machine within this; one that hangs is not."""
SPEED_SHARE = 0.25
"""A head has speed steps: the allowed deviation from the requested speed."""
STILL_DEG = 0.01


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bench" in metafunc.fixturenames:
        there = {
            f"{driver} hardware": HardwareBench(driver, options)
            for driver, options in hardware_options(metafunc.config, "ptz").items()
        }
        benches: dict[str, HeadBench] = metafunc.module.BENCHES | there
        metafunc.parametrize("bench", benches.values(), ids=benches.keys())


@pytest.fixture
def brief_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply takes half a second at most: for tests of a head that does not answer."""
    monkeypatch.setattr(heads, "REPLY_TIMEOUT_S", 0.5)


@pytest.fixture
def rig(bench: HeadBench, tmp_path: Path) -> Iterator[HeadRig]:
    with bench.set_up(tmp_path) as rig:
        yield rig


@pytest.fixture
def simulated(rig: HeadRig) -> SimulatedRig:
    if isinstance(rig, HardwareRig):
        pytest.skip("the true state of a real head is unknown")
    assert isinstance(rig, SimulatedRig)
    return rig


@pytest.fixture
def on_line(rig: HeadRig) -> SerialHeadRig:
    if not isinstance(rig, SerialHeadRig):
        pytest.skip("a head without a serial line")
    return rig


def needs(able: object, what: str) -> None:
    if not able:
        pytest.skip(f"this head has no {what}")


def fails(kind: str, work: Callable[[], object], match: str = ".") -> None:
    """The work raises a DriverError of this kind, of one line, in time."""
    began = monotonic()
    with pytest.raises(DriverError, match=match) as caught:
        work()
    assert monotonic() - began < WITHIN_S
    assert caught.value.kind == kind, caught.value
    assert "\n" not in str(caught.value)
    assert "'test'" in str(caught.value)


def come_to_rest(rig: HeadRig) -> None:
    """Advance time until the driver reports rest."""
    for _ in range(60):
        if not rig.head.read_position().moving:
            return
        rig.advance_s(0.5)
    pytest.fail("30 s later the driver still says that it moves")


def half(abilities: PtzCapabilities, pan: int, tilt: int) -> Velocity:
    """Half of the top speeds, in these directions."""
    return Velocity(
        pan_deg_s=pan * abilities.pan_max_deg_s / 2, tilt_deg_s=tilt * abilities.tilt_max_deg_s / 2
    )


def calls(rig: HeadRig) -> dict[str, Callable[[], object]]:
    """Every call that needs the head and that this head can do."""
    head, able = rig.head, rig.head.capabilities
    found: dict[str, Callable[[], object]] = {
        "move": lambda: head.move(Velocity(pan_deg_s=5)),
        "stop": head.stop,
        "position": head.read_position,
    }
    if able.absolute:
        found["goto"] = lambda: head.goto(Pose(pan_deg=3, tilt_deg=3), 1.0)
    if able.presets:
        found["store_preset"] = lambda: head.store_preset(1)
        found["recall_preset"] = lambda: head.goto_preset(1)
    for aux in able.aux:
        found[f"switch {aux}"] = lambda aux=aux: head.set_aux(aux, on=True)  # type: ignore[misc]
    return found


def test_capabilities_are_known_from_the_opening_on(rig: HeadRig) -> None:
    able = rig.head.capabilities
    assert able.pan_deg is None or able.pan_deg.low < able.pan_deg.high
    assert -180 <= able.tilt_deg.low < able.tilt_deg.high <= 180
    assert min(able.pan_max_deg_s, able.tilt_max_deg_s) > 0
    assert able.zoom_ratio >= 1
    assert able.presets >= 0
    assert len(set(able.aux)) == len(able.aux)


def test_opening_moves_nothing(simulated: SimulatedRig) -> None:
    simulated.advance_s(1)
    assert not simulated.state().moving
    assert simulated.simulator.order_count == 0
    assert not simulated.head.read_position().moving


@pytest.mark.parametrize(
    ("pan", "tilt"), [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
)
def test_a_head_moves_right_left_up_and_down_at_the_requested_speed(
    rig: HeadRig, pan: int, tilt: int
) -> None:
    needs(not isinstance(rig, HardwareRig) or rig.head.capabilities.absolute, "eyes for itself")
    wanted = half(rig.head.capabilities, pan, tilt)
    before = rig.state()
    rig.head.move(wanted)
    rig.advance_s(0.5)
    after = rig.state()
    for moved_deg, speed in (
        (wrap_deg(after.pan_deg - before.pan_deg), wanted.pan_deg_s),
        (after.tilt_deg - before.tilt_deg, wanted.tilt_deg_s),
    ):
        assert moved_deg * speed > 0 if speed else abs(moved_deg) < STILL_DEG
    if isinstance(rig, SimulatedRig):
        assert after.pan_deg_s == pytest.approx(wanted.pan_deg_s, rel=SPEED_SHARE)
        assert after.tilt_deg_s == pytest.approx(wanted.tilt_deg_s, rel=SPEED_SHARE)
    rig.head.stop()


def test_a_speed_above_the_maximum_is_clamped(simulated: SimulatedRig) -> None:
    able = simulated.head.capabilities
    simulated.head.move(Velocity(pan_deg_s=10_000, tilt_deg_s=-10_000))
    simulated.advance_s(0.4)
    state = simulated.state()
    assert state.pan_deg_s == pytest.approx(able.pan_max_deg_s, rel=0.1)
    assert state.tilt_deg_s == pytest.approx(-able.tilt_max_deg_s, rel=0.1)


def test_a_speed_below_the_slowest_step_still_moves(simulated: SimulatedRig) -> None:
    simulated.head.move(Velocity(pan_deg_s=0.01, tilt_deg_s=-0.01))
    simulated.advance_s(1)
    state = simulated.state()
    assert state.pan_deg_s > 0
    assert state.tilt_deg_s < 0


@pytest.mark.parametrize("zeros", [False, True])
def test_a_stop_ends_all_motion_and_all_zeros_is_a_stop(
    simulated: SimulatedRig, zeros: bool
) -> None:
    head = simulated.head
    zoom, focus = float(head.capabilities.zoom_ratio > 1), float(head.capabilities.focus)
    head.move(msgspec.structs.replace(half(head.capabilities, 1, 1), zoom=zoom / 8, focus=focus))
    simulated.advance_s(0.5)
    assert simulated.state().moving
    if zeros:
        head.move(Velocity())
    else:
        head.stop()
    simulated.advance_s(1)
    stopped = simulated.state()
    assert not stopped.moving
    simulated.advance_s(60)
    assert simulated.state() == stopped
    come_to_rest(simulated)


def test_a_new_motion_replaces_the_previous_one(simulated: SimulatedRig) -> None:
    head = simulated.head
    head.move(half(head.capabilities, 1, 0))
    simulated.advance_s(1)
    head.move(half(head.capabilities, 0, 1))
    simulated.advance_s(1)
    state = simulated.state()
    assert state.pan_deg_s == 0
    assert state.tilt_deg_s > 0
    head.move(half(head.capabilities, -1, 0))
    simulated.advance_s(1)
    assert simulated.state().tilt_deg_s == 0
    assert simulated.state().pan_deg_s < 0


def test_a_head_zooms_to_tele_and_back_to_wide(simulated: SimulatedRig) -> None:
    head = simulated.head
    needs(head.capabilities.zoom_ratio > 1, "zoom")
    head.move(Velocity(zoom=1.0))
    simulated.advance_s(0.5)
    assert 0 < simulated.state().zoom < 1
    simulated.advance_s(60)
    assert simulated.state().zoom == 1
    head.move(Velocity(zoom=-0.5))
    simulated.advance_s(0.5)
    part = simulated.state().zoom
    assert part < 1
    head.stop()
    simulated.advance_s(1)
    assert simulated.state().pan_deg == simulated.state().tilt_deg == 0
    if head.capabilities.absolute:
        assert head.read_position().pose.zoom == pytest.approx(simulated.state().zoom, abs=0.01)


def test_a_head_focuses_far_and_near(simulated: SimulatedRig) -> None:
    head = simulated.head
    needs(head.capabilities.focus, "focus")
    head.move(Velocity(focus=1.0))
    simulated.advance_s(0.5)
    far = simulated.state().focus
    assert far > 0
    head.move(Velocity(focus=-1.0))
    simulated.advance_s(0.2)
    assert simulated.state().focus < far
    head.stop()


@pytest.mark.usefixtures("brief_replies")
@pytest.mark.parametrize("is_reopened", [False, True])
def test_the_stop_after_one_that_was_lost_ends_the_focus_motion(
    bench: HeadBench,
    on_line: SerialHeadRig,
    is_reopened: bool,
) -> None:
    assert isinstance(bench, SerialHeadBench)
    head = on_line.head
    needs(head.capabilities.focus, "focus")
    head.move(Velocity(focus=1.0))
    on_line.advance_s(0.1)
    on_line.set_silent(on=True)
    with suppress(DriverError):
        head.stop()
    if is_reopened:
        head.close()
    on_line.set_silent(on=False)
    if is_reopened:
        head = on_line.head = open_head(
            bench.driver,
            bench.options(on_line.line.link),
            on_line.clock.boottime_ns,
            heads.REPLY_TIMEOUT_S,
        )
    before = on_line.state().focus
    on_line.advance_s(0.1)
    assert on_line.state().focus > before, "the stop did not arrive"
    head.stop()
    on_line.advance_s(1)
    stopped_at = on_line.state().focus
    on_line.advance_s(0.1)
    assert on_line.state().focus == stopped_at


def test_motion_ends_only_at_a_stop_or_an_end_stop(simulated: SimulatedRig) -> None:
    head, able = simulated.head, simulated.head.capabilities
    head.move(Velocity(pan_deg_s=able.pan_max_deg_s / 100, tilt_deg_s=0))
    simulated.advance_s(30)
    assert simulated.state().pan_deg_s > 0
    for pan, tilt in ((1, 1), (-1, -1)):
        head.move(half(able, pan, tilt))
        simulated.advance_s(60)
        state, here = simulated.state(), head.read_position()
        edge = able.tilt_deg.high if tilt > 0 else able.tilt_deg.low
        assert state.tilt_deg == pytest.approx(edge, abs=0.5)
        if able.pan_deg is not None:
            edge = able.pan_deg.high if pan > 0 else able.pan_deg.low
            assert state.pan_deg == pytest.approx(edge, abs=0.5)
        assert abs(wrap_deg(here.pose.pan_deg - state.pan_deg)) <= here.error_deg + 1e-6
        assert abs(here.pose.tilt_deg - state.tilt_deg) <= here.error_deg + 1e-6
    head.stop()


def test_an_absolute_head_arrives_and_then_reports_rest(rig: HeadRig) -> None:
    head, able = rig.head, rig.head.capabilities
    needs(able.absolute, "absolute position")
    zooms = (0.5, 0.0) if able.zoom_ratio > 1 else (0.0, 0.0)
    for pan_deg, tilt_deg, zoom in ((20.0, 10.0, zooms[0]), (-15.0, 5.0, zooms[1])):
        head.goto(Pose(pan_deg=pan_deg, tilt_deg=tilt_deg, zoom=zoom), 1.0)
        assert head.read_position().moving
        come_to_rest(rig)
        here, truth = head.read_position(), rig.state().pose
        assert here.error_deg < 1
        for pose in (here.pose, truth):
            assert pose.pan_deg == pytest.approx(pan_deg, abs=here.error_deg + 0.1)
            assert pose.tilt_deg == pytest.approx(tilt_deg, abs=here.error_deg + 0.1)
            assert pose.zoom == pytest.approx(zoom, abs=0.01)


def test_an_out_of_range_target_is_clamped(simulated: SimulatedRig) -> None:
    head, able = simulated.head, simulated.head.capabilities
    needs(able.absolute, "absolute position")
    head.goto(Pose(pan_deg=179, tilt_deg=able.tilt_deg.high + 20), 1.0)
    simulated.advance_s(30)
    state = simulated.state()
    assert state.tilt_deg == pytest.approx(able.tilt_deg.high, abs=0.5)
    pan_deg = 179 if able.pan_deg is None else able.pan_deg.high
    assert state.pan_deg == pytest.approx(pan_deg, abs=0.5)
    head.goto(Pose(pan_deg=-179, tilt_deg=able.tilt_deg.low - 20), 1.0)
    simulated.advance_s(30)
    assert simulated.state().tilt_deg == pytest.approx(able.tilt_deg.low, abs=0.5)


def test_a_move_at_part_of_the_speed_takes_longer(
    bench: HeadBench, simulated: SimulatedRig
) -> None:
    head = simulated.head
    needs(head.capabilities.absolute, "absolute position")
    needs("speed of goto" not in bench.missing_features, "speed of its own for that")

    def takes_ns(pan_deg: float, speed: float) -> int:
        head.goto(Pose(pan_deg=pan_deg, tilt_deg=0), speed)
        simulated.wait_until_idle()
        rests_ns = simulated.simulator.rest_time_ns(("pan",))
        assert rests_ns is not None
        took_ns = rests_ns - simulated.clock.now_ns
        simulated.advance_s(60)
        return took_ns

    takes_ns(60, 1.0)
    slow_ns = takes_ns(-60, 0.25)
    assert slow_ns > 1.5 * takes_ns(60, 1.0)


def test_a_head_without_absolute_moves_rejects_goto(simulated: SimulatedRig) -> None:
    head = simulated.head
    needs(not head.capabilities.absolute, "need of reckoning")
    fails("unsupported", lambda: head.goto(Pose(pan_deg=1, tilt_deg=1), 1.0))
    simulated.wait_until_idle()
    assert simulated.simulator.order_count == 0


def test_the_true_position_is_within_the_reported_error(simulated: SimulatedRig) -> None:
    head, able = simulated.head, simulated.head.capabilities

    def holds() -> None:
        here = head.read_position()
        assert here.t_ns == simulated.clock.now_ns
        assert -180 < here.pose.pan_deg <= 180
        assert 0 <= here.error_deg <= 180
        truth = simulated.state().pose
        assert abs(wrap_deg(here.pose.pan_deg - truth.pan_deg)) <= here.error_deg + 1e-6
        assert abs(here.pose.tilt_deg - truth.tilt_deg) <= here.error_deg + 1e-6
        if able.absolute:
            assert here.error_deg < 1

    holds()
    for pan, tilt, for_s in ((1, 1, 1.0), (-1, 0, 3.0), (1, -1, 0.4), (0, 1, 0.1), (-1, 1, 7.0)):
        head.move(half(able, pan, tilt))
        assert head.read_position().moving
        for _ in range(4):
            holds()
            simulated.advance_s(for_s / 4)
        holds()
        head.stop()
        holds()
        simulated.advance_s(0.05)
        holds()
    simulated.advance_s(5)
    come_to_rest(simulated)
    holds()


def test_a_head_stores_and_recalls_presets(simulated: SimulatedRig) -> None:
    head, able = simulated.head, simulated.head.capabilities
    needs(able.presets, "presets")
    places = []
    for number, pan in ((1, 1), (able.presets, -1)):
        head.move(half(able, pan, 1))
        simulated.advance_s(0.5)
        head.stop()
        simulated.advance_s(1)
        head.store_preset(number)
        places.append(simulated.state())
    for number, place in ((1, places[0]), (able.presets, places[1]), (1, places[0])):
        head.goto_preset(number)
        assert head.read_position().moving
        simulated.advance_s(30)
        assert simulated.state().pan_deg == pytest.approx(place.pan_deg, abs=0.1)
        assert simulated.state().tilt_deg == pytest.approx(place.tilt_deg, abs=0.1)
        come_to_rest(simulated)


def test_a_head_switches_its_auxiliaries(simulated: SimulatedRig) -> None:
    head = simulated.head
    needs(head.capabilities.aux, "wiper, heater or lamp")
    for aux in head.capabilities.aux:
        head.set_aux(aux, on=True)
        simulated.wait_until_idle()
        assert aux in simulated.simulator.aux_on
        head.set_aux(aux, on=False)
        simulated.wait_until_idle()
        assert aux not in simulated.simulator.aux_on


def test_a_missing_capability_is_unsupported(simulated: SimulatedRig) -> None:
    head, able = simulated.head, simulated.head.capabilities
    for number in (0, able.presets + 1):
        fails("unsupported", lambda number=number: head.store_preset(number))  # type: ignore[misc]
        fails("unsupported", lambda number=number: head.goto_preset(number))  # type: ignore[misc]
    for aux in {"wiper", "heater", "ir"} - set(able.aux):
        fails("unsupported", lambda aux=aux: head.set_aux(aux, on=True))  # type: ignore[misc]
    if able.zoom_ratio == 1:
        fails("unsupported", lambda: head.move(Velocity(zoom=1.0)))
    if not able.focus:
        fails("unsupported", lambda: head.move(Velocity(focus=1.0)))
    simulated.wait_until_idle()
    assert simulated.simulator.order_count == 0


def test_a_closed_head_raises_closed_and_closing_twice_does_nothing(rig: HeadRig) -> None:
    work = calls(rig)
    rig.head.close()
    rig.head.close()
    for call in work.values():
        fails("closed", call, match="closed")
    assert rig.head.capabilities.tilt_max_deg_s > 0


def test_closing_stops_the_head(simulated: SimulatedRig) -> None:
    simulated.head.move(half(simulated.head.capabilities, 1, 1))
    simulated.advance_s(0.5)
    assert simulated.state().moving
    simulated.head.close()
    simulated.advance_s(2)
    assert not simulated.state().moving


@pytest.mark.usefixtures("brief_replies")
def test_a_head_that_does_not_answer_times_out_and_is_back_when_it_does(
    bench: HeadBench, simulated: SimulatedRig
) -> None:
    head = simulated.head
    needs(head.capabilities.absolute, "answers whose absence could be noticed")
    simulated.set_silent(on=True)
    for name, call in calls(simulated).items():
        if name == "position" or "answers to orders" not in bench.missing_features:
            fails("timeout", call)
    simulated.set_silent(on=False)
    head.stop()
    come_to_rest(simulated)
    head.move(half(head.capabilities, 1, 0))
    simulated.advance_s(0.5)
    assert simulated.state().pan_deg_s > 0


@pytest.mark.usefixtures("brief_replies")
def test_a_stop_overtakes_a_waiting_call_and_cancels_queued_ones(
    on_line: SerialHeadRig,
) -> None:
    head, able = on_line.head, on_line.head.capabilities
    head.move(half(able, 1, 0))
    on_line.advance_s(0.5)
    assert on_line.state().pan_deg_s > 0
    on_line.line.set_muted(on=True)
    begun = threading.Barrier(3)

    def call(work: Callable[[], object]) -> None:
        begun.wait()
        with suppress(DriverError):
            work()

    threads = [
        threading.Thread(target=call, args=(work,))
        for work in (head.read_position, lambda: head.move(half(able, 0, 1)))
    ]
    for thread in threads:
        thread.start()
    begun.wait()
    began = monotonic()
    with suppress(DriverError):
        head.stop()
    assert monotonic() - began < WITHIN_S
    for thread in threads:
        thread.join(IDLE_TIMEOUT_S)
        assert not thread.is_alive()
    on_line.line.set_muted(on=False)
    # The other motion came before the stop and was ended or taken away, or after it and stays.
    with suppress(DriverError):
        head.stop()
    on_line.advance_s(2)
    assert not on_line.state().moving


@pytest.mark.usefixtures("brief_replies")
def test_a_stop_reaches_a_head_that_does_not_answer(on_line: SerialHeadRig) -> None:
    head = on_line.head
    head.move(half(head.capabilities, -1, 1))
    on_line.advance_s(0.5)
    on_line.line.set_muted(on=True)
    with suppress(DriverError):
        head.stop()
    on_line.advance_s(2)
    assert not on_line.state().moving


def received_bytes() -> int:
    """Return the number of bytes received on the lines of this process."""
    return sum(bus.bytes_received for bus in BUSES.health())


def wait_for_a_reply(head: Ptz) -> None:
    """Read the position as often as it takes: on a busy machine a reply may be late."""
    deadline_s = monotonic() + IDLE_TIMEOUT_S
    while True:
        try:
            head.read_position()
        except DriverError:
            if monotonic() > deadline_s:
                raise
        else:
            return


@pytest.mark.usefixtures("brief_replies")
def test_a_million_bytes_of_noise_move_nothing_and_are_forgotten(on_line: SerialHeadRig) -> None:
    head, orders = on_line.head, on_line.simulator.order_count
    wait_for_a_reply(head)
    began = received_bytes()
    for block in range(1, 1001):
        on_line.noise_source.bytes_left = 1000
        on_line.wait_until_idle()
        while received_bytes() - began < 1000 * block:
            os.sched_yield()
    assert on_line.simulator.order_count == orders
    assert (on_line.state().pan_deg, on_line.state().tilt_deg) == (0, 0)
    on_line.line.set_noise(to_host=LineNoise(flip=0.01), to_heads=LineNoise(flip=0.01))
    for _ in range(20):
        with suppress(DriverError):
            head.read_position()
    assert on_line.simulator.order_count == orders
    on_line.line.set_noise()
    wait_for_a_reply(head)
    assert not on_line.state().moving


def test_a_head_is_thread_safe(simulated: SimulatedRig) -> None:
    head, able = simulated.head, simulated.head.capabilities
    failed: list[DriverError] = []

    def call(number: int) -> None:
        try:
            for _ in range(5):
                head.move(half(able, (-1) ** number, 0))
                head.read_position()
                head.stop()
        except DriverError as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(IDLE_TIMEOUT_S)
        assert not thread.is_alive()
    head.stop()
    simulated.advance_s(2)
    assert not simulated.state().moving
    assert failed == []


def test_an_unplugged_adapter_is_absent_and_works_after_replugging(
    on_line: SerialHeadRig,
) -> None:
    work = calls(on_line)
    for pull in range(2):
        on_line.line.unplug()
        for call in work.values():
            fails("absent", call)
        on_line.line.plug_in()
        on_line.head.move(half(on_line.head.capabilities, 1, 0))
        on_line.advance_s(0.5)
        assert on_line.state().pan_deg_s > 0, f"after {pull + 1} pulls"
        on_line.head.read_position()
        on_line.head.stop()


def test_a_missing_port_is_absent_and_one_in_use_is_busy(bench: HeadBench, tmp_path: Path) -> None:
    if not isinstance(bench, SerialHeadBench):
        pytest.skip("a head without a serial line")
    with pytest.raises(DriverError) as caught:
        open_head(bench.driver, bench.options(tmp_path / "none"), lambda: 0)
    assert caught.value.kind == "absent"
    body = HeadSimulator(bench.mechanics)
    line = PtySerialLine(tmp_path / "line", [bench.make_device(body)], lambda: 0)
    try:
        with serial.Serial(str(line.link), exclusive=True):
            with pytest.raises(DriverError) as caught:
                open_head(bench.driver, bench.options(line.link), lambda: 0)
            assert caught.value.kind == "busy"
    finally:
        line.close()


def test_ten_openings_leave_nothing_open(bench: HeadBench, tmp_path: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would hold them open

    def threads() -> int:
        return threading.active_count()

    def use() -> None:
        with bench.set_up(tmp_path) as rig:
            rig.head.read_position()

    use()
    before = open_files(), threads()
    for _ in range(10):
        use()
    assert open_files() <= before[0] + 1
    assert threads() <= before[1]


def test_two_heads_do_not_affect_each_other(bench: HeadBench, tmp_path: Path) -> None:
    if isinstance(bench, HardwareBench):
        pytest.skip("there is one")
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(bench.set_up(_folder(tmp_path, name))) for name in ("a", "b")
        )
        first.head.move(half(first.head.capabilities, 1, 0))
        first.advance_s(0.5)
        second.advance_s(0.5)
        assert first.state().moving
        assert not second.state().moving


def _folder(within: Path, name: str) -> Path:
    (within / name).mkdir()
    return within / name
