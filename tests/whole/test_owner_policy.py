"""agent.recording.owner_policy: another institution's camera is retained and shown as its owner configures."""

import json
import shutil
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.base.errors import UserError
from agent.config.configuration import CameraConfig, InstitutionConfig
from agent.recording import owner_policy
from tests.vectors.street import StreetBox

SPAN = ["--camera", "north", "--from", "2026-11-25T01:00:05Z", "--to", "2026-11-25T01:00:11Z"]
TRAM = InstitutionConfig(owner="Casa Tramway", purpose="safety", viewers=("Samira Alaoui",))
CONFIG = """
[box]
id = "casa-0001"
site = "here"
state = "state"
[broker]
url = "mqtt://127.0.0.1"
[[camera]]
name = "north"
driver = "fake"
options = {}
[camera.institution]
owner = "Bank"
purpose = "safety"
viewers = ["Nadia"]
"""


def camera(name: str, of: InstitutionConfig | None) -> CameraConfig:
    return CameraConfig(name=name, driver="fake", options={}, institution=of)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    box = StreetBox(folder / "state", "casa-0001")
    box.record("north", 1, 14)
    return folder


@pytest.fixture
def here(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(recorded / "state", tmp_path / "state")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export(by: str, *where: str) -> int:
    words = [*SPAN, "--by", by, "--purpose", "case 118", "--out", "out"]
    return main(["footage", "export", *where, *words])


def test_only_a_named_viewer_exports_a_lent_cameras_footage(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owner_policy.update(here / "state", here / "state" / "footage", [camera("north", TRAM)])
    assert export("Nadia", "--state", "state") == 2
    assert "--by 'Nadia': may not see camera 'north'; it is lent by Casa Tramway" in (
        capsys.readouterr().err
    )
    assert not (here / "out").exists()
    assert export("Samira Alaoui", "--state", "state") == 0
    assert (here / "out" / "manifest.json").exists()


def test_the_policies_of_a_given_configuration_and_of_the_box_both_apply(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "box.toml").write_text(CONFIG)
    owner_policy.update(here / "state", here / "state" / "footage", [camera("north", TRAM)])
    for viewer in ("Nadia", "Samira Alaoui"):
        assert export(viewer, "--config", "box.toml") == 2
    owner_policy.update(here / "state", here / "state" / "footage", [camera("north", None)])
    capsys.readouterr()
    assert export("Nadia", "--config", "box.toml") == 0


def test_an_owner_policy_outlasts_its_camera_as_long_as_footage_exists(here: Path) -> None:
    state, footage = here / "state", here / "state" / "footage"
    bank = InstitutionConfig(owner="Bank", purpose="safety", max_age_h=24)
    cameras = [camera("north", TRAM), camera("yard", bank), camera("own", None)]
    assert owner_policy.update(state, footage, cameras) == {"north": TRAM, "yard": bank}
    assert owner_policy.update(state, footage, [camera("own", None)]) == {"north": TRAM}
    assert owner_policy.read(state) == {"north": TRAM}
    assert owner_policy.update(state, footage, [camera("north", bank)]) == {"north": bank}
    assert owner_policy.update(state, footage, [camera("north", None)]) == {}
    shutil.rmtree(footage / "north")
    owner_policy.update(state, footage, [camera("north", TRAM)])
    assert owner_policy.update(state, footage, []) == {}


@pytest.mark.parametrize("damaged", [b"{", b'{"north":{"owner":"\xff"}}', b"[" * 100_000])
def test_an_unreadable_owner_policy_blocks_every_export(
    here: Path, capsys: pytest.CaptureFixture[str], damaged: bytes
) -> None:
    state, footage = here / "state", here / "state" / "footage"
    (state / owner_policy.POLICY_FILE).write_bytes(damaged)
    with pytest.raises(UserError, match="cannot be read"):
        owner_policy.read(state)
    assert export("Samira Alaoui", "--state", "state") == 2
    assert "owner_policies.json" in capsys.readouterr().err
    assert owner_policy.update(state, footage, [camera("north", TRAM)]) == {"north": TRAM}
    assert (
        json.loads((state / owner_policy.POLICY_FILE).read_text())["north"]["owner"]
        == "Casa Tramway"
    )
