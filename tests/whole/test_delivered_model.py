"""A model of one's own reaches a running box: over a real broker and a real HTTPS server, into a real agent."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.config.configuration import DetectConfig
from agent.config.desired_store import DESIRED_DIR
from agent.detection.model_card import MODELS_FOLDER
from agent.health import health_file
from tests.server_certificate import CA_FILE
from tests.updates.file_server import FileServer, https_server
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import TIMEOUT_S, AgentBox
from tests.whole.test_desired_config import BOX, Centre

MODEL = MODELS_FOLDER / "ssdlite_mobilenet_v2.tflite"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with https_server(tmp_path) as server:
        server.files["/own.tflite"] = MODEL.read_bytes()
        yield server


@pytest.fixture
def centre(mosquitto: Mosquitto) -> Iterator[Centre]:
    made = Centre(mosquitto.url)
    yield made
    made.link.abort()


@pytest.fixture
def pole(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[AgentBox]:
    camera = 'driver = "fake"\n[camera.options]\nwidth_px = 320\nheight_px = 180\nfps = 10\n'
    box = AgentBox(tmp_path / "box", mosquitto.url, camera)
    with (box.folder / "vigie.toml").open("a") as file:
        file.write(f'[record]\nsegment_s = 3\n[link]\nca = "{tmp_path / CA_FILE}"\n')
    yield box
    box.kill()


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """The card of a model of one's own in the office, a copy of a shipped one."""
    path = tmp_path / "own.toml"
    text = MODEL.with_suffix(".toml").read_text()
    path.write_text(text.replace('name = "ssdlite_mobilenet_v2"', 'name = "own"', 1))
    shutil.copy(MODEL, path.with_suffix(".tflite"))
    return path


def detecting_with(box: AgentBox) -> str | None:
    """The model in the box's health file."""
    health = health_file.read(health_file.get_runtime_dir(box.folder / "state"))
    return health.report.detectors[0].model if health and health.report.detectors else None


def test_it_is_fetched_tried_kept_and_fetched_again_once_its_file_is_damaged(
    pole: AgentBox, centre: Centre, server: FileServer, card: Path, mosquitto: Mosquitto
) -> None:
    office = card.with_name("version.toml")
    office.write_text('[settings.camera.north.detect]\nmodel = "own"\n')
    pole.start()
    centre.wait_for_report("in_force", 0)
    words = ["configure", BOX, str(office), "--model", f"{card}={server.url('/own.tflite')}"]
    words += ["--by", "amina", "--broker", mosquitto.url]
    configure = subprocess.Popen(
        [sys.executable, "-m", "agent", *words], stderr=subprocess.PIPE, text=True
    )
    assert pole.wait_for_exit() == 0
    pole.start()
    centre.wait_for_report("on_trial", 1)
    _, shown = configure.communicate(timeout=TIMEOUT_S)
    assert configure.returncode == 0
    assert "version 1: own: " in shown
    assert detecting_with(pole) == "own"
    assert pole.stop(signal.SIGTERM) == 0

    (fetched,) = (pole.folder / "state" / DESIRED_DIR / "models").glob("*/own.tflite")
    fetched.write_bytes(b"damaged")
    server.next_statuses = [503]
    pole.start()
    wait_until(lambda: detecting_with(pole) == DetectConfig().model)
    assert pole.wait_for_exit() == 0
    assert fetched.read_bytes() == MODEL.read_bytes()
    assert "Traceback" not in pole.log


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("own=https://files.example/own.tflite", "allowed: CARD.toml=https://HOST/PATH"),
        ("own.toml", "allowed: CARD.toml=https://HOST/PATH"),
        ("none.toml=https://files.example/x", "--model none.toml: model 'none.toml': no such card"),
        (
            "own.toml=ftp://files.example/x",
            "models.own.url = 'ftp://files.example/x': allowed: https://HOST/PATH, without a user name",
        ),
        ("cut.toml=https://files.example/x", "model 'cut': cut.tflite has sha256"),
    ],
)
def test_the_office_names_a_card_and_an_address_or_gets_one_line(
    word: str,
    message: str,
    card: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cut = card.with_name("cut.toml")
    cut.write_text(card.read_text().replace('name = "own"', 'name = "cut"', 1))
    cut.with_suffix(".tflite").write_bytes(MODEL.read_bytes()[:-1])
    monkeypatch.chdir(card.parent)
    words = ["--model", word, "--number", "1", "--by", "amina", "--broker", "mqtt://127.0.0.1:1"]
    assert main(["configure", BOX, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
