"""Speeds at lines on the published tracks of four real views, next to the project: the limits are those of decision 57."""

from pathlib import Path

import msgspec
import pytest

from bench.speed import Measured, errors, measure
from bench.speed_truth import read_view

EVERY_TRACK = 4
"""Of 2,268: the sample is of each fourth one."""


@pytest.fixture(scope="module")
def measured(shared: Path) -> list[Measured]:
    found: list[Measured] = []
    for path in sorted((shared / "ground").glob("brno_*.json.gz")):
        view = read_view(path)
        sample = msgspec.structs.replace(view, tracks=view.tracks[::EVERY_TRACK])
        found += measure(sample, view.marks())
    return found


@pytest.mark.shared
def test_nearly_every_event_has_a_speed_that_is_near_the_true_one(measured: list[Measured]) -> None:
    known = errors((one.at_once_km_h, one.true_km_h) for one in measured)
    assert known.crossings > 1000
    assert known.given >= 0.9 * known.crossings
    assert known.median <= 0.4
    assert known.below_95 <= 1.4


@pytest.mark.shared
def test_counted_speeds_are_more_and_nearer(measured: list[Measured]) -> None:
    counted = errors((one.counted_km_h, one.true_km_h) for one in measured)
    assert counted.given >= 0.95 * counted.crossings
    assert counted.median <= 0.35
    assert counted.below_95 <= 1.4


@pytest.mark.shared
def test_counted_speeds_are_within_twice_their_stated_error(measured: list[Measured]) -> None:
    within = [
        abs(one.counted_km_h - one.true_km_h) <= 2 * one.counted_error_km_h
        for one in measured
        if one.counted_km_h is not None and one.counted_error_km_h is not None
    ]
    assert sum(within) >= 0.95 * len(within)
