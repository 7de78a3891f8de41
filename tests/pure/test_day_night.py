"""agent.console.acts.day_night: which readings pass, and which fault of filter, lamp or camera fails."""

import cv2
import numpy as np
import pytest

from agent.capture.day_night import DayNightState
from agent.capture.jpeg import measure_colour
from agent.console.acts.day_night import ModeReading, judge_day, judge_night


def reading(
    night: bool | None,
    colour: float,
    luma: float = 110.0,
    **outputs: bool,
) -> ModeReading:
    return ModeReading(state=DayNightState(night=night, outputs=outputs), luma=luma, colour=colour)


DAY = reading(False, 20.0, filter=False, ir=False)
DARK = reading(False, 0.5, luma=24.0, ir=False)
T, F, N = True, False, None


@pytest.mark.parametrize(
    ("day", "night", "verdicts"),
    [
        pytest.param(DAY, reading(T, 0.4, filter=T, ir=T), [T, T, T, T], id="grey, filter, lamp"),
        pytest.param(
            DAY, reading(T, 18.0, luma=140.0, filter=T, ir=T), [T, T, T, T], id="brighter"
        ),
        pytest.param(
            DAY, reading(T, 19.0, filter=T, ir=T), [T, T, T, F], id="a filter that is stuck"
        ),
        pytest.param(DAY, reading(F, 20.0, filter=F, ir=F), [F, F, F, F], id="for day alone"),
        pytest.param(
            DAY, reading(T, 0.4, filter=T, ir=F), [T, T, F, T], id="a lamp's pin stays off"
        ),
        pytest.param(DAY, reading(N, 0.4), [N, N, T], id="neither mode nor pins"),
        pytest.param(
            DARK, reading(T, 0.4, luma=24.5, ir=T), [T, T, F], id="in the dark, a dead lamp"
        ),
        pytest.param(DARK, reading(T, 0.4, luma=24.5), [T, N, N], id="in the dark, no lamp"),
        pytest.param(DARK, reading(T, 0.4, luma=60.0, ir=T), [T, T, T], id="in the dark, a lamp"),
    ],
)
def test_the_night_passes_if_mode_pins_and_picture_follow(
    day: ModeReading, night: ModeReading, verdicts: list[bool | None]
) -> None:
    assert [result.ok for result in judge_night(day, night)] == verdicts


@pytest.mark.parametrize(
    ("before", "after", "verdicts"),
    [
        pytest.param(DAY, reading(F, 18.0, filter=F, ir=F), [T, T, T, T], id="as before"),
        pytest.param(
            DAY, reading(F, 9.0, filter=F, ir=F), [T, T, T, F], id="a filter that stays out"
        ),
        pytest.param(
            DAY, reading(T, 0.4, filter=T, ir=F), [F, F, T, F], id="a camera that stays in night"
        ),
        pytest.param(DARK, reading(F, 0.5, luma=24.0, ir=F), [T, T, N], id="in the dark"),
    ],
)
def test_the_day_passes_if_mode_pins_and_colour_are_back(
    before: ModeReading, after: ModeReading, verdicts: list[bool | None]
) -> None:
    assert [result.ok for result in judge_day(before, after)] == verdicts


def test_each_bad_finding_has_advice_and_says_its_readings() -> None:
    bad = [
        *judge_night(DAY, reading(F, 20.0, filter=F, ir=F)),
        *judge_day(DAY, reading(T, 0.4, filter=T, ir=T)),
    ]
    assert all(result.advice for result in bad if result.ok is False)
    assert "colour 20.0, then 0.4; mean 110, then 110 of 255" in str(bad[-1].message)


def test_the_colour_of_a_picture_is_its_distance_from_grey() -> None:
    def jpeg(blue: int, green: int, red: int) -> bytes:
        image = np.full((64, 64, 3), (blue, green, red), np.uint8)
        return bytes(cv2.imencode(".jpg", image)[1].tobytes())

    assert measure_colour(jpeg(90, 90, 90)) < 1.0
    assert measure_colour(jpeg(60, 90, 130)) == pytest.approx(30.0, abs=8.0)
    assert measure_colour(b"no picture") == 0.0
