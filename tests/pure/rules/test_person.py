import pytest

from tests.pure.rules.street import Walker, judged, path, told, zone

ROAD = zone(kind="carriageway")
WALKS = path((0, 0.2, 0.6), (4, 0.7, 0.6), (10, 0.9, 0.6), (14, 0.3, 0.6), (16, 0.3, 0.6))
STANDS = path((0, 0.7, 0.6), (10, 0.7, 0.6))


def person(**keys: object) -> Walker:
    return Walker(**({"where": STANDS, "label": "person", "box": (0.04, 0.16)} | keys))


def test_a_person_on_a_carriageway_is_told_after_a_second() -> None:
    events = judged(ROAD, [person(where=WALKS)], 18)
    assert told(events) == ["person_on_carriageway begin", "person_on_carriageway end"]
    assert events[0].t_ns == pytest.approx(3.5e9, abs=4e8)


def test_a_zone_without_the_label_person_does_not_mind() -> None:
    assert judged(zone(kind="carriageway", labels=("car",)), [person()], 10) == []


@pytest.mark.parametrize(
    ("why", "other"),
    [
        (
            "rides a bicycle",
            Walker(path((0, 0.7, 0.66), (10, 0.7, 0.66)), track=2, label="bicycle"),
        ),
        (
            "sits in a bus",
            Walker(path((0, 0.7, 0.6), (10, 0.7, 0.6)), track=2, label="bus", box=(0.3, 0.4)),
        ),
    ],
)
def test_who_rides_or_drives_is_not_on_foot(why: str, other: Walker) -> None:
    assert judged(ROAD, [person(), other], 10) == [], why


@pytest.mark.parametrize(
    ("why", "other"),
    [
        (
            "stands before a car",
            Walker(path((0, 0.7, 0.55), (10, 0.7, 0.55)), track=2, box=(0.2, 0.2)),
        ),
        (
            "stands beside a bicycle",
            Walker(path((0, 0.78, 0.66), (10, 0.78, 0.66)), track=2, label="bicycle"),
        ),
    ],
)
def test_who_is_near_a_vehicle_is_on_foot(why: str, other: Walker) -> None:
    assert told(judged(ROAD, [person(), other], 10)) == ["person_on_carriageway begin"], why


def test_a_bicycle_that_passes_does_not_end_the_event() -> None:
    passing = Walker(path((4, 0.5, 0.66), (6, 0.9, 0.66)), track=2, label="bicycle")
    assert told(judged(ROAD, [person(), passing], 10)) == ["person_on_carriageway begin"]
