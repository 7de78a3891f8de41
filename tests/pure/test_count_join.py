"""From the parts of all films to one result."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.count_proof import CountProof, CountValidation, ValidatedCounts
from agent.base.json_decode import decode_json
from agent.base.model import BoundingBox
from agent.base.view_condition import Light
from agent.detection.scene import decode_scene, scene_digest
from centre.count.film_part import PartPassage
from centre.count.join import join_parts
from centre.count.results import CountResult
from drivers.media import Point
from tests.count_proofs import count_proof, light_proof
from tests.pure.count_rig import (
    SCENE,
    START,
    make_crossing,
    make_film,
    make_minute,
    make_part,
    make_settings,
)

LONDON = ZoneInfo("Europe/London")


def counted(result: CountResult) -> list[dict[tuple[str, str, str], int]]:
    """The counts of each interval that are not 0."""
    return [
        {(one.line, one.direction, one.label): one.count for one in interval.lines if one.count}
        for interval in result.intervals
    ]


def test_a_crossing_has_the_time_of_its_film_and_its_foot_on_the_ground() -> None:
    films = [make_film("a"), make_film("b", START + timedelta(minutes=1))]
    part = make_part(crossings=(make_crossing(12.345, box=BoundingBox(0.4, 0.3, 0.1, 0.25)),))
    result = join_parts(films, [make_part(), part], make_settings())
    (crossing,) = result.crossings
    assert crossing.film == 1
    assert crossing.time.isoformat() == "2026-05-12T08:01:12.345000+01:00"
    assert crossing.foot == Point(0.45, 0.55)
    assert crossing.geo is None


def test_a_crossing_counts_in_the_interval_of_its_time() -> None:
    films = [make_film("a", START - timedelta(seconds=30))]
    crossings = (
        make_crossing(10),
        make_crossing(29.999),
        make_crossing(30, label="person"),
        make_crossing(59, line="south", direction="backward"),
    )
    result = join_parts(films, [make_part(crossings=crossings)], make_settings())
    assert [(one.begin.isoformat(), one.filmed_s, one.observed_s) for one in result.intervals] == [
        ("2026-05-12T07:45:00+01:00", 30.0, 30.0),
        ("2026-05-12T08:00:00+01:00", 30.0, 30.0),
    ]
    assert counted(result) == [
        {("north", "forward", "car"): 2},
        {("north", "forward", "person"): 1, ("south", "backward", "car"): 1},
    ]


def test_an_interval_has_each_line_direction_and_class_of_the_scene() -> None:
    (interval,) = join_parts([make_film()], [make_part()], make_settings()).intervals
    assert [(one.line, one.direction, one.label) for one in interval.lines] == [
        ("north", "forward", "car"),
        ("north", "forward", "person"),
        ("north", "backward", "car"),
        ("north", "backward", "person"),
        ("south", "forward", "car"),
        ("south", "backward", "car"),
    ]
    assert [(one.flow, one.origin, one.destination) for one in interval.flows] == [
        ("through", "north", "south")
    ]


def test_time_without_film_has_no_interval() -> None:
    films = [make_film("a"), make_film("b", START + timedelta(hours=5))]
    result = join_parts(films, [make_part(), make_part()], make_settings())
    assert [one.begin.hour for one in result.intervals] == [8, 13]


@given(
    st.lists(st.integers(0, 3_599_999), max_size=40),
    st.sampled_from([10, 60, 900, 3600]),
    st.datetimes(datetime.fromisoformat("2026-10-24"), datetime.fromisoformat("2026-10-26")),
)
def test_no_crossing_is_lost_or_counted_twice(
    times_ms: list[int], interval_s: int, naive: datetime
) -> None:
    start = naive.replace(microsecond=0, tzinfo=UTC)
    minutes = tuple(make_minute(60.0 * one, 60.0 * one + 60) for one in range(60))
    part = make_part(*minutes, crossings=tuple(make_crossing(ms / 1000) for ms in times_ms))
    film = make_film(start=start, duration_s=3600)
    result = join_parts([film], [part], make_settings(interval_s, zone=LONDON))
    assert sum(sum(one.values()) for one in counted(result)) == len(times_ms)
    for crossing in result.crossings:
        (interval,) = (one for one in result.intervals if one.begin <= crossing.time < one.end)
        assert any(one.count for one in interval.lines)
    assert sum(one.filmed_s for one in result.intervals) == pytest.approx(3600)
    assert sum(one.observed_s for one in result.intervals) == pytest.approx(3600, abs=0.5)


def test_the_result_as_json_is_the_same_value() -> None:
    part = make_part(
        crossings=(make_crossing(1.5, speed_km_h=48.2, speed_error_km_h=1.1, x_m=1.0, y_m=2.0),),
        passages=(PartPassage(minute=0, t_s=3.2, flow="through", label="car", track=7),),
    )
    result = join_parts([make_film()], [part], make_settings(zone=LONDON))
    content = msgspec.json.encode(result)
    assert decode_json(content, CountResult) == result
    assert msgspec.json.encode(decode_json(content, CountResult)) == content


@pytest.mark.parametrize(("limited", "trusted"), [(0, True), (1, True), (2, False), (15, False)])
def test_an_interval_is_untrusted_from_a_tenth_of_untrusted_minutes_on(
    limited: int, *, trusted: bool
) -> None:
    minutes = tuple(
        make_minute(60.0 * one, 60.0 * one + 60, reasons=("dark",) if one < limited else ())
        for one in range(15)
    )
    crossings = (make_crossing(5.0), make_crossing(899.0))
    result = join_parts(
        [make_film(duration_s=900)], [make_part(*minutes, crossings=crossings)], make_settings()
    )
    (interval,) = result.intervals
    reasons = () if trusted else ("dark",)
    assert (interval.trusted, interval.untrusted_reasons) == (trusted, reasons)
    assert {one.untrusted_reasons for one in (*interval.lines, *interval.flows)} == {reasons}
    assert [one.trusted for one in result.crossings] == [not limited, limited < 15]
    assert result.untrusted_share == pytest.approx(limited / 15, abs=1e-4)
    assert [one.reason for one in result.untrusted_shares] == ["dark"] * bool(limited)
    warnings = result.films[0].warnings
    assert any(f"in {limited} of 15 minutes: dark" in one for one in warnings) == bool(limited)


def test_a_class_that_is_too_small_at_a_line_is_untrusted_there_and_in_its_flows() -> None:
    minute = make_minute(small={"north": ("car",)})
    part = make_part(minute, crossings=(make_crossing(1), make_crossing(2, line="south")))
    result = join_parts([make_film()], [part], make_settings())
    (interval,) = result.intervals
    assert interval.trusted
    untrusted = {(one.line, one.label) for one in interval.lines if not one.trusted}
    assert untrusted == {("north", "car")}
    assert [one.untrusted_reasons for one in interval.flows] == [("small",)]
    assert [one.untrusted_reasons for one in result.crossings] == [("small",), ()]


def test_a_film_with_gaps_between_its_pictures_is_untrusted() -> None:
    result = join_parts([make_film()], [make_part(make_minute(observed_s=20.0))], make_settings())
    assert result.intervals[0].untrusted_reasons == ("frame_rate",)


def test_a_film_that_is_cut_is_warned_of_and_its_missing_time_is_not_filmed() -> None:
    part = make_part(make_minute(0, 20))
    result = join_parts([make_film(duration_s=60)], [part], make_settings())
    assert result.films[0].warnings == ("films/street.mp4: ends at 20 s of 60 s: it is cut",)
    assert result.intervals[0].filmed_s == 20.0


def test_speeds_are_those_of_the_crossings_that_have_one() -> None:
    crossings = tuple(
        make_crossing(float(second), speed_km_h=30.0 + second) for second in range(59)
    )
    part = make_part(crossings=(*crossings, make_crossing(59.5)))
    result = join_parts([make_film()], [part], make_settings())
    (count,) = (one for one in result.intervals[0].lines if one.count)
    assert (count.count, count.measured, count.mean_speed_km_h) == (60, 59, 59.0)
    assert count.v85_km_h == pytest.approx(80, abs=2)


def test_crossings_have_positions_if_the_marks_of_the_ground_have() -> None:
    corners = ((0.2, 0.8), (0.8, 0.8), (0.6, 0.4), (0.4, 0.4))
    places = ((51.5, -0.12), (51.5, -0.1199), (51.5003, -0.1199), (51.5003, -0.12))
    points = [
        {"at": list(at), "position": list(position)}
        for at, position in zip(corners, places, strict=True)
    ]
    line = {"name": "north", "from": [0.1, 0.4], "to": [0.9, 0.4]}
    scene = decode_scene({"line": [line], "ground": {"point": points}}, "scene")
    part = make_part(crossings=(make_crossing(1, x_m=0.0, y_m=0.0), make_crossing(2)))
    first, second = join_parts([make_film()], [part], make_settings(scene=scene)).crossings
    assert first.geo is not None
    assert (first.geo.latitude, first.geo.longitude) == (51.5, -0.12)
    assert second.geo is None
    assert SCENE.ground is None


PROOF = count_proof(
    light_proof("day", f1_low=0.9, f1=0.95),
    light_proof("night", f1_low=0.6, f1=0.7, f1_high=0.8),
    model_sha256="3" * 64,
    scene_sha256=scene_digest(SCENE),
)


def state_of(validation: CountValidation | None) -> str:
    if validation is None:
        return "not searched"
    return validation.light if isinstance(validation, ValidatedCounts) else validation.reason


@pytest.mark.parametrize(
    ("proof", "minute", "fps", "state"),
    [
        (PROOF, {}, 25.0, "day"),
        (PROOF, {}, 9.97, "day"),
        (PROOF, {"light": "night"}, 25.0, "night"),
        (None, {}, 25.0, "no_proof"),
        (PROOF, {}, 8.0, "frame_rate"),
        (PROOF, {"reasons": ("rain",)}, 25.0, "untrusted"),
        (PROOF, {"reasons": ("moved",)}, 25.0, "aim"),
        (msgspec.structs.replace(PROOF, model_sha256="4" * 64), {}, 25.0, "model"),
        (msgspec.structs.replace(PROOF, scene_sha256="4" * 64), {}, 25.0, "scene"),
        (msgspec.structs.replace(PROOF, lights=(light_proof("night"),)), {}, 25.0, "light"),
    ],
)
def test_counts_are_validated_by_the_light_of_their_minute(
    proof: CountProof | None, minute: dict[str, object], fps: float, state: str
) -> None:
    part = make_part(make_minute(**minute), crossings=(make_crossing(3), make_crossing(4)))
    result = join_parts([make_film(fps=fps)], [part], make_settings(proof=proof))
    (interval,) = result.intervals
    assert state_of(interval.validation) == state
    (share,) = result.validations
    assert share.validation == interval.validation
    assert (share.observed_s, share.crossings) == (60.0, 2)
    assert {one.validated for one in result.crossings} == {state in ("day", "night")}
    assert {one.light for one in result.crossings} == {minute.get("light", "day")}


@pytest.mark.parametrize(
    ("nights", "lights", "state"),
    [
        (0, ("day", "night"), "day"),
        (1, ("day", "night"), "day"),
        (2, ("day", "night"), "night"),
        (13, ("day", "night"), "night"),
        (1, ("day",), "day"),
        (2, ("day",), "light"),
    ],
)
def test_an_interval_has_the_weakest_validation_of_a_tenth_of_its_time(
    nights: int, lights: tuple[Light, ...], state: str
) -> None:
    minutes = tuple(
        make_minute(60.0 * one, 60.0 * one + 60, light="night" if one < nights else "day")
        for one in range(15)
    )
    proof = msgspec.structs.replace(
        PROOF, lights=tuple(one for one in PROOF.lights if one.light in lights)
    )
    result = join_parts(
        [make_film(duration_s=900)], [make_part(*minutes)], make_settings(proof=proof)
    )
    (interval,) = result.intervals
    assert state_of(interval.validation) == state
    assert sum(one.observed_s for one in result.validations) == pytest.approx(900)
    assert len(result.validations) == 1 + bool(nights)


def test_a_camera_that_was_moved_ends_the_proof_in_the_films_that_follow() -> None:
    films = [make_film(name, START + timedelta(hours=hour)) for hour, name in enumerate("abc")]
    parts = [make_part(), make_part(make_minute(reasons=("moved",))), make_part()]
    result = join_parts(films, parts, make_settings(proof=PROOF))
    states = [state_of(one.validation) for one in result.intervals]
    assert states == ["day", "aim", "aim"]


def test_time_that_was_not_searched_is_not_validated() -> None:
    part = make_part(make_minute(observed_s=0.0))
    (interval,) = join_parts([make_film()], [part], make_settings(proof=PROOF)).intervals
    assert state_of(interval.validation) == "not searched"
