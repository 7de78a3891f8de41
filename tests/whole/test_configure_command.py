"""`vigie configure`: two people draw a mask onto a running box with a control authority, and shrink it again."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.config.desired_store import DesiredStore
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import AgentBox
from tests.whole.test_desired_config import BOX, DRAWN, MASK, serviced

Configure = Callable[..., int]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with a control authority, and the keys of two supervisors and a viewer."""
    assert main(["key", "authority", str(tmp_path / "control"), "Casablanca"]) == 0
    for name, role in (("amina", "supervisor"), ("jonas", "supervisor"), ("salma", "viewer")):
        file = str(tmp_path / name)
        assert main(["key", "request", name, "--key", f"{file}.key"]) == 0
        issue = ["key", "issue", str(tmp_path / "control"), f"{file}.csr", "--role", role]
        assert main([*issue, "--name", name, "--out", f"{file}.pem"]) == 0
    (tmp_path / "mask.toml").write_text(MASK)
    (tmp_path / "empty.toml").write_text("")
    return tmp_path


@pytest.fixture
def pole(keys: Path, mosquitto: Mosquitto) -> Iterator[AgentBox]:
    box = AgentBox(keys / "box", mosquitto.url, DRAWN, detect_fps=1)
    file = box.folder / "vigie.toml"
    text = file.read_text().replace('scene = "scene.toml"', "enabled = false")
    file.write_text(f'{text}[control]\nca = "{keys / "control" / "control-ca.pem"}"\n')
    box.start()
    yield box
    box.kill()


@pytest.fixture
def configure(keys: Path, mosquitto: Mosquitto) -> Configure:
    """`vigie configure` by a person."""

    def run(person: str, *words: str) -> int:
        signer = ["--signer", f"{keys / person}.pem", "--signer-key", f"{keys / person}.key"]
        return main(["configure", BOX, *words, *signer, "--broker", mosquitto.url])

    return run


def test_two_people_shrink_a_mask_that_one_has_drawn(
    keys: Path, pole: AgentBox, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = ("--scene", f"north={keys / 'mask.toml'}")
    assert configure("salma", *drawn) == 1
    assert "the role viewer of 'salma' does not permit 'configure'" in capsys.readouterr().err
    assert configure("amina", *drawn) == 0
    assert "version 2: on trial\nversion 2: in force\n" in capsys.readouterr().err
    empty = ("--scene", f"north={keys / 'empty.toml'}")
    assert configure("amina", *empty) == 1
    assert "signatures of two people" in capsys.readouterr().err
    saved = str(keys / "version.jws")
    assert configure("amina", *empty, "--save", saved) == 0
    assert configure("jonas", "--countersign", saved, "--yes") == 0
    assert DesiredStore(pole.folder / "state").layer().version == 4
    assert pole.stop(signal.SIGTERM) == 0
    assert serviced(pole)[-1] == (
        "amina (supervisor), jonas (supervisor): configuration 4: in force"
    )


@pytest.mark.usefixtures("pole")
def test_what_is_wrong_with_a_version_is_said_by_the_box(
    keys: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    file = keys / "version.toml"
    file.write_text('[settings.record]\nsegment_s = 0\n[settings.broker]\nurl = "mqtt://x"\n')
    assert configure("amina", str(file)) == 1
    assert "broker: the centre may not set it" in capsys.readouterr().err
    file.write_text("[nonsense]\n")
    assert configure("amina", str(file)) == 2
    assert "unknown key" in capsys.readouterr().err
