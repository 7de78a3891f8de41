"""`vigie validate` on a film of the rendered street, and on a labelled film."""

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.__main__ import main
from agent.config.configuration import DetectConfig
from agent.config.desired_config import DesiredContent
from agent.detection.model_card import find_sha256
from agent.detection.scene import load_scene, scene_digest
from centre.proof_file import read_proof
from tests.whole.drawn_clip import write_film, write_street_clip

LENGTH_S = 12.0
LINE = [0.22, 0.5, 0.74, 0.5]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_street_clip(folder / "street.mp4", LENGTH_S)
    return folder


def write_truth(
    path: Path, crossings: list[dict[str, Any]], duration_s: float = LENGTH_S - 1
) -> Path:
    clip = {"line": LINE, "duration": duration_s, "crossings": crossings, "view": "gate"}
    path.write_text(json.dumps({"street": clip}))
    return path


def validate(films: Path, truth: Path, out: Path, *more: str) -> int:
    return main(["validate", str(films), "--truth", str(truth), "--out", str(out), *more])


@pytest.fixture(scope="module")
def counted(films: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The crossings that are counted, in the form of labels."""
    folder = tmp_path_factory.mktemp("counted")
    assert validate(films, write_truth(folder / "none.json", []), folder) == 0
    report = json.loads((folder / "validation.json").read_text())
    assert report["model"]["rows"][0]["loose"]["extras"] == len(report["model"]["worst"]) >= 2
    return [
        {
            "t": wrong["t_s"],
            "pos": wrong["position"],
            "dir": wrong["direction"],
            "class": wrong["label"],
            "sure": True,
        }
        for wrong in report["model"]["worst"]
    ]


@pytest.fixture(scope="module")
def right(
    films: Path, counted: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The report of a validation whose labels are what is counted."""
    folder = tmp_path_factory.mktemp("right")
    truth = write_truth(folder / "all.json", counted)
    assert validate(films, truth, folder, "--limit", "f1=1", "--limit", "cpu=1000") == 0
    return folder / "validation.json"


def test_counts_that_are_the_labels_are_right_and_a_missed_one_fails_the_limit(
    films: Path,
    counted: list[dict[str, Any]],
    right: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = json.loads(right.read_text())
    assert report["model"]["rows"][0]["loose"]["f1"] == 1.0
    assert report["model"]["cpu_s"] > 0
    assert report["model"]["clips"][0]["light"] == "day"
    missed = {"t": 0.5, "pos": 0.1, "dir": "A->B", "class": "bus", "sure": True}
    truth = write_truth(tmp_path / "more.json", [*counted, missed])
    assert validate(films, truth, tmp_path / "wrong", "--limit", "recall=1") == 1
    assert "vigie: recall = " in capsys.readouterr().err
    page = (tmp_path / "wrong" / "validation.html").read_text()
    assert page.count("<img ") == 1
    assert "missed, bus, A-&gt;B" in page


def test_a_validation_of_a_cameras_scene_writes_its_proof_for_the_desired_configuration(
    films: Path, counted: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = tmp_path / "gate.toml"
    scene.write_text(f'[[line]]\nname = "stop"\nfrom = {LINE[:2]}\nto = {LINE[2:]}\n')
    truth = write_truth(tmp_path / "all.json", counted)
    proof = ["--camera", "north", "--scene", str(scene), "--by", "amina"]
    assert validate(films, truth, tmp_path / "out", *proof) == 0
    tables = tomllib.loads((tmp_path / "out" / "proof.toml").read_text())
    found = msgspec.convert(tables, DesiredContent).proofs["north"]
    assert found.view == "gate"
    assert found.scene_sha256 == scene_digest(load_scene(scene))
    assert found.model_sha256 == find_sha256(DetectConfig().model)
    assert [(one.light, one.f1, one.crossings) for one in found.lights] == [
        ("day", 1.0, len(counted))
    ]
    assert validate(films, truth, tmp_path / "out", *proof[:4]) == 2
    assert "allowed: --camera, --scene and --by" in capsys.readouterr().err
    two_views = json.loads(truth.read_text())
    two_views["bridge"] = two_views["street"] | {"view": "bridge"}
    truth.write_text(json.dumps(two_views))
    assert validate(films, truth, tmp_path / "out", *proof) == 2
    assert "2 views (bridge, gate); allowed: one" in capsys.readouterr().err
    truth = write_truth(tmp_path / "all.json", counted)
    scene.write_text('[[line]]\nname = "stop"\nfrom = [0.1, 0.4]\nto = [0.9, 0.4]\n')
    assert validate(films, truth, tmp_path / "out", *proof) == 2
    assert "no line of the scene; allowed: one of its lines" in capsys.readouterr().err


def test_a_proof_states_the_pictures_a_second_of_the_film_with_the_most(tmp_path: Path) -> None:
    luma, chroma = (np.full(size, 128, np.uint8) for size in ((180, 320), (90, 160)))
    missed = {"t": 2.0, "pos": 0.5, "dir": "A->B", "class": "bus", "sure": True}
    for fps in (4, 6):
        write_film(tmp_path / f"of_{fps}.mp4", [(luma, chroma, chroma)] * 4 * fps, fps)
    clip = {"line": LINE, "duration": 4, "crossings": [missed], "view": "gate"}
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"of_4": clip, "of_6": clip}))
    scene = tmp_path / "gate.toml"
    scene.write_text(f'[[line]]\nname = "stop"\nfrom = {LINE[:2]}\nto = {LINE[2:]}\n')
    proof = ["--camera", "north", "--scene", str(scene), "--by", "amina"]
    assert validate(tmp_path, truth, tmp_path / "out", *proof) == 0
    assert read_proof(tmp_path / "out" / "proof.toml").detect_fps == 6.0


def test_two_validations_of_the_same_labels_are_compared(
    films: Path,
    counted: list[dict[str, Any]],
    right: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth = write_truth(tmp_path / "all.json", counted)
    assert validate(films, truth, tmp_path / "later", "--against", str(right)) == 0
    assert "F1 +0.0 points" in capsys.readouterr().out
    assert "+0.0 points" in (tmp_path / "later" / "validation.md").read_text()
    other = write_truth(tmp_path / "other.json", counted[:1])
    assert validate(films, other, tmp_path / "third", "--against", str(right)) == 2
    assert "allowed: of the same labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "f2=1"], "--limit 'f2=1': allowed: f1, strict_f1, recall, precision, cpu"),
        (["--limit", "f1=1.5"], "--limit 'f1=1.5': allowed"),
        (["--against", "absent.json"], "validation 'absent.json': No such file"),
        (["--model", "absent"], "model 'absent': unknown; allowed: "),
    ],
)
def test_a_wrong_argument_is_one_line_and_writes_no_page(
    arguments: list[str],
    message: str,
    films: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth = write_truth(tmp_path / "truth.json", [])
    assert validate(films, truth, tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_film_that_is_missing_or_is_another_one_is_one_line(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_truth(tmp_path / "truth.json", [])
    assert validate(tmp_path, truth, tmp_path / "out") == 2
    assert "'street' is no file; allowed: one film of that name" in capsys.readouterr().err
    longer = write_truth(tmp_path / "longer.json", [], duration_s=60)
    assert validate(films, longer, tmp_path / "out") == 2
    assert "allowed: the film that was labelled, of 60 s" in capsys.readouterr().err


def test_a_labelled_film_has_the_counts_of_its_labels(shared: Path, tmp_path: Path) -> None:
    name = "ahmetozlu_vehicle_surveillance"
    labels = json.loads((shared / "labelled" / "counts.json").read_text())
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({name: labels[name]}))
    assert validate(shared / "footage", truth, tmp_path / "out", "--limit", "f1=1") == 0
