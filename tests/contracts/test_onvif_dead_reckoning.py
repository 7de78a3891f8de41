"""drivers.ptz.onvif with a head that reports no position, and whose answers are lost."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.contracts import Velocity
from drivers.errors import DriverError
from tests.contracts.onvif_bench import RECKONED_OPTIONS, OnvifHeadBench, OnvifHeadRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[OnvifHeadRig]:
    """In its corner, where it is known; preset 1 is 90 degrees from there."""
    with OnvifHeadBench("driven", **RECKONED_OPTIONS, speed_error=0.05).set_up(tmp_path) as rig:
        rig.head.move(Velocity(pan_deg_s=60, tilt_deg_s=40))
        rig.advance_s(20)
        for pan_deg_s, for_s in ((-30, 3), (0, 3)):
            rig.head.move(Velocity(pan_deg_s=pan_deg_s))
            rig.advance_s(for_s)
        rig.head.store_preset(1)
        rig.head.move(Velocity(pan_deg_s=60))
        rig.advance_s(20)
        rig.head.stop()
        rig.advance_s(2)
        assert rig.head.read_position().error_deg < 1
        yield rig


ORDERS: dict[str, Callable[[OnvifHeadRig], None]] = {
    "a move": lambda rig: rig.head.move(Velocity(pan_deg_s=-60)),
    "a preset": lambda rig: rig.head.goto_preset(1),
}


@pytest.mark.parametrize("order", ORDERS)
def test_an_unacknowledged_order_stays_within_the_position_error(
    rig: OnvifHeadRig, order: str
) -> None:
    def holds() -> None:
        here, truth = rig.head.read_position(), rig.state()
        assert abs(here.pose.pan_deg - truth.pan_deg) <= here.error_deg

    rig.device.is_muted = True
    with pytest.raises(DriverError, match="no answer"):
        ORDERS[order](rig)
    rig.device.is_muted = False
    assert rig.head.read_position().moving
    for _ in range(4):
        rig.advance_s(0.5)
        holds()
    assert rig.state().pan_deg < 130
    rig.head.stop()
    rig.advance_s(2)
    holds()
    # It is found again where it is known to be.
    rig.head.goto_preset(1)
    rig.advance_s(20)
    holds()
    assert rig.head.read_position().error_deg < 45


def test_a_stop_without_an_answer_may_or_may_not_have_ended_the_move(rig: OnvifHeadRig) -> None:
    rig.head.move(Velocity(pan_deg_s=-30))
    rig.advance_s(1)
    rig.device.is_muted = True
    with pytest.raises(DriverError, match="no answer"):
        rig.head.stop()
    rig.device.is_muted = False
    rig.advance_s(3)
    here, truth = rig.head.read_position(), rig.state()
    assert truth.pan_deg > 130
    assert abs(here.pose.pan_deg - truth.pan_deg) <= here.error_deg
    assert here.moving
