"""agent.ptz.head: motion never outlives its lease, whatever happens; and position reports."""

import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.base.model import RefusalCode
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import FieldOfView, ForbiddenSector, RatedLife
from agent.ptz.head_stage import LEAVE_SECTOR_AFTER_S
from agent.ptz.motion.forbidden_sectors import first_visible_sector, swept_area
from agent.ptz.requests import AbsoluteMove, ContinuousMove, GotoPreset, HeadState, MoveRequest
from drivers.angles import wrap_deg
from drivers.contracts import Pose, PtzPosition, Range, Velocity
from drivers.errors import DriverError, DriverErrorKind
from drivers.pelco_codec import STOP_MOTION, AddressedMessage, encode_frame
from drivers.pelco_head import STOP_REPEATS
from drivers.pelco_options import ReferencePreset
from drivers.ptz import pelco_d
from drivers.serial_bus import BUSES
from simulation.heads.head_simulator import NO_FAULT, InjectedFault
from simulation.ptz.fake import FakeHead
from tests.parts.head_rig import (
    ANNA,
    HEAD_OPTIONS,
    INCIDENT,
    PLAIN_CONFIG,
    STAGE_INTERVAL_S,
    TOUR,
    HeadRig,
    ReckoningHead,
)
from tests.whole.report.reporting_box import wait_until

STOPPING_S = 0.25 + 0.04 + 2 * STAGE_INTERVAL_S
"""The body's ramp and lag, and the turns in which the stage finds that something is over."""
RIGHT = ContinuousMove(pan=1.0, for_s=5.0)


def changed(**keys: object) -> object:
    return msgspec.structs.replace(PLAIN_CONFIG, **keys)


@pytest.fixture
def rig(tmp_path: Path) -> HeadRig:
    return HeadRig(tmp_path).start()


def refused(kind: RefusalCode, message: str | None = None) -> object:
    return pytest.raises(CommandRejected, match=message, check=lambda error: error.code == kind)


# Motion and its right


def test_a_move_ends_after_its_time(rig: HeadRig) -> None:
    rig.head.move(ContinuousMove(pan=0.5, for_s=2.0), ANNA)
    rig.advance_s(1.9)
    assert rig.speed == pytest.approx(30)
    rig.advance_s(STOPPING_S)
    assert rig.speed == 0
    assert rig.pose.pan_deg == pytest.approx(60, abs=10)


def test_a_move_ends_after_the_maximum_move_time(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, changed(max_move_s=1.0)).start()
    rig.head.move(ContinuousMove(pan=0.2, for_s=60), ANNA)
    rig.advance_s(1.0 + STOPPING_S)
    assert rig.speed == 0


def test_a_move_ends_with_its_holders_lease(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, changed(lease_s=2.0)).start()
    rig.head.move(ContinuousMove(pan=0.2, for_s=15), ANNA)
    rig.advance_s(1.9)
    assert rig.speed > 0
    rig.advance_s(STOPPING_S)
    assert rig.speed == 0
    assert rig.head.state().lease is None


def test_an_extended_lease_keeps_the_head_moving(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, changed(lease_s=2.0)).start()
    rig.head.move(ContinuousMove(pan=0.1, for_s=15), ANNA)
    for _ in range(5):
        rig.advance_s(1.0)
        rig.head.acquire(ANNA)
        assert rig.speed > 0


def test_releasing_the_head_ends_the_move(rig: HeadRig) -> None:
    lease = rig.head.move(RIGHT, ANNA)
    rig.advance_s(1)
    rig.head.release(ANNA, lease.token)
    rig.advance_s(STOPPING_S)
    assert rig.speed == 0


def test_taking_the_head_ends_a_weaker_requesters_move(rig: HeadRig) -> None:
    rig.head.move(AbsoluteMove(pan_deg=160, tilt_deg=0), TOUR)
    rig.advance_s(1)
    assert rig.speed > 0
    rig.head.acquire(INCIDENT)
    rig.advance_s(STOPPING_S)
    assert rig.speed == 0
    with refused("busy", "'incident 7' \\(incident\\) has it"):
        rig.head.move(RIGHT, TOUR)


def test_a_stop_of_any_requester_is_executed_at_once_and_ends_no_lease(rig: HeadRig) -> None:
    lease = rig.head.move(RIGHT, ANNA)
    rig.advance_s(1)
    rig.head.stop()
    rig.clock.advance_s(0.3)
    assert rig.speed == 0
    assert rig.head.state().lease == lease
    rig.head.move(RIGHT, ANNA, lease.token)
    rig.advance_s(0.5)
    assert rig.speed > 0


def test_the_head_stops_at_once_when_the_agent_stops(rig: HeadRig) -> None:
    rig.head.move(RIGHT, ANNA)
    rig.advance_s(1)
    rig.stage.close()
    rig.clock.advance_s(0.3)
    assert rig.speed == 0
    with refused("unavailable"):
        rig.head.move(RIGHT, ANNA)


def test_a_failed_loop_turn_stops_the_head_until_the_next_turn(
    tmp_path: Path,
) -> None:
    class Broken:
        requester, tour, breaks = TOUR, None, False

        def step(self, t_ns: int, state: HeadState) -> MoveRequest | None:
            if self.breaks:
                raise RuntimeError("a bug")
            return None

        def on_rejected(self, t_ns: int, request: MoveRequest, rejection: CommandRejected) -> None:
            raise AssertionError

    mover = Broken()
    rig = HeadRig(tmp_path, movers=[mover]).start()
    rig.head.move(RIGHT, TOUR)
    rig.advance_s(1)
    mover.breaks = True
    with pytest.raises(RuntimeError, match="a bug"):
        rig.run_stage()
    rig.clock.advance_s(0.3)
    assert rig.speed == 0
    with refused("failed", "its stage does not run"):
        rig.head.move(RIGHT, TOUR)
    mover.breaks = False
    rig.run_stage()
    rig.head.move(RIGHT, TOUR)


def test_no_motion_starts_while_the_stage_hangs(rig: HeadRig) -> None:
    rig.clock.advance_s(11)
    with refused("failed", "its stage does not run"):
        rig.head.move(RIGHT, ANNA)


def test_a_head_is_stopped_when_it_is_opened(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path)
    rig.run_stage()
    assert rig.opened_heads[0].simulator.order_count == 1
    rig.opened_heads[0].simulator.apply_orders(rig.clock.now_ns, {})
    assert rig.speed == 0


# A head that is away, or does not answer


@pytest.mark.parametrize("kind", ["absent", "busy"])
@pytest.mark.raises_fault("PTZ-01")
def test_a_head_that_cannot_be_opened_is_a_fault_and_tried_again(
    tmp_path: Path, kind: DriverErrorKind
) -> None:
    rig = HeadRig(tmp_path)
    rig.open_error = DriverError(kind, "/dev/ttyUSB0: not there")
    rig.run_stage()
    assert rig.active_fault_codes() == {"PTZ-01"}
    assert rig.head.capabilities is None
    assert rig.head.state().error == "/dev/ttyUSB0: not there"
    for ask in (lambda: rig.head.move(RIGHT, ANNA), rig.head.stop):
        with refused("unavailable", "/dev/ttyUSB0: not there"):
            ask()
    rig.advance_s(60)
    rig.open_error = None
    rig.advance_s(5.2)
    assert rig.active_fault_codes() == set()
    assert rig.head.capabilities is not None
    rig.head.move(RIGHT, ANNA)


def test_a_line_cut_during_a_move_is_reopened_and_the_head_stopped(
    rig: HeadRig,
) -> None:
    rig.head.move(ContinuousMove(pan=-0.5, for_s=15), ANNA)
    rig.advance_s(0.5)
    body = rig.opened_heads[0].simulator
    rig.opened_heads[0].unplug()
    rig.open_error = DriverError("absent", "unplugged")
    rig.advance_s(1)
    assert rig.speed > 0
    assert rig.active_fault_codes() == {"PTZ-01"}
    before = body.order_count
    rig.open_error = None
    rig.advance_s(2)
    assert body.order_count == before + 1
    assert rig.speed == 0
    assert rig.active_fault_codes() == set()
    assert rig.head.health().reconnects == 1


@pytest.mark.raises_fault("PTZ-01")
def test_a_stop_that_a_serial_server_never_took_is_sent_again_when_the_line_is_back(
    tmp_path: Path,
) -> None:
    stop = STOP_REPEATS * encode_frame("D", AddressedMessage(address=1, message=STOP_MOTION))
    with socket.create_server(("127.0.0.1", 0)) as server:
        options = pelco_d.Options(
            port=f"socket://127.0.0.1:{server.getsockname()[1]}",
            baud=115200,
            tilt_deg=Range(low=-90, high=20),
            pan_max_deg_s=40,
            tilt_max_deg_s=20,
            presets=1,
            preset_deg_s=40,
            reference_presets=(ReferencePreset(preset=1, pan_deg=0, tilt_deg=0),),
        )
        rig = HeadRig(tmp_path, open_driver=lambda clock: pelco_d.open_ptz("mast", options, clock))
        rig.start()
        link, _ = server.accept()
        assert link.recv(len(stop), socket.MSG_WAITALL) == stop
        rig.store_preset("crossing", Pose(pan_deg=0, tilt_deg=0), number=1)
        rig.head.move(GotoPreset(preset="crossing"), ANNA)
        rig.advance_s(20)
        rig.head.move(RIGHT, ANNA)
        rig.advance_s(10)
        assert not rig.head.state().moving
        assert not rig.head.connection.stop_pending
        assert position_error_deg(rig) < 60
        # The server reads nothing more: the stop is lost with the connection.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.close()
        wait_until(lambda: not BUSES.health()[0].is_open)
        rig.advance_s(11)
        assert rig.head.health().reconnects == 1
        assert position_error_deg(rig) == 180
        assert not rig.head.connection.stop_pending
        # The lost driver ends with a stop, on a connection of its own; the new one begins with a stop.
        with server.accept()[0] as first, server.accept()[0] as second:
            assert first.recv(len(stop), socket.MSG_WAITALL) == stop
            assert second.recv(len(stop), socket.MSG_WAITALL) == stop
            assert rig.active_fault_codes() == set()
            rig.stage.close()


def position_error_deg(rig: HeadRig) -> float:
    position = rig.head.state().position
    assert position is not None
    return position.error_deg


@pytest.mark.raises_fault("PTZ-03")
def test_a_silent_head_is_stopped_as_soon_as_it_answers_again(rig: HeadRig) -> None:
    rig.head.move(ContinuousMove(pan=0.2, for_s=15), ANNA)
    rig.advance_s(0.5)
    body = rig.opened_heads[0].simulator
    body.inject_fault(rig.clock.now_ns, InjectedFault(silent=True))
    rig.advance_s(1)
    assert rig.active_fault_codes() == {"PTZ-03"}
    assert rig.head.state().position is None
    assert rig.head.state().moving
    with refused("unavailable", "no answer"):
        rig.head.stop()
    assert rig.speed > 0
    body.inject_fault(rig.clock.now_ns, NO_FAULT)
    rig.advance_s(2 + STOPPING_S)
    assert rig.speed == 0
    rig.advance_s(3)
    assert rig.active_fault_codes() == set()
    assert not rig.head.state().moving


def test_a_busy_head_that_is_open_rejects_the_order_and_raises_no_fault(tmp_path: Path) -> None:
    class BusyHead(FakeHead):
        is_busy = False

        def move(self, velocity: Velocity) -> None:
            if self.is_busy:
                raise DriverError("busy", "both sockets of the camera stay busy")
            super().move(velocity)

    rig = HeadRig(tmp_path, head_class=BusyHead).start()
    driver = rig.opened_heads[0]
    assert isinstance(driver, BusyHead)
    driver.is_busy = True
    with refused("unavailable", "both sockets"):
        rig.head.move(RIGHT, ANNA)
    assert rig.head.state().error == "both sockets of the camera stay busy"
    driver.is_busy = False
    rig.advance_s(1)
    assert rig.active_fault_codes() == set()
    assert rig.head.state().error is None
    rig.head.move(RIGHT, ANNA)
    assert rig.head.health().reconnects == 0


@pytest.mark.raises_fault("PTZ-02")
def test_noise_on_the_line_is_a_fault_until_it_is_quiet(rig: HeadRig) -> None:
    rig.advance_s(31)
    rig.noise_bytes = 50
    rig.advance_s(31)
    assert rig.active_fault_codes() == {"PTZ-02"}
    rig.advance_s(31)
    assert rig.active_fault_codes() == set()


# Going somewhere


@pytest.mark.parametrize("kind", [None, ReckoningHead])
@pytest.mark.parametrize("target", [(-150.0, 30.0), (100.0, -20.0), (2.0, 0.0)])
def test_a_head_moves_to_its_target(
    tmp_path: Path, kind: type[ReckoningHead] | None, target: tuple[float, float]
) -> None:
    rig = HeadRig(tmp_path, **({"head_class": kind} if kind else {})).start()
    rig.head.move(AbsoluteMove(pan_deg=target[0], tilt_deg=target[1]), ANNA)
    assert rig.head.state().moving
    rig.advance_s(8)
    assert (rig.pose.pan_deg, rig.pose.tilt_deg) == pytest.approx(target, abs=0.5)
    state = rig.head.state()
    assert not state.moving
    assert state.settled
    assert state.error is None
    assert rig.active_fault_codes() == set()


ACROSS_THE_BACK = msgspec.structs.replace(HEAD_OPTIONS, pan_deg=Range(low=0, high=355))


def mechanical_pan_deg(rig: HeadRig) -> float:
    """The pan of the body, continuous from end stop to end stop."""
    return rig.opened_heads[-1].simulator.state_at(rig.clock.now_ns).pan_deg


@pytest.mark.parametrize("kind", [FakeHead, ReckoningHead])
@pytest.mark.parametrize(
    ("targets", "rest_deg"),
    [
        ((-90.0,), 270),
        ((-170.0,), 190),
        ((180.0,), 180),
        ((-70.0, 100.0), 100),
        ((100.0, -100.0, -20.0, 5.0), 5),
        ((-70.0, -2.0), 0),
        ((-4.0,), 355),
    ],
)
def test_a_head_whose_range_reaches_across_the_back_moves_to_its_target(
    tmp_path: Path, kind: type[FakeHead], targets: tuple[float, ...], rest_deg: float
) -> None:
    rig = HeadRig(tmp_path, head_options=ACROSS_THE_BACK, head_class=kind).start()
    for pan_deg in targets:
        rig.head.move(AbsoluteMove(pan_deg=pan_deg, tilt_deg=0), ANNA)
        rig.advance_s(15)
        assert rig.head.state().error is None
    assert mechanical_pan_deg(rig) == pytest.approx(rest_deg, abs=0.5)
    assert rig.active_fault_codes() == set()


class PlayHead(FakeHead):
    """A head whose pan is reported a little to the left."""

    def read_position(self) -> PtzPosition:
        position = super().read_position()
        pan_deg = wrap_deg(position.pose.pan_deg - 0.1)
        pose = msgspec.structs.replace(position.pose, pan_deg=pan_deg)
        return msgspec.structs.replace(position, pose=pose, error_deg=0.2)


@pytest.mark.parametrize(
    ("span", "end_deg"), [(Range(low=0, high=360), 0), (Range(low=-180, high=180), 180)]
)
def test_a_head_that_rests_next_to_an_end_of_a_full_turn_has_arrived(
    tmp_path: Path, span: Range, end_deg: float
) -> None:
    options = msgspec.structs.replace(HEAD_OPTIONS, pan_deg=span)
    rig = HeadRig(tmp_path, head_options=options, head_class=PlayHead)
    rig.run_stage()
    rig.opened_heads[0].simulator.goto(rig.clock.now_ns, Pose(pan_deg=90, tilt_deg=0))
    rig.advance_s(5)
    rig.head.move(AbsoluteMove(pan_deg=end_deg, tilt_deg=0), ANNA)
    rig.advance_s(12)
    assert rig.head.state().error is None
    assert mechanical_pan_deg(rig) == end_deg


@pytest.mark.parametrize("kind", [FakeHead, ReckoningHead])
def test_a_preset_across_the_back_is_recalled(tmp_path: Path, kind: type[FakeHead]) -> None:
    rig = HeadRig(tmp_path, head_options=ACROSS_THE_BACK, head_class=kind).start()
    rig.head.move(AbsoluteMove(pan_deg=-70, tilt_deg=0), ANNA)
    rig.advance_s(15)
    rig.head.set_preset("gate", ANNA, None)
    rig.head.move(AbsoluteMove(pan_deg=50, tilt_deg=0), ANNA)
    rig.advance_s(15)
    assert rig.head.state().preset is None
    rig.head.move(GotoPreset(preset="gate"), ANNA)
    rig.advance_s(15)
    assert mechanical_pan_deg(rig) == pytest.approx(290, abs=0.5)
    assert rig.head.state().preset == "gate"


def test_a_target_out_of_range_is_clamped(rig: HeadRig) -> None:
    rig.head.move(AbsoluteMove(pan_deg=-180, tilt_deg=-90), ANNA)
    rig.advance_s(8)
    assert (rig.pose.pan_deg, rig.pose.tilt_deg) == (-170, -30)
    assert rig.active_fault_codes() == set()


def test_a_move_too_slow_to_arrive_in_time_is_sped_up(rig: HeadRig) -> None:
    rig.head.move(AbsoluteMove(pan_deg=160, tilt_deg=0, speed=0.05), ANNA)
    rig.advance_s(19)
    assert rig.pose.pan_deg == pytest.approx(160)


def test_a_move_that_cannot_arrive_in_time_is_rejected(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, changed(max_move_s=3.0)).start()
    with refused("unsupported", "max_move_s = 3"):
        rig.head.move(AbsoluteMove(pan_deg=160, tilt_deg=0), ANNA)
    assert rig.head.state().lease is None


@pytest.mark.raises_fault("PTZ-04")
def test_a_stuck_head_does_not_arrive(tmp_path: Path) -> None:
    rig = HeadRig(
        tmp_path, head_options=msgspec.structs.replace(HEAD_OPTIONS, stuck=("pan",))
    ).start()
    rig.head.move(AbsoluteMove(pan_deg=60, tilt_deg=10), ANNA)
    rig.advance_s(6)
    assert rig.active_fault_codes() == {"PTZ-04"}
    assert "sent to pan 60.0 tilt 10.0 and found at pan 0.0" in (rig.head.state().error or "")
    rig.opened_heads[0].simulator.inject_fault(rig.clock.now_ns, NO_FAULT)
    rig.head.move(AbsoluteMove(pan_deg=60, tilt_deg=10), ANNA)
    rig.advance_s(6)
    assert rig.active_fault_codes() == set()
    assert rig.head.state().error is None


@pytest.mark.raises_fault("PTZ-04")
def test_a_stuck_head_does_not_arrive_with_a_lease_shorter_than_its_move(tmp_path: Path) -> None:
    rig = HeadRig(
        tmp_path,
        changed(lease_s=2.0),
        head_options=msgspec.structs.replace(HEAD_OPTIONS, stuck=("pan",)),
    ).start()
    rig.head.move(AbsoluteMove(pan_deg=60, tilt_deg=10), ANNA)
    rig.advance_s(6)
    assert rig.active_fault_codes() == {"PTZ-04"}
    assert rig.head.state().lease is None
    assert rig.speed == 0


@pytest.mark.raises_fault("PTZ-06")
def test_a_head_that_moves_without_an_order_is_a_fault_until_it_rests_again(tmp_path: Path) -> None:
    options = msgspec.structs.replace(HEAD_OPTIONS, drift_deg_s=0.2)
    rig = HeadRig(tmp_path, head_options=options).start()
    rig.advance_s(30)
    assert rig.active_fault_codes() == set()  # three reports, ten seconds apart
    rig.advance_s(30)
    assert rig.active_fault_codes() == {"PTZ-06"}
    (fault,) = rig.faults.active()
    assert re.fullmatch(
        r"it rested at pan 0\.\d tilt 0\.0 and is at pan \d+\.\d tilt 0\.0 without an order",
        fault.detail,
    )
    rig.opened_heads[0].simulator.inject_fault(rig.clock.now_ns, NO_FAULT)
    rig.head.move(AbsoluteMove(pan_deg=0, tilt_deg=0), ANNA)
    rig.advance_s(60)
    assert rig.active_fault_codes() == set()


class ShakenHead(FakeHead):
    """Reports a position that wind shakes by three degrees, once in each twenty seconds."""

    def read_position(self) -> PtzPosition:
        position = super().read_position()
        pan_deg = position.pose.pan_deg + (3.0 if self._clock_ns() // 10**10 % 2 else 0.0)
        return msgspec.structs.replace(
            position, pose=msgspec.structs.replace(position.pose, pan_deg=pan_deg)
        )


def test_a_head_that_wind_shakes_is_no_fault(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, head_class=ShakenHead).start()
    rig.advance_s(300)
    assert rig.active_fault_codes() == set()


def test_a_head_that_its_guard_tour_moves_is_no_fault(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, movers=(Pendulum(dwell_s=35),)).start()
    rig.advance_s(300)
    assert len(rig.rest_reports) > 8
    assert rig.active_fault_codes() == set()


def test_a_move_to_the_current_position_starts_no_motor(rig: HeadRig) -> None:
    before = rig.opened_heads[0].simulator.order_count
    rig.head.move(AbsoluteMove(pan_deg=0.2, tilt_deg=0.1), ANNA)
    rig.advance_s(1)
    assert rig.opened_heads[0].simulator.order_count == before


def test_speeds_in_the_dead_zone_move_nothing(rig: HeadRig) -> None:
    before = rig.opened_heads[0].simulator.order_count
    rig.head.move(ContinuousMove(pan=0.05, tilt=-0.04), ANNA)
    rig.advance_s(1)
    assert rig.opened_heads[0].simulator.order_count == before
    rig.head.move(ContinuousMove(pan=0.06, tilt=-0.04), ANNA)
    rig.advance_s(1)
    state = rig.opened_heads[0].simulator.state_at(rig.clock.now_ns)
    assert state.pan_deg > 0
    assert state.tilt_deg == 0


def test_a_missing_axis_cannot_be_moved(tmp_path: Path) -> None:
    rig = HeadRig(
        tmp_path, head_options=msgspec.structs.replace(HEAD_OPTIONS, zoom_ratio=1, focus=False)
    ).start()
    for motion_request in (ContinuousMove(zoom=1.0), ContinuousMove(focus=-1.0)):
        with refused("unsupported"):
            rig.head.move(motion_request, ANNA)
    rig.head.move(AbsoluteMove(pan_deg=10, tilt_deg=0, zoom=0.5), ANNA)
    with refused("unsupported", "has no wiper"):
        HeadRig(
            tmp_path / "2", head_options=msgspec.structs.replace(HEAD_OPTIONS, aux=())
        ).start().head.set_aux("wiper", True, ANNA, None)


def test_switching_an_auxiliary_takes_the_head_from_no_requester(rig: HeadRig) -> None:
    lease = rig.head.acquire(TOUR)
    rig.head.set_aux("wiper", True, ANNA, None)
    assert rig.opened_heads[0].simulator.aux_on == {"wiper"}
    assert rig.head.state().lease == lease
    rig.head.acquire(ANNA)
    with refused("busy"):
        rig.head.set_aux("wiper", False, TOUR, None)


# Presets, rest, home


def test_a_preset_stores_the_current_pose_and_recalls_it(rig: HeadRig) -> None:
    rig.head.move(AbsoluteMove(pan_deg=50, tilt_deg=-10, zoom=0.5), ANNA)
    with refused("failed", "a preset is set while the head rests"):
        rig.head.set_preset("gate", ANNA, None)
    rig.advance_s(8)
    rig.head.set_preset("gate", ANNA, None)
    assert rig.head.state().preset == "gate"
    rig.head.move(AbsoluteMove(pan_deg=0, tilt_deg=0), ANNA)
    rig.advance_s(8)
    assert rig.head.state().preset is None
    rig.head.move(GotoPreset(preset="gate"), ANNA)
    rig.advance_s(8)
    assert rig.head.state().preset == "gate"
    (preset,) = rig.head.presets()
    assert (preset.stored_by, preset.number) == ("anna", None)
    rig.head.delete_preset("gate")
    assert rig.head.state().preset is None
    with refused("unknown", "it has: none yet"):
        rig.head.move(GotoPreset(preset="gate"), ANNA)


def test_a_dead_reckoned_head_uses_its_own_presets(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, head_class=ReckoningHead).start()
    rig.head.move(AbsoluteMove(pan_deg=50, tilt_deg=-10), ANNA)
    rig.advance_s(8)
    rig.head.set_preset("gate", ANNA, None)
    assert rig.head.presets()[0].number == 1
    assert rig.opened_heads[0].simulator.preset_numbers == {1}
    rig.head.move(AbsoluteMove(pan_deg=-50, tilt_deg=0), ANNA)
    rig.advance_s(8)
    # Wherever it believes to be, its memory is where it was.
    ReckoningHead.error_deg, before = 180.0, ReckoningHead.error_deg
    try:
        with refused("failed", "its position is unknown"):
            rig.clock.advance_s(1)
            rig.run_stage()
            rig.head.controller.query_position()
            rig.head.move(AbsoluteMove(pan_deg=0, tilt_deg=0), ANNA)
        rig.head.move(GotoPreset(preset="gate"), ANNA)
        rig.advance_s(8)
    finally:
        ReckoningHead.error_deg = before
    assert rig.pose.pan_deg == pytest.approx(50, abs=0.5)
    assert rig.head.state().preset == "gate"


def test_a_frame_listener_is_notified_before_a_motion_starts(rig: HeadRig) -> None:
    rig.store_preset("gate", Pose(pan_deg=40, tilt_deg=0))
    assert rig.rest_reports[-1] == (None, True)
    orders = rig.opened_heads[0].simulator.order_count
    rig.orders_at_rest_reports.clear()
    rig.head.move(GotoPreset(preset="gate"), ANNA)
    assert rig.orders_at_rest_reports == [orders]
    assert rig.rest_reports[-1] == (None, False)
    rig.advance_s(8)
    assert rig.rest_reports[-2:] == [("gate", False), ("gate", True)]


def test_an_idle_head_returns_home(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, changed(home="gate", home_after_s=60)).start()
    rig.store_preset("gate", Pose(pan_deg=-30, tilt_deg=5))
    rig.head.move(AbsoluteMove(pan_deg=30, tilt_deg=0), ANNA)
    rig.advance_s(55)
    assert rig.head.state().preset is None
    rig.advance_s(10)
    assert rig.head.state().preset == "gate"
    orders = rig.opened_heads[0].simulator.order_count
    rig.advance_s(130)
    assert rig.opened_heads[0].simulator.order_count == orders


class Once:
    """A mover that wants one thing, for a person."""

    requester, tour = ANNA, None

    def __init__(self) -> None:
        self.requests: list[MoveRequest] = [AbsoluteMove(pan_deg=20, tilt_deg=0)]

    def step(self, t_ns: int, state: HeadState) -> MoveRequest | None:
        return self.requests.pop() if self.requests else None

    def on_rejected(self, t_ns: int, request: MoveRequest, rejection: CommandRejected) -> None:
        raise AssertionError


def test_a_mover_may_be_registered_and_removed(rig: HeadRig) -> None:
    mover = Once()
    rig.head.movers.add(mover)
    rig.advance_s(3)
    assert rig.pose.pan_deg == pytest.approx(20)
    rig.head.movers.remove(mover)
    mover.requests.append(AbsoluteMove(pan_deg=0, tilt_deg=0))
    rig.advance_s(3)
    assert rig.pose.pan_deg == pytest.approx(20)


class Pendulum:
    """A mover that swings between two places, and leaves each after `dwell_s`."""

    requester, tour = Requester(id="tour swing", role="tour"), "swing"

    def __init__(self, dwell_s: float = 0.0) -> None:
        self.refusals: list[str] = []
        self.way = 40.0
        self._dwell_s = dwell_s
        self._leaves_ns = 0

    def step(self, t_ns: int, state: HeadState) -> MoveRequest | None:
        if state.moving:
            self._leaves_ns = t_ns + int(self._dwell_s * 1e9)
        if state.moving or t_ns < self._leaves_ns:
            return None
        self.way = -self.way
        return AbsoluteMove(pan_deg=self.way, tilt_deg=0)

    def on_rejected(self, t_ns: int, request: MoveRequest, rejection: CommandRejected) -> None:
        self.refusals.append(rejection.code)


def test_a_mover_moves_unless_a_stronger_requester_holds_the_head(tmp_path: Path) -> None:
    mover = Pendulum()
    rig = HeadRig(tmp_path, changed(lease_s=5.0), movers=[mover]).start()
    assert rig.head.state().tour == "swing"
    assert rig.head.state().moving
    rig.head.move(ContinuousMove(tilt=0.5, for_s=1.0), ANNA)
    rig.advance_s(4.8)
    assert not rig.head.state().moving
    rig.advance_s(0.4)
    assert rig.head.state().moving
    assert mover.refusals == []


def test_after_a_stop_no_mover_moves_for_a_while(tmp_path: Path) -> None:
    rig = HeadRig(tmp_path, changed(lease_s=5.0), movers=[Pendulum()]).start()
    rig.head.stop()
    rig.advance_s(0.8)
    for _ in range(40):
        assert not rig.head.state().moving
        rig.advance_s(0.1)
    rig.advance_s(0.4)
    assert rig.head.state().moving
    rig.head.stop()
    rig.advance_s(0.8)
    assert not rig.head.state().moving
    rig.head.movers.resume()
    rig.advance_s(0.1)
    assert rig.head.state().moving


# Sectors

WINDOWS = ForbiddenSector(name="windows", pan_deg=(60.0, 100.0), tilt_deg=(-20.0, 30.0))
FOV = FieldOfView(wide=40.0, tele=4.0)


def seen_pan_deg(rig: HeadRig) -> float:
    return rig.pose.pan_deg + (40 + (4 - 40) * rig.pose.zoom) / 2


@pytest.mark.parametrize("kind", [None, ReckoningHead])
@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_a_continuous_move_stops_before_a_sector_enters_the_picture(
    tmp_path: Path, share: float, kind: type[ReckoningHead] | None
) -> None:
    config = changed(forbidden=(WINDOWS,), fov_deg=FOV)
    rig = HeadRig(tmp_path, config, **({"head_class": kind} if kind else {})).start()
    rig.head.move(ContinuousMove(pan=share, for_s=15), ANNA)
    for _ in range(160):
        rig.advance_s(0.1)
        assert seen_pan_deg(rig) < 60
    assert seen_pan_deg(rig) > 50
    assert rig.speed == 0
    assert "sector 'windows' is in the way" in (rig.head.state().error or "")
    with refused("forbidden", "'windows'"):
        rig.head.move(ContinuousMove(pan=1.0), ANNA)
    rig.head.move(ContinuousMove(pan=-1.0, tilt=0.2), ANNA)


class AskedHead(FakeHead):
    """A head during whose position query something happens."""

    during_query: Callable[[], object] = bool

    def read_position(self) -> PtzPosition:
        self.during_query()
        return super().read_position()


def test_a_head_that_a_stronger_requester_acquires_during_the_query_is_not_moved(
    tmp_path: Path,
) -> None:
    config = changed(forbidden=(WINDOWS,), fov_deg=FOV)
    rig = HeadRig(tmp_path, config, head_class=AskedHead).start()
    rig.clock.advance_s(60)
    (head,) = rig.opened_heads
    assert isinstance(head, AskedHead)
    head.during_query = lambda: rig.head.acquire(ANNA)
    with refused("busy", "'anna'"):
        rig.head.move(AbsoluteMove(pan_deg=-40, tilt_deg=0), INCIDENT)
    assert rig.head.controller.motion is None
    lease = rig.head.state().lease
    assert lease is not None
    assert lease.holder == ANNA


def test_a_target_in_a_sector_is_rejected_and_its_requester_gets_no_lease(
    tmp_path: Path,
) -> None:
    rig = HeadRig(tmp_path, changed(forbidden=(WINDOWS,), fov_deg=FOV)).start()
    rig.store_preset("window", Pose(pan_deg=45, tilt_deg=0))
    for motion_request in (
        AbsoluteMove(pan_deg=80, tilt_deg=0),
        AbsoluteMove(pan_deg=41, tilt_deg=0),
        GotoPreset(preset="window"),
    ):
        with refused("forbidden", "sector 'windows'"):
            rig.head.move(motion_request, ANNA)
    assert rig.head.state().lease is None
    # Narrow, it may look closer.
    rig.head.move(AbsoluteMove(pan_deg=41, tilt_deg=0, zoom=1.0), ANNA)


@pytest.mark.parametrize("kind", [None, ReckoningHead])
def test_a_path_leads_around_a_sector(tmp_path: Path, kind: type[ReckoningHead] | None) -> None:
    config = changed(forbidden=(WINDOWS,), fov_deg=FOV)
    rig = HeadRig(tmp_path, config, **({"head_class": kind} if kind else {})).start()
    rig.head.move(AbsoluteMove(pan_deg=150, tilt_deg=0), ANNA)
    for _ in range(150):
        rig.advance_s(0.1)
        beside = -20 - 12 < rig.pose.tilt_deg < 30 + 12
        assert not (beside and 40 < rig.pose.pan_deg < 120)
    assert rig.pose.pan_deg == pytest.approx(150, abs=0.5)
    assert rig.active_fault_codes() == set()


@pytest.mark.parametrize(("start_deg", "target_deg"), [(-90, 80), (80, -90), (-160, 110)])
def test_a_path_across_the_back_leads_around_a_sector(
    tmp_path: Path, start_deg: float, target_deg: float
) -> None:
    config = changed(
        forbidden=(ForbiddenSector(name="windows", pan_deg=(140, 160), tilt_deg=(-20, 30)),),
        fov_deg=FieldOfView(wide=20.0, tele=20.0),
    )
    rig = HeadRig(tmp_path, config, head_options=ACROSS_THE_BACK)
    rig.run_stage()
    rig.opened_heads[0].simulator.goto(rig.clock.now_ns, Pose(pan_deg=start_deg, tilt_deg=0))
    rig.advance_s(15)
    rig.head.move(AbsoluteMove(pan_deg=target_deg, tilt_deg=0), ANNA)
    for _ in range(180):
        rig.advance_s(0.1)
        is_level = -20 - 5 < rig.pose.tilt_deg < 30 + 5
        assert not (is_level and 130 < mechanical_pan_deg(rig) < 170)
    assert mechanical_pan_deg(rig) == pytest.approx(target_deg % 360, abs=0.5)


SPANS = st.builds(
    lambda low, width_deg: Range(low=low, high=low + width_deg),
    st.floats(-360, 180),
    st.floats(30, 360),
)


@settings(max_examples=30)
@given(
    kind=st.sampled_from([FakeHead, ReckoningHead]),
    span=SPANS,
    start=st.floats(0.02, 0.98),
    target=st.floats(0.02, 0.98),
    sector_deg=st.none() | st.tuples(st.integers(-180, 180), st.integers(5, 60)),
)
def test_in_any_range_a_head_arrives_and_its_picture_shows_no_sector(
    kind: type[FakeHead],
    span: Range,
    start: float,
    target: float,
    sector_deg: tuple[int, int] | None,
) -> None:
    sectors: tuple[ForbiddenSector, ...] = ()
    if sector_deg is not None:
        pans = (sector_deg[0], wrap_deg(sum(sector_deg)))
        sectors = (ForbiddenSector(name="windows", pan_deg=pans, tilt_deg=(-20, 30)),)
    fov = FieldOfView(wide=20.0, tele=20.0)
    start_deg, target_deg = (span.low + share * (span.high - span.low) for share in (start, target))

    def is_visible(pose: Pose, margin_deg: float) -> bool:
        return first_visible_sector(swept_area(pose), sectors, fov, margin_deg) is not None

    start_pose = Pose(pan_deg=wrap_deg(start_deg), tilt_deg=0)
    assume(not is_visible(start_pose, ReckoningHead.error_deg))
    with TemporaryDirectory() as folder:
        options = msgspec.structs.replace(HEAD_OPTIONS, pan_deg=span)
        config = changed(forbidden=sectors, fov_deg=fov)
        rig = HeadRig(Path(folder), config, head_options=options, head_class=kind)
        rig.run_stage()
        rig.opened_heads[0].simulator.goto(rig.clock.now_ns, start_pose)
        rig.advance_s(15)
        assert mechanical_pan_deg(rig) == pytest.approx(start_deg, abs=0.01)
        is_blocked = False
        try:
            rig.head.move(AbsoluteMove(pan_deg=wrap_deg(target_deg), tilt_deg=0), ANNA)
        except CommandRejected as rejection:
            is_blocked = rejection.code == "forbidden"
        for _ in range(200):
            rig.advance_s(0.1)
            assert not is_visible(rig.pose, 0.0)
            if kind is ReckoningHead and sectors:
                # The servo may not come as near to a sector as the path does.
                is_blocked = is_blocked or rig.head.state().error is not None
        assert is_blocked or mechanical_pan_deg(rig) == pytest.approx(target_deg, abs=1.5)


@pytest.mark.parametrize(
    ("here_deg", "sector", "exit_deg"), [(-170, (160, -165), 195), (-6, (-20, 10), 340)]
)
def test_a_head_leaves_a_sector_across_the_back_within_its_range(
    tmp_path: Path, here_deg: float, sector: tuple[float, float], exit_deg: float
) -> None:
    config = changed(forbidden=(ForbiddenSector(name="here", pan_deg=sector),))
    rig = HeadRig(tmp_path, config, head_options=ACROSS_THE_BACK)
    rig.run_stage()
    rig.opened_heads[0].simulator.goto(rig.clock.now_ns, Pose(pan_deg=here_deg, tilt_deg=0))
    rig.head.acquire(ANNA)
    rig.advance_s(LEAVE_SECTOR_AFTER_S + 20)
    assert mechanical_pan_deg(rig) == pytest.approx(exit_deg, abs=2)
    assert not sector[0] <= rig.pose.pan_deg <= sector[1]
    assert rig.speed == 0


class TellsLate(FakeHead):
    """A head whose position reports are old while it moves."""

    def read_position(self) -> PtzPosition:
        reported = super().read_position()
        return msgspec.structs.replace(reported, error_deg=3.0 if reported.moving else 0.2)


def test_a_free_path_close_to_a_sector_is_taken(tmp_path: Path) -> None:
    # A picture 40 degrees wide reaches 11.6 degrees up.
    above = ForbiddenSector(name="above", pan_deg=(10.0, 60.0), tilt_deg=(12.5, 60.0))
    rig = HeadRig(tmp_path, changed(forbidden=(above,), fov_deg=FOV), head_class=TellsLate).start()
    rig.head.move(AbsoluteMove(pan_deg=100, tilt_deg=0), ANNA)
    rig.advance_s(5)
    assert rig.pose.pan_deg == pytest.approx(100)
    assert rig.opened_heads[0].simulator.order_count < 5
    assert rig.head.state().error is None


def test_a_head_is_not_sent_into_the_sun_and_stays_still_as_the_sun_passes(tmp_path: Path) -> None:
    sun: list[ForbiddenSector] = []
    rig = HeadRig(tmp_path, changed(fov_deg=FOV), forbidden=lambda _t_ns: tuple(sun)).start()
    sun.append(
        ForbiddenSector(name="sun", pan_deg=(15.0, 25.0), tilt_deg=(0.0, 10.0), may_cross=True)
    )
    with refused("forbidden", "'sun'"):
        rig.head.move(AbsoluteMove(pan_deg=10, tilt_deg=0), ANNA)
    orders = rig.opened_heads[0].simulator.order_count
    rig.advance_s(20)
    assert rig.opened_heads[0].simulator.order_count == orders
    # It may be passed over.
    rig.head.move(AbsoluteMove(pan_deg=80, tilt_deg=0), ANNA)
    rig.advance_s(5)
    assert rig.pose.pan_deg == pytest.approx(80)


@pytest.mark.parametrize("cross", [False, True])
def test_a_head_that_finds_itself_in_a_sector_leaves_by_the_shortest_way(
    tmp_path: Path, cross: bool
) -> None:
    here = ForbiddenSector(
        name="here", pan_deg=(-50.0, -10.0), tilt_deg=(-30.0, 90.0), may_cross=cross
    )
    rig = HeadRig(tmp_path, changed(forbidden=(here,), fov_deg=FOV))
    rig.run_stage()
    rig.head.acquire(ANNA)
    rig.advance_s(LEAVE_SECTOR_AFTER_S + 4)
    assert rig.pose.pan_deg == pytest.approx(11, abs=1)
    assert rig.pose.tilt_deg == 0
    assert rig.speed == 0
    assert rig.head.state().lease is not None


def test_in_a_sector_only_the_way_out_is_allowed(tmp_path: Path) -> None:
    here = ForbiddenSector(name="here", pan_deg=(-30.0, 10.0))
    rig = HeadRig(tmp_path, changed(forbidden=(here,)))
    rig.run_stage()
    with refused("forbidden", "'here'"):
        rig.head.move(ContinuousMove(pan=-0.5), ANNA)
    rig.head.move(ContinuousMove(pan=0.5, for_s=5), ANNA)
    rig.advance_s(6)
    assert rig.pose.pan_deg > 10


def test_from_an_unknown_position_no_move_goes_towards_a_sector(tmp_path: Path) -> None:
    class Lost(ReckoningHead):
        error_deg = 170.0

    rig = HeadRig(tmp_path, changed(forbidden=(WINDOWS,)), head_class=Lost).start()
    for motion_request in (ContinuousMove(pan=0.5), AbsoluteMove(pan_deg=0, tilt_deg=0)):
        with refused("failed", "its position is unknown"):
            rig.head.move(motion_request, ANNA)
    with refused("failed", "its position is unknown"):
        rig.head.set_preset("gate", ANNA, None)


# Wear and health


@pytest.mark.raises_fault("PTZ-05")
def test_wear_counts_across_restarts_and_is_a_fault_above_the_rated_life(tmp_path: Path) -> None:
    config = changed(rated_life=RatedLife(degrees=300.0))
    rig = HeadRig(tmp_path, config).start()
    for pan in (90, -90, 90):
        rig.head.move(AbsoluteMove(pan_deg=pan, tilt_deg=0), ANNA)
        rig.advance_s(8)
    assert rig.active_fault_codes() == {"PTZ-05"}
    rig.stage.close()
    health = HeadRig(tmp_path, config).start().head.health()
    assert health.moved_pan_deg == pytest.approx(450, abs=2)
    assert (health.starts, health.reversals) == (3, 2)
    moving_s = 1.5 + 3 + 3 + 3 * (0.25 + 0.5)
    assert health.moving_h == pytest.approx(moving_s / 3600, abs=1e-3)


def test_health_reports_the_pose_and_the_holder(rig: HeadRig) -> None:
    rig.head.acquire(ANNA)
    health = rig.head.health()
    assert (health.open, health.pan_deg, health.error_deg, health.holder) == (
        True,
        0,
        0,
        "operator",
    )
    assert rig.head.capabilities is not None
    assert rig.head.capabilities.pan_deg == Range(low=-170, high=170)
