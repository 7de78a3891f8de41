"""docs/cameras.md and the drivers: each snippet loads, each option is named."""

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.config.configuration import CameraConfig
from drivers.catalog import driver_names, load_camera_driver

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cameras.md").read_text(encoding="utf-8")
SECTIONS = {
    match["driver"]: match["text"]
    for match in re.finditer(
        r"^## `(?P<driver>\w+)`.*?\n(?P<text>.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
}


def cameras(text: str) -> list[dict[str, Any]]:
    """The `[[camera]]` tables of a text's TOML snippets."""
    snippets = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [table for snippet in snippets for table in tomllib.loads(snippet)["camera"]]


def check(table: dict[str, Any], driver: str) -> None:
    camera = msgspec.convert(table, CameraConfig)
    assert camera.driver == driver
    for options in (camera.options, camera.detect_options):
        if options is not None:
            msgspec.convert(options, load_camera_driver(driver).Options)


def test_each_driver_has_its_section() -> None:
    assert sorted(SECTIONS) == list(driver_names("camera"))


@pytest.mark.parametrize("driver", driver_names("camera"))
def test_the_snippets_load(driver: str) -> None:
    source = inspect.getsource(load_camera_driver(driver))
    for text in (SECTIONS[driver], source):
        found = cameras(text)
        assert found
        for table in found:
            check(table, driver)


@pytest.mark.parametrize("driver", driver_names("camera"))
def test_each_option_is_explained(driver: str) -> None:
    rows = "\n".join(line for line in SECTIONS[driver].splitlines() if line.startswith("| `"))
    named = {
        name for row in rows.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    fields = msgspec.structs.fields(load_camera_driver(driver).Options)
    assert named == {field.name for field in fields}
