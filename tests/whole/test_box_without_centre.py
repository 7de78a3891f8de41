"""`vigie` on a box without `centre/`: its own commands, and a clear line for others."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from agent.cli import CENTRE_COMMANDS, COMMANDS

PROJECT = Path(__file__).parents[2]
LIBRARIES = sysconfig.get_paths()["purelib"]


@pytest.fixture(scope="module")
def box_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages that a box has."""
    tree = tmp_path_factory.mktemp("box")
    for package in ("agent", "drivers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / package, tree / package, ignore=ignored)
    return tree


def vigie(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # -S: without the .pth file of an editable installation, which would find the checkout.
        [sys.executable, "-S", "-m", "agent", *words],
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
