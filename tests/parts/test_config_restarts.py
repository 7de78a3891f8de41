"""agent.config_change.config_stage: restarts of the agent for versions are few, and none happens that nothing would end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.config.desired_store import MAX_RESTARTS, WINDOW_S, VersionRestarts
from agent.config_change.config_stage import MIN_TRIAL_S
from agent.health.restart_command import NO_SERVICE_MANAGER
from tests.parts.config_stage_rig import LINE, MASK, Pole, skip_waits

NS_PER_S = 10**9


@pytest.fixture
def pole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pole:
    skip_waits(monkeypatch)
    return Pole(tmp_path)


def setting(number: int) -> dict[str, Any]:
    """Settings that differ from version to version."""
    return {"settings": {"health": {"interval_s": 10 + number}}}


def kept(pole: Pole, version: int) -> None:
    """A version that restarts the agent, and is kept."""
    pole.send(version, **setting(version))
    pole.start()
    assert pole.live_s(MIN_TRIAL_S + 2).version == version


def busy(pole: Pole) -> Pole:
    """The same box after as many restarts for versions as there may be; the next version is number 4."""
    for version in range(1, MAX_RESTARTS + 1):
        kept(pole, version)
    assert pole.restarts == MAX_RESTARTS == 3
    return pole


def test_restarts_beyond_the_limit_wait_until_the_first_is_old_enough() -> None:
    restarts = VersionRestarts()
    for second in (10, 20, 30, 40):
        restarts = restarts.with_one("a", second * NS_PER_S)
    assert restarts.times_ns == tuple(second * NS_PER_S for second in (20, 30, 40))
    assert restarts.next_ns("a") == (20 + WINDOW_S) * NS_PER_S
    assert restarts.next_ns("b") == 0, "another boot"
    assert restarts.with_one("b", 5).times_ns == (5,)


def test_a_version_each_second_restarts_the_agent_three_times_in_a_quarter_of_an_hour(
    pole: Pole,
) -> None:
    version = 0
    for _ in range(WINDOW_S - 1):
        version += 1
        before = pole.restarts
        pole.clock.advance_s(1)
        pole.send(version, **setting(version))
        if pole.restarts > before:
            pole.start()
    assert pole.restarts == MAX_RESTARTS
    deferred = pole.stage.reported().deferred
    assert deferred is not None
    assert deferred.version == version, "the newest"


def test_a_deferred_version_is_reported_with_its_time_and_then_tried(pole: Pole) -> None:
    reported = busy(pole).send(4, **setting(4))
    assert (reported.state, reported.version, reported.refused) == ("in_force", 3, None)
    assert reported.deferred is not None
    assert reported.deferred.version == 4
    pole.live_s(WINDOW_S - 60)
    assert pole.restarts == 3
    pole.live_s(60)
    assert pole.restarts == 4
    assert pole.start().config.health.interval_s == 14
    reported = pole.live_s(MIN_TRIAL_S + 2)
    assert (reported.version, reported.deferred) == (4, None)


def test_the_newest_deferred_version_wins(pole: Pole) -> None:
    busy(pole)
    for version in (4, 5, 6):
        pole.send(version, **setting(version))
    pole.live_s(WINDOW_S)
    assert pole.restarts == 4
    assert pole.start().config.health.interval_s == 16


def test_a_newer_version_that_is_refused_takes_nothing_from_the_deferred_one(pole: Pole) -> None:
    busy(pole).send(4, **setting(4))
    reported = pole.send(5, settings={"broker": {"url": "mqtt://x"}})
    assert reported.deferred is not None
    assert reported.refused is not None
    assert (reported.deferred.version, reported.refused.version) == (4, 5)
    pole.live_s(WINDOW_S)
    assert pole.start().config.health.interval_s == 14
    assert pole.live_s(MIN_TRIAL_S + 2).version == 4
    pole.send(5, settings={"broker": {"url": "mqtt://x"}})
    assert pole.stage.reported().version == 4, "delivered again, and decided already"


def test_an_agent_that_ends_while_a_version_waits_gets_it_again_and_still_waits(pole: Pole) -> None:
    deferred = busy(pole).send(4, **setting(4)).deferred
    pole.start()
    assert pole.stage.reported().deferred is None
    assert pole.send(4, **setting(4)).deferred == deferred, "the broker has retained it"
    pole.live_s(WINDOW_S)
    assert pole.restarts == 4


def test_the_same_message_again_does_not_move_the_time(pole: Pole) -> None:
    deferred = busy(pole).send(4, **setting(4)).deferred
    pole.live_s(100)
    assert pole.send(4, **setting(4)).deferred == deferred


def test_a_return_to_the_version_before_does_not_wait(pole: Pole) -> None:
    for version in (1, 2):
        kept(pole, version)
    pole.send(3, confirm_s=30, **setting(3))
    pole.start()
    pole.works = False
    pole.live_s(31)
    assert pole.restarts == 4, "three versions, and one return"
    assert pole.start().config.health.interval_s == 12


def test_masks_that_cannot_be_read_do_not_wait(pole: Pole) -> None:
    pole.send(1, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    for version in (2, 3, 4):
        pole.send(version, scenes={"north": MASK}, **setting(version))
        pole.start()
        pole.live_s(MIN_TRIAL_S + 2)
    file = pole.path.parent / "state" / "desired" / "layer.json"
    file.write_bytes(file.read_bytes().replace(b"amina", b"amine"))
    pole.start()
    pole.send(4, scenes={"north": MASK}, **setting(4))
    assert pole.restarts == 4


def test_a_scene_does_not_wait_and_replaces_a_deferred_version(pole: Pole) -> None:
    busy(pole).send(4, **setting(4))
    reported = pole.send(5, scenes={"north": LINE}, **setting(3))
    assert (reported.state, reported.version, reported.deferred) == ("on_trial", 5, None)
    pole.live_s(WINDOW_S)
    assert pole.restarts == 3


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"settings": {"record": {"max_age_h": 72}}},
        {"settings": {"record": {"max_age_h": 72.0}, "camera": {"north": {"record": True}}}},
        {"settings": {"camera": {"north": {}}}},
        {"settings": {"head": {}}},
    ],
)
def test_settings_that_change_nothing_restart_nothing(pole: Pole, same: dict[str, Any]) -> None:
    pole.send(1, **same)
    assert pole.live_s(MIN_TRIAL_S + 2).version == 1
    assert pole.restarts == 0


def test_a_scene_next_to_settings_that_are_in_force_already_restarts_nothing(pole: Pole) -> None:
    kept(pole, 1)
    pole.send(2, scenes={"north": LINE}, **setting(1))
    assert pole.live_s(MIN_TRIAL_S + 2).version == 2
    assert (pole.restarts, len(pole.scenes)) == (1, 1)


def without_manager(pole: Pole) -> Pole:
    pole.has_manager = False
    pole.start()
    return pole


def test_without_a_service_manager_settings_are_refused_in_one_line_and_scenes_are_taken(
    pole: Pole,
) -> None:
    reported = without_manager(pole).send(1, **setting(1))
    assert (reported.state, reported.version) == ("in_force", 0)
    assert pole.reasons() == (f"it takes effect by a restart: {NO_SERVICE_MANAGER}",)
    assert (pole.store.pending(), pole.store.decision().version) == (None, 0)
    pole.send(2, scenes={"north": LINE})
    assert pole.live_s(MIN_TRIAL_S + 2).version == 2


def test_under_a_service_manager_a_version_that_was_refused_without_one_is_tried(
    pole: Pole,
) -> None:
    without_manager(pole).send(1, **setting(1))
    pole.has_manager = True
    pole.start()
    pole.send(1, **setting(1))
    assert pole.restarts == 1


def test_without_a_service_manager_a_trial_that_fails_leaves_the_agent_running(
    pole: Pole, caplog: pytest.LogCaptureFixture
) -> None:
    pole.send(1, confirm_s=30, **setting(1))
    pole.works = False
    without_manager(pole).live_s(40)
    assert pole.restarts == 1, "that of the version alone"
    assert pole.reasons()[0].startswith("rolled back: ")
    assert "no service manager would start the agent again" in caplog.text
    assert pole.start().config.health.interval_s == 600


@pytest.mark.parametrize("damage", [lambda file: file.write_text("{}"), lambda file: file.unlink()])
def test_lost_times_of_restarts_hold_nothing_up(
    pole: Pole, damage: Callable[[Path], object]
) -> None:
    busy(pole)
    damage(pole.path.parent / "state" / "desired" / "restarts.json")
    pole.send(4, **setting(4))
    assert pole.restarts == 4
