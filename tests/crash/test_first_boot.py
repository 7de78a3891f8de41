"""agent.provisioning.apply under power cuts: the configuration is the old or the new one, whole, and the
secrets leave the card only when they are on the box.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.base.errors import UserError
from agent.provisioning import apply
from agent.provisioning.apply import BoxFolders
from tests.crash.block_log import CrashState, read_log
from tests.crash.conftest import CrashTestSize
from tests.crash.disk import logged_ext4, make_ext4, mounted, skip_unless_available
from tests.crash.power_cut import check_states, cut_at_writes, strace_ignoring
from tests.settings_files import GOOD_SETTINGS
from tests.whole.provision_kills import (
    CHANGED_SETTINGS,
    NEW_PASSWORD,
    check_loadable,
    without_key_pair,
)
from tests.whole.provision_tree import CHECKOUT, BoxTree

DISK_BYTES = 16 << 20
SEED = 6
MOST_STATES = 200
"""Some hundred blocks are written: more cuts repeat the same states."""


class Recorded:
    """A box that took new settings in, and all that this wrote to its disk."""

    def __init__(self, folder: Path, wrap: tuple[str, ...] = ()) -> None:
        image = make_ext4(folder / "disk.img", DISK_BYTES)
        with mounted(image, folder / "first") as point:
            box = BoxTree(point / "box").make()
            box.insert_card(GOOD_SETTINGS)
            box.run_provision()
            self.old = without_key_pair(box.contents())
            box.insert_card(CHANGED_SETTINGS)
            os.sync()
        self.base = image.read_bytes()
        with logged_ext4(folder, image, folder / "log") as (mount, marks):
            box = BoxTree(mount / "box")
            command = [*wrap, sys.executable, "-m", "agent", *box.command_args]
            subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
            marks.write_text("done\n")
            self.new = without_key_pair(box.contents())
        self.records = read_log(folder / "log")


def broken(point: Path, state: CrashState, recorded: Recorded) -> Iterator[str]:
    """A line for each promise that is not kept on a disk."""
    box = BoxTree(point / "box")
    card = box.card / "vigie-settings.toml"
    places = BoxFolders(
        config_dir=box.config,
        state_dir=box.state,
        overlay_list=box.state / "no-overlays",
        source="settings",
    )
    apply.apply_settings(None, places)
    found = without_key_pair(box.contents())
    if found not in (recorded.old, recorded.new):
        yield "neither old nor new"
    try:
        check_loadable(box)
    except (UserError, OSError, AssertionError) as error:
        yield f"the agent does not start: {error!r}"
    data = card.read_bytes() if card.exists() else None
    if data is None or (NEW_PASSWORD.encode() not in data and found != recorded.new):
        yield "the secrets are nowhere"
    if "done" in state.marks and found != recorded.new:
        yield "was done, and is not"
    if data is not None:
        apply.apply_settings(data, places)
        if without_key_pair(box.contents()) != recorded.new:
            yield "does not become new"


def check_cuts(folder: Path, recorded: Recorded, number: int) -> tuple[list[str], Counter[str]]:
    states = cut_at_writes(recorded.base, recorded.records, number, SEED)
    return check_states(folder, states, lambda point, state: broken(point, state, recorded))


@pytest.fixture
def place(in_memory: Path) -> Iterator[Path]:
    """Another user has to go through it."""
    in_memory.chmod(0o711)
    yield in_memory
    shutil.rmtree(in_memory / "state", ignore_errors=True)


def test_a_power_cut_leaves_old_or_new_and_loses_no_secret(
    place: Path, effort: CrashTestSize
) -> None:
    skip_unless_available()
    lines, seen = check_cuts(place, Recorded(place), min(effort.states, MOST_STATES))
    print(f"{dict(seen)}, {len(lines)} promises broken")  # noqa: T201 - for -s
    assert lines == []
    assert seen["lost writes"] > seen["states"] // 10


def test_the_same_check_finds_losses_if_flushes_are_dropped(
    place: Path, effort: CrashTestSize
) -> None:
    skip_unless_available("strace")
    recorded = Recorded(place, strace_ignoring("fsync"))
    lines, _ = check_cuts(place, recorded, effort.control_states)
    assert lines
