"""The configuration: what is wrong is refused with one line, what is right is anchored."""

from pathlib import Path

import pytest

from agent import config
from agent.errors import BadInput

GOOD = """
[box]
id = "casa-0001"
site = "Bd Zerktouni / Rue d'Alger"
state = "state"

[broker]
url = "mqtts://centre.example:8883"
ca = "ca.pem"
certificate = "box.pem"
key = "/etc/vigie/box.key"

[[camera]]
name = "north"
driver = "replay"
options = { path = "clip.mp4" }
[camera.detect]
scene = "north.toml"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "box.toml"
    file.write_text(text)
    return file


def test_relative_paths_begin_at_the_files_own_folder(tmp_path: Path) -> None:
    good = config.load(written(tmp_path, GOOD))
    assert good.box.state == str(tmp_path / "state")
    assert good.camera[0].options == {"path": str(tmp_path / "clip.mp4")}
    assert good.broker.ca == str(tmp_path / "ca.pem")
    assert good.broker.key == "/etc/vigie/box.key"
    assert good.camera[0].detect.scene == str(tmp_path / "north.toml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("[box]", "[bx]"),
            "bx: unknown key; allowed: box, broker, camera, outbox, record, hold, health",
        ),
        (("casa-0001", "Casa 1"), "box.id = 'Casa 1': expected `str` matching regex"),
        (('"replay"', "5"), "camera[0].driver = 5: expected `str`, got `int`"),
        (("name =", "fps = 5\nname ="), "camera[0].fps: unknown key; allowed: name, driver"),
        (("scene =", "fps = 0\nscene ="), "camera[0].detect.fps = 0: expected `float` > 0.0"),
        (
            ("[[camera]]", "[record]\nmax_age_h = 2161\n[[camera]]"),
            "record.max_age_h = 2161: expected `float` <= 2160.0",
        ),
        (
            ("[[camera]]", "[hold]\nevent_days = 90.5\n[[camera]]"),
            "hold.event_days = 90.5: expected `float` <= 90.0",
        ),
        (("[[camera]]", '[hold]\nkinds = ["face"]\n[[camera]]'), "hold.kinds[0] = 'face'"),
        (("mqtts://centre.example:8883", "http://x"), "broker.url = 'http://x': not a broker's"),
        (("centre.example:8883", "centre:99999"), "broker.url = 'mqtts://centre:99999': not a"),
        (("mqtts://centre", "mqtts://u:p@centre"), "without user or path"),
        (("mqtts://", "mqtt://"), "broker.ca: has no use with 'mqtt://centre.example:8883'"),
        (('key = "/etc/vigie/box.key"', ""), "broker.key: missing; broker.certificate needs it"),
        (
            (
                "[camera.detect]",
                '[[camera]]\nname = "north"\ndriver = "x"\noptions = {}\n[camera.detect]',
            ),
            "camera[1].name = 'north': used by camera[0] already",
        ),
        (('name = "north"', 'name = "box"'), "camera[0].name = 'box': stands for the box itself"),
        (("[[camera]]", '[hold]\nkinds = ["door"]\n[[camera]]'), "hold.kinds[0] = 'door'"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    file = written(tmp_path, GOOD.replace(*change, 1))
    with pytest.raises(BadInput) as refused:
        config.load(file)
    line = str(refused.value)
    assert said in line
    assert line.startswith(str(file))
    assert "\n" not in line


def test_a_box_without_cameras_is_refused(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index("[[camera]]")].replace("[box]", "camera = []\n[box]")
    with pytest.raises(BadInput, match=r"camera: expected `array` of length >= 1"):
        config.load(written(tmp_path, text))
