"""A state folder that has turned read-only at an error of its disk: the agent starts with it all the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.whole.rig import AgentBox, fake_camera_toml

ROOT = Path(__file__).parents[2]
READ_ONLY = """\
set -e
mount --bind "$1/state" "$1/state"
mount -o remount,bind,ro "$1/state"
exec "$2" -c "$3" "$1"
"""
"""As errors=remount-ro leaves a mounted ext4."""
BUILD = """
import os, sys
from pathlib import Path
from tests.whole.rig import make_agent

make_agent(Path(sys.argv[1]) / "vigie.toml", Path(sys.argv[1]) / "machine")
os._exit(0)
"""


def test_the_agent_starts_with_a_state_folder_that_has_turned_read_only(tmp_path: Path) -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mounts of our own")
    box = AgentBox(tmp_path / "box", "mqtt://127.0.0.1:1", fake_camera_toml())
    for command in (
        [sys.executable, "-c", BUILD, str(box.folder)],
        [*namespace, "sh", "-c", READ_ONLY, "sh", str(box.folder), sys.executable, BUILD],
    ):
        # A file, since a child of the agent may keep a pipe open.
        with (tmp_path / "said").open("w") as said:
            done = subprocess.run(command, cwd=ROOT, stdout=said, stderr=said, check=False)
        words = (tmp_path / "said").read_text()
        assert done.returncode == 0, words
    assert "the outbox cannot be opened: [Errno 30] Read-only file system" in words
