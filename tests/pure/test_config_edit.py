"""agent.console.config_edit: the keys that may be set, and that nothing else of the file changes."""

import difflib
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.console.config_edit import list_editable_keys, plan_changes
from agent.console.errors import ConsoleError

EXAMPLE = (Path(__file__).parents[2] / "docs" / "vigie.example.toml").read_text()
INLINE = """# the box
[box]
id = "casa-0001"  # its name
site = '''a
# no comment
b'''
broker = { url = "mqtt://h" }
[broker]
url = "mqtt://h"

[[camera]]
name = "yard"
options = { device = "/dev/video0", path = "x" } # here
"""


def lines_changed(before: str, after: str) -> list[str]:
    found = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in found if line[0] in "+-"]


@pytest.mark.parametrize(
    ("key", "value", "after"),
    [
        ("box.site", "Place Maarif", '+ site = "Place Maarif"'),
        ("box.site", 'a "b" \\ #', '+ site = "a \\"b\\" \\\\ #"'),
        (
            "broker.url",
            "mqtts://b.example",
            '+ url = "mqtts://b.example"   # mqtts://HOST[:8883] or mqtt://HOST[:1883]',
        ),
        ("camera.north.options.url", "rtsp://10.0.0.9/x", '+ url = "rtsp://10.0.0.9/x"'),
        ("head.mast.options.port", "/dev/ttyUSB1", '+ port = "/dev/ttyUSB1"'),
    ],
)
def test_one_line_changes_and_the_rest_stays_unchanged(key: str, value: str, after: str) -> None:
    (change,) = plan_changes(EXAMPLE, [(key, value)])
    found = lines_changed(EXAMPLE, change.new_text)
    assert [line for line in found if line[0] == "+"] == [after]
    assert len(found) == 2


def test_a_key_in_an_inline_table_changes_in_place() -> None:
    (change,) = plan_changes(INLINE, [("camera.yard.options.device", "/dev/video2")])
    assert 'options = { device = "/dev/video2", path = "x" } # here' in change.new_text
    assert len(lines_changed(INLINE, change.new_text)) == 2


@pytest.mark.parametrize("value", ["9" * 5_000, "[" * 5_000 + "]" * 5_000])
def test_a_file_too_complex_for_the_parser_is_refused_in_one_line(value: str) -> None:
    with pytest.raises(UserError, match="the configuration: not valid TOML: a number or a nesting"):
        list_editable_keys(f"a = {value}")


def test_a_missing_table_is_added() -> None:
    changes = plan_changes(INLINE, [("console.language", "fr"), ("health.interval_s", "9.5")])
    tables = tomllib.loads(changes[-1].new_text)
    assert (tables["console"], tables["health"]) == ({"language": "fr"}, {"interval_s": 9.5})
    assert [(str(one.old), str(one.new)) for one in changes] == [
        ("the default", "fr"),
        ("the default", "9.5"),
    ]
    assert all(line in changes[-1].new_text for line in INLINE.splitlines())


def test_every_key_that_may_be_set_is_listed_with_its_value() -> None:
    assert dict(list_editable_keys(EXAMPLE)) == {
        "box.site": "Bd Mohammed V / Rue Chaouia",
        "broker.url": "mqtts://centre.example:8883",
        "health.interval_s": "600.0",
        "console.language": "en",
        "console.idle_logout_s": "600.0",
        "camera.north.options.url": "rtsp://10.0.0.21/(left out)",
        "camera.north.detect_options.url": "rtsp://10.0.0.21/(left out)",
        "camera.around.options.url": "rtsp://10.0.0.22/(left out)",
        "head.mast.options.port": "/dev/serial/by-id/usb-FTDI_USB-RS485_Cable_FT4WQA-if00-port0",
    }


@pytest.mark.parametrize(
    "key",
    [
        "box.id",
        "box.state",
        "broker.ca",
        "broker.password_file",
        "record.max_age_h",
        "camera.north.record",
        "camera.north.detect.scene",
        "camera.north.options.password_file",
        "console.secret_file",
        "console.technician",
        "",
        ".",
        "camera",
        "camera.north.options.url.x",
    ],
)
def test_keys_of_footage_masks_and_trust_may_not_be_set(key: str) -> None:
    with pytest.raises(ConsoleError, match=r"may not be set here; allowed: box\.site"):
        plan_changes(EXAMPLE, [(key, "x")])


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("camera.south.options.url", "rtsp://h", "no such camera; there are: north, yard"),
        ("camera.yard.options.url", "rtsp://h", "not in the configuration"),
        ("camera.north.options.device", "/dev/video0", "not in the configuration"),
        ("camera.north.options.url", "rtsp://u:p@h/x", "without user, password and query"),
        ("broker.url", "mqtt://h", "allowed: mqtts://..., as it is"),
        ("health.interval_s", "soon", "allowed: a number"),
        ("box.site", " ", "not empty"),
    ],
)
def test_an_invalid_value_is_refused_with_the_allowed_ones(key: str, value: str, why: str) -> None:
    with pytest.raises(ConsoleError, match=why):
        plan_changes(EXAMPLE, [(key, value)])


def test_an_address_with_a_password_cannot_be_set_at_the_console() -> None:
    text = EXAMPLE.replace("rtsp://10.0.0.21/main", "rtsp://u:hunter2@10.0.0.21/main")
    with pytest.raises(ConsoleError, match="the centre changes it") as refused:
        plan_changes(text, [("camera.north.options.url", "rtsp://10.0.0.22/main")])
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("text", ["[box", "box = 3", "box = []", "box = ''"])
def test_a_broken_file_gives_a_one_line_error(text: str) -> None:
    with pytest.raises((ConsoleError, UserError)) as refused:
        plan_changes(text, [("box.site", "x")])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "camera = [1]", "camera = 1", "[[camera]]\nname = []"])
def test_a_camera_without_a_valid_name_is_unknown(text: str) -> None:
    with pytest.raises(ConsoleError, match="no such camera"):
        plan_changes(text, [("camera.north.options.url", "x")])


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1))
def test_any_typed_value_is_in_the_file_and_nothing_else_changes(value: str) -> None:
    (change,) = plan_changes(EXAMPLE, [("box.site", value)])
    wanted = tomllib.loads(EXAMPLE)
    wanted["box"]["site"] = value
    assert tomllib.loads(change.new_text) == wanted
