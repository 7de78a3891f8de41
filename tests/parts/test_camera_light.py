"""agent.pipeline.camera_light: the light of a camera's minutes, kept over a restart and bounded."""

from pathlib import Path
from typing import Any

import pytest

from agent.base.model import TrafficCounts
from agent.base.view_condition import Light
from agent.pipeline.camera_light import LIGHT_DIR, MAX_SPANS, STORE_INTERVAL_S, CameraLight
from drivers.media import NS_PER_S


def add(light: CameraLight, begin_s: int, value: Light, length_s: int = 60) -> None:
    minute = TrafficCounts(
        camera="north",
        begin_ns=begin_s * NS_PER_S,
        end_ns=(begin_s + length_s) * NS_PER_S,
        observed_s=60.0,
        trusted=True,
        untrusted_reasons=(),
        lines=(),
        zones=(),
        flows=(),
    )
    light.add(minute, value)


def spans(light: CameraLight, clock: Any) -> list[tuple[int, int, Light]]:
    boot_s = int(clock.utc(0).timestamp())
    return [(one.begin_s - boot_s, one.end_s - boot_s, one.light) for one in light.spans()]


@pytest.fixture
def light(tmp_path: Path, clock: Any) -> CameraLight:
    return CameraLight("north", tmp_path, clock)


def test_minutes_of_one_light_are_one_span(light: CameraLight, clock: Any) -> None:
    for begin_s, value in ((0, "day"), (60, "day"), (121, "day"), (181, "night"), (300, "night")):
        add(light, begin_s, value)  # type: ignore[arg-type]
    assert spans(light, clock) == [(0, 181, "day"), (181, 241, "night"), (300, 360, "night")]


def test_the_parts_of_a_minute_that_a_head_cuts_are_one_span(
    light: CameraLight, clock: Any
) -> None:
    for begin_s in (10, 28, 44, 70):
        add(light, begin_s, "day", length_s=15)
    assert spans(light, clock) == [(10, 85, "day")]


def test_a_clock_that_was_set_back_begins_another_span(light: CameraLight, clock: Any) -> None:
    add(light, 600, "day")
    clock.step_s(-500)
    add(light, 660, "day")
    clock.step_s(500)
    assert spans(light, clock) == [(600, 660, "day"), (160, 220, "day")]


def test_it_is_stored_once_an_hour_and_at_its_end(
    light: CameraLight, clock: Any, tmp_path: Path
) -> None:
    file = tmp_path / LIGHT_DIR / "north.json"
    add(light, 0, "day")
    assert not file.exists()
    clock.advance_s(STORE_INTERVAL_S)
    add(light, 60, "day")
    first = file.read_bytes()
    add(light, 120, "night")
    assert file.read_bytes() == first
    light.store()
    assert CameraLight("north", tmp_path, clock).spans() == light.spans()


def test_the_oldest_spans_go_first(light: CameraLight, clock: Any, tmp_path: Path) -> None:
    for number in range(MAX_SPANS + 5):
        add(light, 60 * number, "day" if number % 2 else "night")
    assert len(light.spans()) == MAX_SPANS
    assert spans(light, clock)[0][0] == 5 * 60
    light.store()
    assert len(CameraLight("north", tmp_path, clock).spans()) == MAX_SPANS


def test_a_damaged_file_is_set_aside_and_nothing_is_known(tmp_path: Path, clock: Any) -> None:
    file = tmp_path / LIGHT_DIR / "north.json"
    file.parent.mkdir()
    file.write_bytes(b"{")
    assert CameraLight("north", tmp_path, clock).spans() == ()
