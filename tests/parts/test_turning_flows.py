"""Turning flows on true tracks of two real crossings, next to the project."""

from pathlib import Path

import pytest

from bench.turning_flows import DAMAGES, Damage, score_flows

SEEDS = range(3)


@pytest.mark.shared
def test_each_road_user_of_two_real_crossings_is_in_its_cell(shared: Path) -> None:
    score = score_flows(DAMAGES[0], range(1), shared / "ground")
    assert score.expected >= 25
    assert score.right >= 0.98 * score.expected
    assert score.others == 0


@pytest.mark.shared
@pytest.mark.parametrize("damage", DAMAGES[1:], ids=lambda damage: damage.name)
def test_faults_of_detector_and_tracker_lose_few_of_those_seen_in_both_arms(
    shared: Path, damage: Damage
) -> None:
    score = score_flows(damage, SEEDS, shared / "ground")
    assert score.seen_right >= 0.95 * score.seen
    assert score.others <= 0.02 * score.expected
