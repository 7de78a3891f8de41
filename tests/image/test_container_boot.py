"""The image's root started in a container: seconds instead of minutes, for tests that need no machine."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.box_settings import BOX
from tests.image.built_image import BuiltImage
from tests.image.footage import CAMERA, CAMERA_TEXT
from tests.image.tree import ImageContainer
from tests.systemd.container import CGROUP_ROOT

AGENT = "vigie-agent.service"
CONFIG = f'[box]\nid = "{BOX}"\nsite = "here"\n[broker]\nurl = "mqtt://127.0.0.1"\n{CAMERA_TEXT}'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("one container"),
    pytest.mark.skipif(
        os.geteuid() != 0 or CGROUP_ROOT is None or not (CGROUP_ROOT / "cgroup.procs").exists(),
        reason="boots a container: needs root and control groups, cgroups(7)",
    ),
]


@pytest.fixture(scope="module")
def tree(built: BuiltImage, studio: Path) -> Iterator[ImageContainer]:
    made = ImageContainer(studio / "container", built.root, {"vigie.toml": CONFIG})
    try:
        yield made
    finally:
        made.close()


def recording(tree: ImageContainer) -> int:
    """The agent's process, once its footage grows."""
    before = video(tree)
    tree.wait_for(lambda: video(tree) > before, "footage")
    return tree.wait_for(lambda: tree.pid(AGENT), "agent")


def video(tree: ImageContainer) -> tuple[str, int]:
    """The newest file, and how much is in it."""
    folder = tree.root / "var/lib/vigie/footage" / CAMERA
    files = sorted(folder.glob("*.mp4*")) if folder.is_dir() else []
    try:
        return (
            (files[-1].name.removesuffix(".part"), files[-1].stat().st_size) if files else ("", 0)
        )
    except FileNotFoundError:
        return video(tree)  # it was closed and renamed while we looked


def test_the_units_of_the_image_start_and_none_fails(tree: ImageContainer) -> None:
    recording(tree)
    assert tree.run("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda one: one.name)
def test_an_agent_that_is_killed_or_stopped_records_again(
    tree: ImageContainer, number: signal.Signals
) -> None:
    pid = recording(tree)
    os.kill(pid, number)
    tree.wait_for(lambda: tree.pid(AGENT) not in (None, pid), "next agent")
    assert recording(tree) != pid
