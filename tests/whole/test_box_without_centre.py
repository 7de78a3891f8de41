"""`vigie` on a box, which has no `centre/` and little of `simulation/`: its own commands, and a clear line for others."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from agent.cli import CENTRE_COMMANDS, COMMANDS
from agent.diagnostics.selftest import street_pattern
from images.tree import copy_sources

LIBRARIES = sysconfig.get_paths()["purelib"]


@pytest.fixture(scope="module")
def box_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages that a box has."""
    tree = tmp_path_factory.mktemp("box")
    copy_sources(tree)
    return tree


def vigie(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(tree, "-m", "agent", *words)


def python(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # -S: without the .pth file of an editable installation, which would find the checkout.
        [sys.executable, "-S", *words],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": f"{tree}:{LIBRARIES}", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_help_of_a_box_lists_its_own_commands_only(box_tree: Path) -> None:
    done = vigie(box_tree, "--help")
    assert done.returncode == 0, done.stderr
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")}
    assert set(COMMANDS) - CENTRE_COMMANDS <= listed
    assert not CENTRE_COMMANDS & listed
    assert "vigie demo" not in done.stdout


@pytest.mark.parametrize("command", sorted(CENTRE_COMMANDS))
def test_a_command_of_the_centre_is_refused_in_one_line(box_tree: Path, command: str) -> None:
    done = vigie(box_tree, command)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"vigie: {command}: a command of the centre")


def test_a_command_of_the_box_runs(box_tree: Path) -> None:
    done = vigie(box_tree, "faults", "CAM-02")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("CAM-02")


def test_a_box_renders_the_street_of_its_self_test(box_tree: Path) -> None:
    done = python(
        box_tree,
        "-c",
        "from agent.diagnostics.selftest import street_pattern\n"
        "print(len([frame.seq for frame in street_pattern.render_frames()]))\n",
    )
    assert done.stderr == ""
    assert done.stdout == f"{street_pattern.FRAME_COUNT}\n"


CONFIG = """
[box]
id = "casa-0001"
site = "gate"
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "front"
driver = "fake"
"""
SIMULATED_HEAD = """
[[head]]
name = "mast"
driver = "fake"
"""
SIMULATED_PINS = """
[gpio]
driver = "fake"
[[pin]]
name = "door"
kind = "door"
pin = 17
"""


def check_config(tree: Path, text: str) -> list[str]:
    (tree / "vigie.toml").write_text(text)
    return vigie(tree, "check-config", "vigie.toml").stderr.splitlines()


@pytest.mark.parametrize(
    ("tables", "refusal"),
    [
        (SIMULATED_HEAD, "ptz driver 'fake' is unknown; allowed: onvif, pelco_d, pelco_p, visca"),
        (SIMULATED_PINS, "gpio driver 'fake' is unknown; allowed: gpio"),
    ],
)
def test_a_box_has_no_simulated_head_and_no_simulated_pins(
    box_tree: Path, tables: str, refusal: str
) -> None:
    (line,) = check_config(box_tree, CONFIG + tables)
    assert refusal in line


def test_an_error_of_a_box_is_reported_alone(box_tree: Path) -> None:
    assert check_config(box_tree, CONFIG.replace('"gate"', "7")) == [
        "vigie: vigie.toml: box.site = 7: allowed: a text"
    ]
