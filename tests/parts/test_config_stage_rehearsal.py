"""agent.config_change.config_stage: a version that is to be rehearsed is checked and handed over, and never in force."""

import threading
from pathlib import Path
from typing import Any

import pytest

from agent.config_change.config_stage import MIN_TRIAL_S
from agent.config_change.delivered_models import FetchedModels
from agent.reporting.rehearsal import RehearsedCamera, ReportedRehearsal
from tests.authority_rig import ControlKeys
from tests.parts.config_stage_rig import LINE, MASK, Pole, SignedPole, skip_waits
from tests.parts.test_config_stage_models import deliver, own_model
from tests.pole_config import POLE_CONFIG

SPAN = {"begin": "2026-11-03T08:00:00Z", "end": "2026-11-03T09:00:00Z"}
OTHER_SPAN = {"begin": "2026-11-03T08:00:00Z", "end": "2026-11-03T08:30:00Z"}


@pytest.fixture
def pole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pole:
    """A box that detects."""
    skip_waits(monkeypatch)
    made = Pole(tmp_path)
    made.path.write_text(POLE_CONFIG)
    made.start()
    return made


def begun(pole: Pole) -> ReportedRehearsal | None:
    """The report of the rehearsal that the box has begun."""
    pole.rehearsals.wake()
    stopping = threading.Event()
    with pole.rehearsals._changed:
        if pole.rehearsals._request is None:
            stopping.set()
    pole.rehearsals.run_once(stopping)
    return pole.rehearsals.reported()


def test_a_rehearsed_version_is_neither_in_force_nor_decided(pole: Pole) -> None:
    reported = pole.send(7, rehearse=SPAN, scenes={"north": LINE})
    assert (reported.version, reported.decided, reported.refused) == (0, 0, None)
    assert (pole.scenes, pole.restarts, pole.store.pending()) == ([], 0, None)
    assert pole.receipts == []
    rehearsal = begun(pole)
    assert rehearsal is not None
    assert (rehearsal.version, rehearsal.by, rehearsal.state) == (7, "amina", "running")
    assert (rehearsal.begin, rehearsal.end) == (
        "2026-11-03T08:00:00.000Z",
        "2026-11-03T09:00:00.000Z",
    )
    assert rehearsal.cameras == ()


def test_the_same_number_goes_into_force_after_its_rehearsal_and_ends_it(pole: Pole) -> None:
    pole.send(1, rehearse=SPAN, scenes={"north": LINE})
    assert begun(pole) is not None
    pole.send(1, scenes={"north": LINE})
    assert pole.live_s(MIN_TRIAL_S + 2).version == 1
    pole.rehearsals.run_once(threading.Event())
    rehearsal = pole.rehearsals.reported()
    assert rehearsal is not None
    assert (rehearsal.state, rehearsal.reason) == ("failed", "another version was decided")


def test_a_rehearsal_that_is_delivered_twice_runs_once(pole: Pole) -> None:
    pole.send(1, rehearse=SPAN, scenes={"north": LINE})
    assert begun(pole) is not None
    pole.redeliver(1, rehearse=SPAN, scenes={"north": LINE})
    assert pole.rehearsals._request is None
    pole.send(1, rehearse=OTHER_SPAN, scenes={"north": LINE})
    assert pole.rehearsals._request is not None


def test_one_person_rehearses_masks_that_two_would_put_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The masks of the recording stay on the pictures, and nothing but counts is reported."""
    skip_waits(monkeypatch)
    keys = ControlKeys()
    pole = SignedPole(tmp_path, keys)
    pole.path.write_text(pole.path.read_text().replace("enabled = false", "enabled = true"))
    pole.start()
    amina, salma = keys.identity("amina", "supervisor"), keys.identity("salma", "viewer")
    pole.sign(1, amina, scenes={"north": MASK + LINE})
    pole.live_s(MIN_TRIAL_S + 2)
    pole.sign(2, amina, scenes={"north": LINE})
    assert "signatures of two people" in pole.reasons()[0]
    pole.sign(3, salma, rehearse=SPAN, scenes={"north": LINE})
    assert "does not permit 'configure' on north" in pole.reasons()[0]
    assert pole.rehearsals._request is None
    pole.sign(3, amina, rehearse=SPAN, scenes={"north": LINE})
    rehearsal = begun(pole)
    assert rehearsal is not None
    assert rehearsal.by == "amina (supervisor)"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "rehearse: neither the scene, the model nor the rate of a camera differs"),
        ({"settings": {"record": {"segment_s": 5}}}, "rehearse: neither the scene, the model"),
        ({"scenes": {"north": "[[line]]"}}, "scenes.north: line[0]"),
        ({"scenes": {"north": LINE}, "base": "0" * 64}, "base = "),
        (
            {
                "scenes": {"north": LINE},
                "rehearse": {"begin": "0001-01-01T00:00:00+14:00", "end": "0001-01-01T01:00:00Z"},
            },
            "begin and end: allowed: end after begin",
        ),
        (
            {"scenes": {"north": LINE}, "rehearse": {**SPAN, "end": SPAN["begin"]}},
            "begin and end: allowed: end after begin, by at most 6 h",
        ),
        (
            {"scenes": {"north": LINE}, "rehearse": {**SPAN, "end": "2026-11-03T14:00:01Z"}},
            "begin and end: allowed: end after begin, by at most 6 h",
        ),
    ],
)
def test_a_rehearsal_is_refused_with_a_line(
    pole: Pole, fields: dict[str, Any], reason: str
) -> None:
    reported = pole.send(1, **({"rehearse": SPAN} | fields))
    assert reason in pole.reasons()[0]
    assert reported.decided == 0
    assert pole.rehearsals._request is None


def test_a_camera_on_which_it_is_not_possible_says_why(pole: Pole) -> None:
    pole.path.write_text(f"{POLE_CONFIG}[camera.detect]\nenabled = false\n")
    pole.start()
    pole.send(1, rehearse=SPAN, scenes={"north": LINE})
    rehearsal = begun(pole)
    assert rehearsal is not None
    assert rehearsal.cameras == (RehearsedCamera(camera="north", reason="its detection is off"),)


def test_the_models_of_a_rehearsed_version_are_fetched_first(pole: Pole) -> None:
    model = own_model()
    pole.send(1, rehearse=SPAN, **model)
    assert pole.rehearsals._request is None
    deliver(pole)
    pole.turn()
    rehearsal = begun(pole)
    assert rehearsal is not None
    assert rehearsal.version == 1
    assert (pole.restarts, pole.stage.reported().decided) == (0, 0)


def test_a_rehearsal_takes_nothing_from_a_version_whose_models_are_fetched(pole: Pole) -> None:
    pole.send(1, **own_model())
    pole.send(2, rehearse=SPAN, scenes={"north": LINE})
    assert pole.reasons() == ("rehearse: another version waits; allowed: once it is decided",)
    pole.fetches[-1][1](FetchedModels(reasons=("models.own: the connection broke",)))
    pole.turn()
    assert pole.ended_fetches == 0
