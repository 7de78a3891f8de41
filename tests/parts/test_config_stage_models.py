"""agent.config_change.config_stage: models of a version are fetched before its trial, and again if their files are damaged."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.config_change.config_stage import MIN_TRIAL_S
from agent.config_change.delivered_models import FetchedModels
from agent.detection.model_card import MODELS_FOLDER
from agent.reporting.payloads import FetchingModel
from tests.parts.config_stage_rig import CONFIG, LINE, Pole, skip_waits


@pytest.fixture
def pole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pole:
    skip_waits(monkeypatch)
    return Pole(tmp_path)


def own_model(name: str = "own") -> dict[str, Any]:
    """The fields of a version with a model of one's own, a copy of a shipped one, on a camera."""
    card = (MODELS_FOLDER / "nanodet.toml").read_text()
    card = card.replace('name = "nanodet"', f'name = "{name}"', 1)
    model = {"card": card, "url": "https://files.example/own.tflite", "size_bytes": 3_878_888}
    detect = {"enabled": True, "model": name}
    return {"models": {name: model}, "settings": {"camera": {"north": {"detect": detect}}}}


def deliver(pole: Pole) -> Path:
    """Put the file of the newest fetch next to its card. Return its path."""
    layer, on_done = pole.fetches[-1]
    path = Path(pole.store.card_files(layer)["own"]).with_suffix(".tflite")
    shutil.copy(MODELS_FOLDER / "nanodet.tflite", path)
    on_done(FetchedModels())
    return path


def test_a_version_waits_for_its_models_and_is_tried_with_them(pole: Pole) -> None:
    reported = pole.send(1, **own_model())
    assert (reported.version, reported.refused, pole.restarts) == (0, None, 0)
    pole.send(1, **own_model())
    assert len(pole.fetches) == 1
    path = deliver(pole)
    pole.turn()
    assert pole.restarts == 1
    start = pole.start()
    assert start.config.camera[0].detect.model == str(path.with_suffix(".toml"))
    pole.detects_with = "own"
    reported = pole.live_s(MIN_TRIAL_S + 2)
    assert (reported.state, reported.version) == ("in_force", 1)
    assert pole.receipts[0] == (
        "amina: configuration 1: on trial: camera.north.detect.enabled, camera.north.detect.model, "
        "models.own"
    )


def test_a_version_whose_model_does_not_run_on_the_box_is_rolled_back(pole: Pole) -> None:
    pole.send(1, **own_model(), confirm_s=30)
    deliver(pole)
    pole.turn()
    pole.start()
    pole.detects_with = "ssdlite_mobilenet_v2"
    pole.live_s(32)
    assert pole.start().config.camera[0].detect.enabled is False
    assert pole.reasons() == ("rolled back: camera north: does not detect with own",)


def test_a_model_that_cannot_be_fetched_now_is_fetched_at_the_next_delivery(pole: Pole) -> None:
    pole.send(1, **own_model())
    pole.fetches[-1][1](FetchedModels(reasons=("models.own: the connection broke",)))
    pole.turn()
    assert pole.reasons() == ("models.own: the connection broke",)
    pole.send(1, **own_model())
    assert len(pole.fetches) == 2


def test_the_progress_of_a_fetch_is_reported_until_it_ends(pole: Pole) -> None:
    pole.send(1, **own_model())
    report = pole.report_fetch
    assert report is not None
    progress = FetchingModel(
        version=1, digest="a", model="own", progress=0.4, detail="downloading 40 %"
    )
    reports = pole.reports
    report(progress)
    pole.turn()
    assert (pole.stage.reported().fetching, pole.reports) == (progress, reports + 1)
    pole.fetches[-1][1](FetchedModels(reasons=("models.own: the connection broke",)))
    pole.turn()
    assert (pole.stage.reported().fetching, pole.reports) == (None, reports + 2)
    pole.send(1, **own_model())
    report(progress)
    pole.turn()
    assert pole.stage.reported().fetching is None, "of a fetch that was replaced"


def test_a_model_that_is_another_one_is_refused_for_good(pole: Pole) -> None:
    pole.send(1, **own_model())
    pole.fetches[-1][1](FetchedModels(reasons=("models.own: another",), is_final=True))
    pole.turn()
    assert pole.reasons() == ("models.own: another",)
    assert pole.receipts == ["amina: configuration 1: refused: models.own: another"]
    pole.send(1, **own_model())
    assert len(pole.fetches) == 1


def test_a_model_that_was_fetched_for_a_refused_version_is_deleted(pole: Pole) -> None:
    pole.send(1, **own_model())
    folder = Path(pole.store.card_files(pole.fetches[-1][0])["own"]).parent
    deliver(pole)
    pole.path.write_text(
        f"{CONFIG}[link]\nca = 'none'\n"
    )  # a technician changes the file meanwhile
    pole.turn()
    assert pole.reasons()[0].startswith("link.ca")
    assert not folder.exists()


def test_a_refused_version_takes_nothing_from_one_whose_model_it_shares(pole: Pole) -> None:
    pole.send(1, **own_model())
    pole.send(2, settings={"record": {"segment_s": 5}})
    pole.start()
    pole.live_s(MIN_TRIAL_S + 2)
    pole.send(3, **own_model())
    path = deliver(pole)
    pole.turn()
    pole.start()
    pole.detects_with = "own"
    assert pole.live_s(MIN_TRIAL_S + 2).version == 3
    pole.send(4, **own_model(), scenes={"north": "[["})
    assert pole.reasons()[0].startswith("scene 'scenes.north'")
    assert path.exists()


def test_a_model_of_more_than_a_metered_links_day_is_not_fetched(pole: Pole) -> None:
    pole.path.write_text(f"{CONFIG}[link]\nmetered = true\nbytes_per_day = 1_000_000\n")
    pole.start()
    pole.send(1, **own_model())
    (reason,) = pole.reasons()
    assert reason.startswith("models.own.size_bytes = 3878888: the link is metered; allowed: ")
    assert pole.fetches == []


def test_a_newer_version_takes_the_place_of_one_that_waits_for_its_models(pole: Pole) -> None:
    pole.send(1, **own_model())
    reported = pole.send(2, scenes={"north": LINE})
    assert (reported.state, reported.version) == ("on_trial", 2)
    assert pole.ended_fetches == 1
    deliver(pole)
    assert pole.live_s(MIN_TRIAL_S + 2).version == 2
    assert pole.restarts == 0


def test_a_damaged_model_in_force_is_fetched_again_and_the_agent_restarts(pole: Pole) -> None:
    pole.send(1, **own_model())
    path = deliver(pole)
    pole.turn()
    pole.start()
    pole.detects_with = "own"
    assert pole.live_s(MIN_TRIAL_S + 2).state == "in_force"
    path.write_bytes(b"damaged")
    path.with_suffix(".toml").unlink()
    restarts = pole.restarts
    pole.start()
    assert len(pole.fetches) == 2
    deliver(pole)
    pole.turn()
    assert pole.restarts == restarts + 1


@pytest.mark.parametrize("is_final", [False, True])
def test_a_damaged_model_that_cannot_be_fetched_at_the_start_is_fetched_after_a_reconnection(
    pole: Pole, *, is_final: bool
) -> None:
    """A box has no link yet when its agent starts. The broker delivers the version in force again."""
    pole.send(1, **own_model())
    path = deliver(pole)
    pole.turn()
    pole.start()
    pole.detects_with = "own"
    assert pole.live_s(MIN_TRIAL_S + 2).state == "in_force"
    path.write_bytes(b"damaged")
    pole.start()
    pole.send(1, **own_model())
    assert len(pole.fetches) == 2
    pole.fetches[-1][1](FetchedModels(reasons=("models.own: no link",), is_final=is_final))
    pole.turn()
    pole.send(1, **own_model())
    assert len(pole.fetches) == (2 if is_final else 3)


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("nanodet", "", "", "models.nanodet: the agent has a model of this name; allowed: another"),
        (
            "own",
            'decoder = "nanodet"',
            'decoder = "x"',
            "models.own.card: own.toml: decoder = 'x': ",
        ),
        (
            "own",
            "person = 0\n",
            "face = 0\n",
            "models.own.card: own.toml: labels.face = 'face': allowed: 'bicycle'",
        ),
        ("own", 'name = "own"', 'name = "other"', "models.own.card: own.toml: name = 'other'"),
        ("face-finder", "", "", "models.face-finder: identifies people; allowed: models of road"),
    ],
)
def test_a_model_is_refused_by_its_card_before_it_is_fetched(
    name: str, old: str, new: str, line: str, pole: Pole
) -> None:
    fields = own_model(name)
    model = fields["models"][name]
    assert old in model["card"]
    model["card"] = model["card"].replace(old, new, 1)
    pole.send(1, **fields)
    assert pole.reasons()[0].startswith(line)
    assert pole.fetches == []
