"""drivers.dead_reckoning: the true position is always within the estimated error."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.angles import wrap_deg
from drivers.axis_reckoning import AxisLimits
from drivers.contracts import Pose, Range
from drivers.dead_reckoning import DeadReckoning
from simulation.heads.head_simulator import HeadMechanics, HeadSimulator, InjectedFault, SpeedOrder

S = 1_000_000_000
BUILT = HeadMechanics(
    pan_deg=Range(low=-170, high=170),
    tilt_deg=Range(low=-60, high=30),
    pan_max_deg_s=40,
    tilt_max_deg_s=20,
    ramp_s=0.25,
    lag_s=0.1,
    zoom_travel_s=4.0,
)
ENDLESS = HeadMechanics(
    pan_deg=None, tilt_deg=BUILT.tilt_deg, pan_max_deg_s=40, tilt_max_deg_s=20, ramp_s=0.25
)
TOPS = (40.0, 20.0, 0.25)
ANYWHERE_DEG = 180.0


def reckoning(
    built: HeadMechanics = BUILT, *, home: Pose | None = None, speed_error: float = 0.1
) -> DeadReckoning:
    def limits(span: Range | None) -> AxisLimits:
        return AxisLimits(span=span, speed_error=speed_error, lag_s=0.3)

    return DeadReckoning(
        pan=limits(built.pan_deg),
        tilt=limits(built.tilt_deg),
        zoom=limits(Range(low=0, high=1)),
        references={} if home is None else {1: home},
        t_ns=0,
    )


HOME = Pose(pan_deg=0, tilt_deg=0)


def brought_home(built: HeadMechanics = BUILT) -> DeadReckoning:
    reckoned = reckoning(built, home=HOME)
    reckoned.on_goto_preset(1, TOPS, 0)
    return reckoned


def test_the_position_is_unknown_at_first() -> None:
    for built in (BUILT, ENDLESS):
        here = reckoning(built).position_at(0)
        assert here.error_deg == ANYWHERE_DEG
        assert not here.moving


def test_the_position_is_known_again_at_a_reference_after_the_travel_time() -> None:
    for built in (BUILT, ENDLESS):
        reckoned = brought_home(built)
        on_its_way = reckoned.position_at(S)
        assert on_its_way.moving
        assert on_its_way.error_deg == ANYWHERE_DEG
        arrived = reckoned.position_at(60 * S)
        assert not arrived.moving
        assert arrived.error_deg <= 0.5
        assert arrived.pose == HOME


def test_a_reference_behind_the_camera_is_in_the_wrapped_range() -> None:
    built = HeadMechanics(pan_deg=Range(low=0, high=355))
    reckoned = reckoning(built, home=Pose(pan_deg=-90, tilt_deg=0))
    reckoned.on_goto_preset(1, TOPS, 0)
    assert reckoned.position_at(60 * S).pose.pan_deg == -90
    reckoned.on_move((10.0, 0.0, 0.0), 60 * S)
    assert reckoned.position_at(62 * S).pose.pan_deg == -70


def test_a_reference_at_an_end_of_a_full_turn_is_in_the_range_as_it_is() -> None:
    built = HeadMechanics(pan_deg=Range(low=0, high=360))
    reckoned = reckoning(built, home=Pose(pan_deg=0, tilt_deg=0))
    reckoned.on_goto_preset(1, TOPS, 0)
    reckoned.on_move((10.0, 0.0, 0.0), 60 * S)
    assert reckoned.position_at(62 * S).pose.pan_deg == 20


def test_its_error_grows_with_the_time_of_motion_and_not_with_rest() -> None:
    reckoned = brought_home()
    errors = [reckoned.position_at(60 * S).error_deg]
    for turn in range(3):
        begin_ns = (100 + 10 * turn) * S
        reckoned.on_move((10.0, 0.0, 0.0), begin_ns)
        reckoned.on_move((0.0, 0.0, 0.0), begin_ns + 2 * S)
        errors.append(reckoned.position_at(begin_ns + 3 * S).error_deg)
        assert reckoned.position_at(begin_ns + 9 * S).error_deg == errors[-1]
    assert errors == sorted(errors)
    # A tenth of 20 degrees, and 0.3 s at 10 degrees a second, each way, three times.
    assert errors[-1] == pytest.approx(0.5 + 3 * (2 + 3 * 1.1), abs=0.5)
    assert reckoned.position_at(200 * S).pose.pan_deg == pytest.approx(60)


def test_the_position_is_known_again_at_the_end_stops() -> None:
    reckoned = reckoning()
    reckoned.on_move((40.0, 20.0, 0.25), 0)
    part = reckoned.position_at(3 * S)
    assert part.moving
    assert 100 < part.error_deg <= ANYWHERE_DEG
    corner = reckoned.position_at(20 * S)
    assert not corner.moving
    assert corner.error_deg <= 0.5
    assert corner.pose == Pose(pan_deg=170, tilt_deg=30, zoom=1)


def test_a_position_is_stored_with_its_error() -> None:
    reckoned = brought_home()
    reckoned.on_move((20.0, 0.0, 0.0), 100 * S)
    reckoned.on_move((0.0, 0.0, 0.0), 103 * S)
    reckoned.on_preset_stored(5, 110 * S)
    there = reckoned.position_at(110 * S)
    reckoned.on_move((-40.0, 5.0, 0.0), 120 * S)
    reckoned.on_move((0.0, 0.0, 0.0), 122 * S)
    assert reckoned.position_at(125 * S).error_deg > there.error_deg
    reckoned.on_goto_preset(5, TOPS, 130 * S)
    back = reckoned.position_at(180 * S)
    assert back.pose == there.pose
    assert back.error_deg == there.error_deg


def test_a_preset_stored_during_a_move_has_no_position() -> None:
    reckoned = brought_home()
    reckoned.on_move((20.0, 0.0, 0.0), 100 * S)
    reckoned.on_preset_stored(5, 101 * S)
    for number in (5, 6):
        reckoned.on_goto_preset(number, TOPS, 110 * S)
        here = reckoned.position_at(200 * S)
        assert here.error_deg == ANYWHERE_DEG
        assert not here.moving


def test_a_head_stopped_on_the_way_to_a_preset_is_somewhere_on_the_path() -> None:
    reckoned = brought_home()
    reckoned.on_preset_stored(2, 60 * S)
    reckoned.on_move((40.0, 0.0, 0.0), 100 * S)
    reckoned.on_move((0.0, 0.0, 0.0), 103 * S)
    far_deg = reckoned.position_at(110 * S).pose.pan_deg
    reckoned.on_goto_preset(2, TOPS, 120 * S)
    reckoned.on_move((0.0, 0.0, 0.0), 121 * S)
    here = reckoned.position_at(130 * S)
    assert not here.moving
    assert here.pose.pan_deg - here.error_deg <= 0
    assert here.pose.pan_deg + here.error_deg >= far_deg


SHARE = st.floats(-1, 1)
LEG = st.tuples(SHARE, SHARE, SHARE, st.floats(0.02, 12))


@given(legs=st.lists(LEG, min_size=1, max_size=8), slow=st.floats(0.9, 1.0), endless=st.booleans())
def test_the_truth_is_within_the_error(
    legs: list[tuple[float, float, float, float]], slow: float, endless: bool
) -> None:
    built = ENDLESS if endless else BUILT
    body = HeadSimulator(built, 0, InjectedFault(slow=slow))
    reckoned = brought_home(built)
    t_ns = 100 * S
    for pan, tilt, zoom, lasts_s in legs:
        speeds = (pan * TOPS[0], tilt * TOPS[1], zoom * TOPS[2])
        axes = ("pan", "tilt", "zoom")
        body.apply_orders(
            t_ns,
            {axis: SpeedOrder(speed=speed) for axis, speed in zip(axes, speeds, strict=True)},  # type: ignore[misc]
        )
        reckoned.on_move(speeds, t_ns)
        for step in range(1, 5):
            # While the lag lasts the head may still do what it did: it is looked at after it.
            later_ns = t_ns + int(lasts_s * S * step / 4)
            truth, reported = body.state_at(later_ns), reckoned.position_at(later_ns)
            assert abs(truth.tilt_deg - reported.pose.tilt_deg) <= reported.error_deg + 1e-6
            off_deg = abs(wrap_deg(truth.pan_deg - reported.pose.pan_deg))
            assert off_deg <= reported.error_deg + 1e-6
            assert not math.isnan(reported.pose.pan_deg)
        t_ns += int(lasts_s * S)


@given(
    places=st.lists(st.tuples(SHARE, SHARE, st.floats(0.5, 3)), min_size=1, max_size=4),
    order=st.lists(st.integers(0, 3), max_size=6),
    endless=st.booleans(),
    looks=st.lists(st.floats(0.1, 30), min_size=1, max_size=3),
)
def test_the_truth_is_within_the_error_on_the_way_to_presets_too(
    places: list[tuple[float, float, float]], order: list[int], endless: bool, looks: list[float]
) -> None:
    built = ENDLESS if endless else BUILT
    body, reckoned = HeadSimulator(built, 0), brought_home(built)
    t_ns = 100 * S
    for number, (pan, tilt, lasts_s) in enumerate(places, start=2):
        for share, after_s in ((1, lasts_s), (0, 3.0)):
            speeds = (share * pan * TOPS[0], share * tilt * TOPS[1], 0.0)
            body.apply_orders(
                t_ns, {"pan": SpeedOrder(speed=speeds[0]), "tilt": SpeedOrder(speed=speeds[1])}
            )
            reckoned.on_move(speeds, t_ns)
            t_ns += int(after_s * S)
        body.store_preset(t_ns, number)
        reckoned.on_preset_stored(number, t_ns)
    for index in order:
        number = 2 + index % len(places)
        body.goto_preset(t_ns, number)
        reckoned.on_goto_preset(number, TOPS, t_ns)
        for look_s in sorted(looks):
            truth, reported = (
                body.state_at(t_ns + int(look_s * S)),
                reckoned.position_at(t_ns + int(look_s * S)),
            )
            assert abs(truth.tilt_deg - reported.pose.tilt_deg) <= reported.error_deg + 1e-6
            assert abs(wrap_deg(truth.pan_deg - reported.pose.pan_deg)) <= reported.error_deg + 1e-6
            assert reported.moving or not truth.moving
        t_ns += int(max(looks) * S)


# A head's orders, answered late or never

SPOKEN = st.tuples(
    SHARE,
    st.floats(0.05, 6),  # from the word to the next one
    st.floats(0, 1),  # the time of its receipt, as a share of the time until its answer
    st.floats(0, 2),  # when the answer comes
    st.sampled_from(("heard", "refused", "lost and heard", "lost")),
)


@given(words=st.lists(SPOKEN, min_size=1, max_size=8), endless=st.booleans())
def test_the_truth_is_within_the_error_at_any_answer_latency_and_without_an_answer(
    words: list[tuple[float, float, float, float, str]], endless: bool
) -> None:
    built = ENDLESS if endless else BUILT
    body, reckoned = HeadSimulator(built, 0), brought_home(built)
    t_ns = 100 * S

    def look(at_ns: int) -> None:
        truth, reported = body.state_at(at_ns), reckoned.position_at(at_ns)
        assert abs(wrap_deg(truth.pan_deg - reported.pose.pan_deg)) <= reported.error_deg + 1e-6

    for share, lasts_s, received_at, answer_s, fate in words:
        speed = share * TOPS[0]
        word = reckoned.begin_order((speed, 0.0, 0.0), t_ns)
        received_ns, answered_ns = (t_ns + int(answer_s * S * part) for part in (received_at, 1))
        look(received_ns)
        if fate in ("heard", "lost and heard"):
            body.apply_orders(received_ns, {"pan": SpeedOrder(speed=speed)})
        look(answered_ns)
        outcome = "lost" if fate == "lost and heard" else fate
        reckoned.settle_order(outcome, word, answered_ns)  # type: ignore[arg-type]
        for step in range(1, 5):
            look(answered_ns + int(lasts_s * S * step / 4))
        t_ns = answered_ns + int(lasts_s * S)


@pytest.mark.parametrize("obeys", [True, False])
def test_a_preset_move_is_uncertain_until_it_is_acknowledged(obeys: bool) -> None:
    body, reckoned = HeadSimulator(BUILT, 0), brought_home()
    body.store_preset(0, 1)
    for speed, at_s in ((40.0, 100), (0.0, 102)):
        body.apply_orders(at_s * S, {"pan": SpeedOrder(speed=speed)})
        reckoned.on_move((speed, 0.0, 0.0), at_s * S)
    word = reckoned.begin_order(TOPS, 110 * S, 1)
    if obeys:
        body.goto_preset(110 * S, 1)
    reckoned.settle_order("lost", word, 112 * S)
    for at_s in (111, 112, 150):
        truth, reported = body.state_at(at_s * S), reckoned.position_at(at_s * S)
        assert abs(truth.pan_deg - reported.pose.pan_deg) <= reported.error_deg
        assert reported.moving
    # A received stop ends the motion, and not the uncertainty.
    reckoned.settle_order("heard", reckoned.begin_order((0.0, 0.0, 0.0), 150 * S), 150 * S)
    truth, reported = body.state_at(160 * S), reckoned.position_at(160 * S)
    assert abs(truth.pan_deg - reported.pose.pan_deg) <= reported.error_deg
    assert not reported.moving
    # Its own memory finds it again.
    reckoned.settle_order("heard", reckoned.begin_order(TOPS, 160 * S, 1), 160 * S)
    assert reckoned.position_at(200 * S).pose == HOME
    assert reckoned.position_at(200 * S).error_deg <= 0.5


def test_a_rejected_order_does_not_change_the_estimate() -> None:
    reckoned = brought_home()
    before = reckoned.position_at(60 * S)
    for number in (None, 1):
        word = reckoned.begin_order(TOPS, 60 * S, number)
        assert reckoned.position_at(61 * S).moving
        reckoned.settle_order("refused", word, 61 * S)
        assert reckoned.position_at(60 * S) == before


def test_two_concurrent_orders_leave_the_position_unknown() -> None:
    reckoned = brought_home()
    move = reckoned.begin_order((40.0, 0.0, 0.0), 100 * S)
    stop = reckoned.begin_order((0.0, 0.0, 0.0), 100 * S)
    reckoned.settle_order("heard", stop, 101 * S)
    reckoned.settle_order("heard", move, 101 * S)
    here = reckoned.position_at(103 * S)
    assert here.pose.pan_deg - here.error_deg <= 0
    assert here.pose.pan_deg + here.error_deg >= 120
    assert here.moving
