"""agent.recording.owner_policy: another institution's camera is retained and shown as its owner configures."""

import shutil
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.base.damaged_file import unreported_path
from agent.base.errors import UserError
from agent.config.configuration import CameraConfig, InstitutionConfig
from agent.recording import owner_policy
from agent.recording.owner_policy import UNKNOWN_POLICY
from tests.vectors.street import StreetBox
from tests.whole.no_room import no_room

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
    assert owner_policy.read(state, "north") == TRAM
    assert owner_policy.update(state, footage, [camera("north", bank)]) == {"north": bank}
    assert owner_policy.update(state, footage, [camera("north", None)]) == {}
    shutil.rmtree(footage / "north")
    owner_policy.update(state, footage, [camera("north", TRAM)])
    assert owner_policy.update(state, footage, []) == {}


DAMAGED = [b"{", b'{"sha256":"\xff"}', b"[" * 100_000]


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_owner_policy_blocks_every_export_of_its_camera(
    here: Path, capsys: pytest.CaptureFixture[str], damaged: bytes
) -> None:
    state, footage = here / "state", here / "state" / "footage"
    owner_policy.update(state, footage, [camera("north", TRAM)])
    policy_file(state).write_bytes(damaged)
    with pytest.raises(UserError, match="cannot be read"):
        owner_policy.read(state, "north")
    assert export("Samira Alaoui", "--state", "state") == 2
    assert "owner-policies/north.json" in capsys.readouterr().err
    assert owner_policy.update(state, footage, [camera("north", TRAM)]) == {"north": TRAM}
    assert owner_policy.read(state, "north") == TRAM


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_removed_camera_whose_policy_is_damaged_stays_closed_and_others_are_open(
    here: Path, capsys: pytest.CaptureFixture[str], damaged: bytes
) -> None:
    state, footage = here / "state", here / "state" / "footage"
    (footage / "yard").mkdir()
    owner_policy.update(state, footage, [camera("north", TRAM), camera("yard", TRAM)])
    policy_file(state).write_bytes(damaged)
    for _ in range(2):  # now, and at a later start
        found = owner_policy.update(state, footage, [camera("own", None)])
        assert found == {"north": UNKNOWN_POLICY, "yard": TRAM}
        assert owner_policy.read(state, "yard") == TRAM
        for viewer in ("Samira Alaoui", "Nadia"):
            assert export(viewer, "--state", "state") == 2
            assert "nobody may see its footage" in capsys.readouterr().err
    unreported_path(policy_file(state)).unlink()  # its receipt is written
    assert export("Samira Alaoui", "--state", "state") == 2
    # The city configures the camera again, with its owner's terms.
    assert owner_policy.update(state, footage, [camera("north", TRAM)])["north"] == TRAM
    assert export("Samira Alaoui", "--state", "state") == 0


def test_a_policy_is_closed_between_its_discovery_and_the_disks_next_write(here: Path) -> None:
    state, footage = here / "state", here / "state" / "footage"
    owner_policy.update(state, footage, [camera("north", TRAM)])
    policy_file(state).write_bytes(b"{")
    with no_room():
        assert owner_policy.update(state, footage, []) == {"north": UNKNOWN_POLICY}
    assert owner_policy.read(state, "north") == UNKNOWN_POLICY
    assert owner_policy.update(state, footage, []) == {"north": UNKNOWN_POLICY}


def test_a_damaged_folder_of_policies_closes_each_removed_camera(here: Path) -> None:
    state, footage = here / "state", here / "state" / "footage"
    (state / owner_policy.POLICIES_DIR).write_text("no folder")
    cameras = [camera("tram", TRAM)]
    assert owner_policy.update(state, footage, cameras) == {"north": UNKNOWN_POLICY, "tram": TRAM}
    assert owner_policy.update(state, footage, cameras) == {"north": UNKNOWN_POLICY, "tram": TRAM}


def test_each_flipped_bit_of_a_policy_is_found(here: Path) -> None:
    state, footage = here / "state", here / "state" / "footage"
    owner_policy.update(state, footage, [camera("north", TRAM)])
    data = policy_file(state).read_bytes()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        policy_file(state).write_bytes(damaged)
        with pytest.raises(UserError):
            owner_policy.read(state, "north")


def test_a_policy_of_another_camera_is_no_policy(here: Path) -> None:
    state, footage = here / "state", here / "state" / "footage"
    bank = InstitutionConfig(owner="Bank", purpose="safety")
    owner_policy.update(state, footage, [camera("north", TRAM), camera("yard", bank)])
    policy_file(state).write_bytes(policy_file(state, "yard").read_bytes())
    with pytest.raises(UserError, match="checksum"):
        owner_policy.read(state, "north")


def policy_file(state: Path, name: str = "north") -> Path:
    return state / owner_policy.POLICIES_DIR / f"{name}.json"
