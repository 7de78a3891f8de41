"""Position queries that are answered late, by a head that has moved on meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.contracts import Velocity
from simulation.heads.head_simulator import HeadSimulator
from simulation.heads.pelco_device import PelcoDevice
from simulation.heads.pty_serial_line import SimulatedDevice
from simulation.heads.visca_device import ViscaCameraChain
from tests.conftest import ManualClock
from tests.contracts.heads import (
    QUERIED_OPTIONS,
    VISCA_OPTIONS,
    VISCA_SPECS,
    SerialHeadBench,
    SimulatedRig,
)
from tests.contracts.onvif_bench import OnvifHeadBench


class LateSide:
    """It receives each frame `late_s` late, and its answer takes as long again. A Pelco head takes so
    long for each of three queries.
    """

    def __init__(self, side: SimulatedDevice) -> None:
        self._side = side
        self.late_s = 0.0
        self.clock: ManualClock | None = None

    @property
    def has_pending_output(self) -> bool:
        return self._side.has_pending_output

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        if self.clock is None or not data:
            return self._side.exchange(data, t_ns)
        self.clock.advance_s(self.late_s)
        answer = self._side.exchange(data, self.clock.now_ns)
        self.clock.advance_s(self.late_s)
        return answer


Late = Callable[[float], None]


@contextmanager
def on_line(
    driver: str,
    side: Callable[[HeadSimulator], SimulatedDevice],
    options: dict[str, object],
    folder: Path,
) -> Iterator[tuple[SimulatedRig, Late]]:
    sides: list[LateSide] = []

    def made(body: HeadSimulator) -> LateSide:
        sides.append(LateSide(side(body)))
        return sides[0]

    with SerialHeadBench(driver, made, options).set_up(folder) as rig:
        sides[0].clock = rig.clock

        def late(seconds: float) -> None:
            rig.wait_until_idle()
            sides[0].late_s = seconds

        yield rig, late


@contextmanager
def pelco(folder: Path) -> Iterator[tuple[SimulatedRig, Late]]:
    with on_line("pelco_d", lambda body: PelcoDevice(body, "D"), QUERIED_OPTIONS, folder) as made:
        yield made


@contextmanager
def visca(folder: Path) -> Iterator[tuple[SimulatedRig, Late]]:
    with on_line(
        "visca", lambda body: ViscaCameraChain([body], VISCA_SPECS), VISCA_OPTIONS, folder
    ) as made:
        yield made


@contextmanager
def onvif(folder: Path) -> Iterator[tuple[SimulatedRig, Late]]:
    with OnvifHeadBench().set_up(folder) as rig:

        def late(seconds: float) -> None:
            rig.device.answer_delay_s = seconds

        yield rig, late


HEADS = {"pelco": pelco, "visca": visca, "onvif": onvif}


@pytest.fixture(params=HEADS)
def late_head(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[SimulatedRig, Late]]:
    with HEADS[request.param](tmp_path) as made:
        yield made


@pytest.mark.parametrize("late_s", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("speed", [6.0, -40.0])
def test_a_late_answer_is_within_the_reported_error(
    late_head: tuple[SimulatedRig, Late], speed: float, late_s: float
) -> None:
    rig, late = late_head
    rig.head.move(Velocity(pan_deg_s=speed))
    rig.advance_s(2)
    late(late_s)
    requested_ns, before, deg_s = rig.clock.now_ns, rig.state().pan_deg, rig.state().pan_deg_s
    here = rig.head.read_position()
    late(0.0)
    assert here.moving
    was_deg = before + deg_s * (here.t_ns - requested_ns) / 1e9
    assert abs(here.pose.pan_deg - was_deg) <= here.error_deg + 1e-6
    if late_s == 0:
        assert here.error_deg < 1
    rig.head.stop()
    rig.advance_s(2)
    late(late_s)
    for _ in range(3):
        rig.head.read_position()
        rig.advance_s(0.2)
    here = rig.head.read_position()
    late(0.0)
    assert not here.moving
    assert here.error_deg < 1


@pytest.mark.parametrize("make", [pelco, onvif])
def test_a_slow_move_does_not_increase_the_error(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    with make(tmp_path) as (rig, late):  # type: ignore[attr-defined]
        rig.head.move(Velocity(pan_deg_s=3))
        rig.advance_s(2)
        late(0.1)
        assert 0.2 * 3 < rig.head.read_position().error_deg < 3
        late(0.0)
