"""Every mistake of a user gives one clear line on stderr and a non-zero exit code."""

import re
from pathlib import Path

import pytest

from agent.__main__ import main
from tests.pure.rules.street_ground import STREET_MARKS

CONFIG = """
[box]
id = "casa-0001"
site = "x"
state = "state"
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "north"
driver = "fake"
options = {}
[camera.detect]
scene = "scene.toml"
"""
SCENE = '[[line]]\nname = "stop"\nfrom = [0.1, 0.5]\nto = [0.9, 0.5]\n'


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good configuration and a good scene, which is where we are."""
    (tmp_path / "vigie.toml").write_text(CONFIG)
    (tmp_path / "scene.toml").write_text(SCENE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("box")
def test_valid_input_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "vigie.toml"]) == 0
    printed = capsys.readouterr().out
    assert "vigie.toml: good; box casa-0001" in printed
    assert "warning: the public declaration lacks declaration.controller, " in printed


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("vigie.toml", ("[box]", "[box"), "vigie.toml': not valid TOML"),
        ("vigie.toml", ("[box]", f"a = {'[' * 5000}{']' * 5000}\n[box]"), "a nesting too large"),
        ("vigie.toml", ('"fake"', '"video"'), "camera[0].driver: camera driver 'video' is unknown"),
        ("vigie.toml", ("options = {}", "options = { fpz = 1 }"), "camera[0].options.fpz: unknown"),
        (
            "vigie.toml",
            ("options = {}", "options = { fps = 0 }"),
            "camera[0].options.fps = 0: allowed: 1 or more",
        ),
        (
            "vigie.toml",
            ('"fake"\noptions = {}', '"rtsp"'),
            "camera[0].options.url: missing; it has to be given",
        ),
        (
            "vigie.toml",
            ("[camera.detect]", '[camera.detect]\nmodel = "faces"'),
            "camera[0].detect.model = 'faces': unknown; allowed: ",
        ),
        (
            "vigie.toml",
            ("options = {}", "options = {}\ntranscode = true\nrecord = false"),
            "camera[0].transcode = true: has no use with record = false",
        ),
        (
            "vigie.toml",
            ("[box]", '[[record.recipient]]\nid = "court"\npublic_key = "AAAA"\n[box]'),
            "record.recipient: 'court': public_key: 3 bytes; an X25519 public key has 32",
        ),
    ],
)
@pytest.mark.parametrize("command", [["check-config"], ["run", "--config"]])
def test_a_mistake_in_the_configuration_is_one_line_and_exit_code_2(
    box: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    file: str,
    change: tuple[str, str],
    message: str,
) -> None:
    spoil(box / file, change)
    assert_refused([*command, "vigie.toml"], message, capsys)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("vigie.toml", ('"scene.toml"', '"none.toml"'), "none.toml': No such file or directory"),
        ("vigie.toml", ('"scene.toml"', r'"a\u0000b"'), r"/a\x00b': a path that contains NUL"),
        ("scene.toml", ("[0.9, 0.5]", "[0.9, 1.5]"), "line[0].to"),
        ("scene.toml", ("[0.9, 0.5]", "[0.1, 0.5]"), "allowed: a line that has a length"),
        ("scene.toml", ("name =", "colour = 1\nname ="), "line[0].colour: unknown key; allowed: "),
        (
            "scene.toml",
            ("[[line]]", "[[lines]]"),
            "lines: unknown key; allowed: line, zone, flow, mask",
        ),
    ],
)
def test_a_mistake_in_a_scene_is_one_line_and_exit_code_2(
    box: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    change: tuple[str, str],
    message: str,
) -> None:
    """Of `check-config`: a box on a pole runs, and keeps the camera closed."""
    spoil(box / file, change)
    assert_refused(["check-config", "vigie.toml"], message, capsys)


def test_check_config_reports_all_that_is_wrong_in_one_run(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (box / "vigie.toml").write_text("""
[box]
id = "Casa 1"
site = "x"
fast = true
[broker]
url = "mqtt://10.0.0.1"
[[camera]]
name = "north"
driver = "fake"
options = { fps = 0 }
[[camera]]
name = "north"
driver = "fake"
[camera.detect]
model = "faces"
[[camera]]
name = "south"
driver = "fake"
fps = 5
[[camera]]
driver = "video"
name = "west"
[[head]]
name = "mast"
driver = "fake"
camera = "east"
options = { silent = 1 }
[[head]]
name = "Mast 2"
driver = "fake"
camera = "south"
[[pin]]
name = "siren"
kind = "siren"
pin = 25
switchable = true
[[pin]]
name = "siren"
kind = "door"
pin = 25
""")
    assert main(["check-config", "vigie.toml"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert all(line.startswith("vigie: vigie.toml: ") for line in lines)
    keys = sorted(re.split(r" =|: ", line.removeprefix("vigie: vigie.toml: "))[0] for line in lines)
    assert keys == [
        "box.fast",
        "box.id",
        "broker.url",
        "camera[0].options.fps",
        "camera[1].detect.model",
        "camera[1].name",
        "camera[2].fps",
        "camera[3].driver",
        "head[0].camera",
        "head[0].options.silent",
        "head[1].name",
        "pin[1].name",
        "pin[1].pin",
    ]


def test_a_driver_without_required_options_needs_no_table_of_them(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(box / "vigie.toml", ("options = {}", ""))
    assert main(["check-config", "vigie.toml"]) == 0
    assert capsys.readouterr().err == ""


def spoil(file: Path, change: tuple[str, str]) -> None:
    text = file.read_text()
    assert change[0] in text
    file.write_text(text.replace(*change, 1))


def assert_refused(command: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("vigie: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""


def test_a_camera_without_recording_and_detection_is_refused(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CONFIG.replace("options = {}", "options = {}\nrecord = false")
    (box / "vigie.toml").write_text(
        text.replace("[camera.detect]", "[camera.detect]\nenabled = false")
    )
    assert main(["check-config", "vigie.toml"]) == 2
    assert "camera[0]: neither watched nor recorded" in capsys.readouterr().err


def test_a_state_folder_that_cannot_be_written_to_is_named(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (box / "state").write_text("a file, where the folder should be")
    assert main(["run", "--config", "vigie.toml"]) == 2
    assert "box.state = " in capsys.readouterr().err


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize(
    "arguments", [["check-config", "none.toml"], ["run", "--config", "none.toml"]]
)
def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 2
    assert "'none.toml': No such file or directory" in capsys.readouterr().err


def test_check_config_recognises_a_scene_and_checks_it(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", "scene.toml"]) == 0
    assert capsys.readouterr().out.startswith("scene.toml: good; a scene; lines: 1, zones: ")
    (box / "scene.toml").write_text(SCENE.replace("[0.9, 0.5]", "[0.9, 1.5]"))
    assert main(["check-config", "scene.toml"]) == 2
    assert capsys.readouterr().err == "vigie: scene.toml: line[0].to[1] = 1.5: allowed: at most 1\n"


GROUND = """
[ground]
point = [
  {{ at = [0.31, 0.90], metres = [-3.0, 8.0] }},
  {{ at = [0.69, 0.90], metres = [3.0, 8.0] }},
  {{ at = [0.46, 0.60], metres = [-3.0, {far}] }},
  {{ at = [0.54, 0.60], metres = [3.0, {far}] }},
]
"""


def test_check_config_warns_of_lines_and_zones_with_too_few_pixels(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (box / "scene.toml").write_text(SCENE.replace("0.5]", "0.62]") + GROUND.format(far=38.0))
    assert main(["check-config", "vigie.toml"]) == 0
    assert "pixels" not in capsys.readouterr().out
    config = (box / "vigie.toml").read_text()
    (box / "vigie.toml").write_text(
        config.replace("options = {}", "options = { width_px = 320, height_px = 180 }")
    )
    assert main(["check-config", "vigie.toml"]) == 0
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if "pixels" in line]
    assert warning == (
        "warning: camera north: line 'stop': 5.3 pixels per metre; "
        "needed: 7 for car, bus, truck; 10 for person, bicycle, motorcycle"
    )


def test_check_config_names_a_mark_that_does_not_agree_with_the_others(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = [
        f"{{ at = [{mark.at.x + (0.1 if index == 3 else 0):.4f}, {mark.at.y:.4f}], "
        f"metres = [{mark.metres.x_m}, {mark.metres.y_m}] }}"
        for index, mark in enumerate(STREET_MARKS.point)
        if mark.metres is not None
    ]
    (box / "scene.toml").write_text(f"[ground]\npoint = [{', '.join(marks)}]\n")
    assert main(["check-config", "vigie.toml"]) == 0
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if "ground" in line]
    assert warning == (
        "warning: camera north: ground.point[3] does not agree with the other marks and is set aside"
    )
