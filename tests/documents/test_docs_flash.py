"""docs/flash.md: its flags, messages, tables and its camera are those of the code."""

import argparse
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from centre.cli import flash
from simulation.camera.fake import Options

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "flash.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```sh (\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def flags() -> set[str]:
    parser = argparse.ArgumentParser()
    flash.add_arguments(parser)
    return {option for option in parser.format_help().split() if option[:2] == "--"}


def test_each_flag_against_a_refusal_is_in_the_table() -> None:
    overriding = {flag.strip("[],") for flag in flags() if flag.startswith("--even")}
    assert overriding == set(re.findall(r"`(--even[a-z-]+)`", PAGE))


@pytest.mark.parametrize("message", ["NO SETTINGS", "THE SETTINGS ARE WRONG", "is set up"])
def test_quoted_messages_equal_the_boxs_messages(message: str) -> None:
    assert message in PAGE
    assert message in (ROOT / "agent" / "provisioning" / "first_boot.py").read_text(
        encoding="utf-8"
    )


def test_each_untested_item_has_steps_and_a_result() -> None:
    _, _, rest = PAGE.partition("## Not yet tried on a board")
    rows = [line.split("|")[1:-1] for line in rest.splitlines() if line.startswith("| ")]
    assert [title.strip() for title in rows[0]] == ["Item", "Steps", "Good if"]
    assert len(rows) > 10
    assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in rows)


def test_the_camera_for_an_emulated_processor_is_valid_and_smaller_than_the_default() -> None:
    (text,) = re.findall(r"^```toml camera\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (camera,) = tomllib.loads(text)["camera"]
    options = msgspec.convert(camera["options"], Options)
    assert options.width_px * options.height_px * options.fps < 1280 * 720 * 15 / 20
