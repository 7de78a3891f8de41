"""Folders and files of the state that are closed to the agent's own user: mended at the start, or set aside."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.config_change.state_folder import mend_modes
from tests.whole.closed_state_child import NOBODY
from tests.whole.rig import CONFIG, fake_camera_toml
from tests.whole.test_agent_faults import ENDS

ROOT = Path(__file__).parents[2]
OWN = ("custody", "custody/0000000001.chain", "identity", "desired")
OTHERS = ("holds", "footage", "outbox", ".")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a user without rights: pytest's own are closed to others."""
    made = Path(tempfile.mkdtemp())
    (made / "vigie.toml").write_text(
        CONFIG.format(url="mqtt://127.0.0.1:1", camera=fake_camera_toml(ENDS))
    )
    (made / "scene.toml").touch()
    (made / "state" / "desired").mkdir(parents=True)
    if os.geteuid() == 0:
        for path in (made, *made.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    yield made
    shutil.rmtree(made)


def starts(folder: Path, *closed: str) -> list[dict[str, Any]]:
    words = [sys.executable, "-m", "tests.whole.closed_state_child", str(folder), *closed]
    done = subprocess.run(words, check=False, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("closed", [OWN, OTHERS])
def test_modes_that_keep_the_agent_out_are_mended_with_a_receipt_and_it_records(
    folder: Path, closed: tuple[str, ...]
) -> None:
    first, *others = starts(folder, *closed)
    assert [other["closed"] for other in others] == list(closed)
    for before, after in zip((first, *others), others, strict=False):
        name = "the state folder" if after["closed"] == "." else after["closed"]
        assert f"the mode of {name} was 000" in after["actions"][0]
        assert after["segments"] > before["segments"]
        assert after["faults"] == first["faults"]


@pytest.mark.skipif(os.geteuid() != 0, reason="makes files of another user")
@pytest.mark.parametrize("name", ["custody", "holds", "run"])
def test_a_closed_folder_of_another_user_is_set_aside_with_a_fault_and_the_box_records(
    folder: Path, name: str
) -> None:
    starts(folder)
    path = folder / "state" / name
    os.chown(path, 0, 0)
    path.chmod(0o700)
    (after,) = starts(folder)
    assert ["STO-08", name] in after["faults"]
    assert after["segments"]


@pytest.mark.skipif(os.geteuid() != 0, reason="makes files of another user")
def test_without_a_custody_log_that_it_can_write_the_box_records_and_says_so(folder: Path) -> None:
    starts(folder)
    state = folder / "state"
    os.chown(state / "custody", 0, 0)
    (state / "custody").chmod(0o700)
    # In such a folder a user renames its own files only.
    os.chown(state, 0, 0)
    state.chmod(0o1777)
    (after,) = starts(folder)
    assert ["CUS-01", "custody"] in after["faults"]
    assert after["segments"]


def test_modes_of_footage_and_links_stay(tmp_path: Path) -> None:
    footage = tmp_path / "footage" / "north"
    footage.mkdir(parents=True)
    (footage / "1.mp4").touch(0o400)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert mend_modes(tmp_path) == ()
    assert (footage / "1.mp4").stat().st_mode & 0o777 == 0o400
    assert mend_modes(tmp_path / "nowhere") == ()
