"""The power goes while new settings are taken in: the configuration is the old one or the new one, whole,
and the secrets leave the card only when they are on the box.
"""

import os
import random
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
from tests.crash.block_log import CrashState, Kind, crash_states, read_log
from tests.crash.conftest import Effort
from tests.crash.disk import logged, make_ext4, mounted, need
from tests.crash.power_cut import only_dropping
from tests.settings_files import GOOD
from tests.whole.provision_kills import CHANGED, NEW_PASSWORD, check_whole, plain
from tests.whole.provision_tree import CHECKOUT, Tree

DISK_BYTES = 16 << 20
SEED = 6
MOST_STATES = 200
"""What is written is some hundred blocks: more cuts are the same ones again."""


class Recorded:
    """A box that took new settings in, and all that this wrote to its disk."""

    def __init__(self, folder: Path, wrap: tuple[str, ...] = ()) -> None:
        image = make_ext4(folder / "disk.img", DISK_BYTES)
        with mounted(image, folder / "first") as point:
            box = Tree(point / "box").make()
            box.put(GOOD)
            box.boot()
            self.old = plain(box.contents())
            box.put(CHANGED)
            os.sync()
        self.base = image.read_bytes()
        with logged(folder, image, folder / "log") as (mount, marks):
            box = Tree(mount / "box")
            command = [*wrap, sys.executable, "-m", "agent", *box.words]
            subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
            marks.write_text("done\n")
            self.new = plain(box.contents())
        self.records = read_log(folder / "log")

    def states(self, number: int) -> Iterator[CrashState]:
        """Disks that so many power cuts leave, until the box was done."""
        rng = random.Random(SEED)
        done = next(at for at, item in enumerate(self.records) if item.kind is Kind.MARK)
        writes = [at + 1 for at in range(done) if self.records[at].kind is Kind.WRITE]
        cuts = [done + 1, *(rng.choice(writes) for _ in range(number - 1))]
        yield from crash_states(self.base, self.records, cuts, rng)


def broken(point: Path, state: CrashState, recorded: Recorded) -> Iterator[str]:
    """A line for each promise that is not kept on a disk."""
    box = Tree(point / "box")
    card = box.card / "vigie-settings.toml"
    places = BoxFolders(folder=box.config, state=box.state, where="settings")
    apply.apply_settings(None, places)
    found = plain(box.contents())
    if found not in (recorded.old, recorded.new):
        yield "neither old nor new"
    try:
        check_whole(box)
    except (UserError, OSError, AssertionError) as error:
        yield f"the agent does not start: {error!r}"
    data = card.read_bytes() if card.exists() else None
    if data is None or (NEW_PASSWORD.encode() not in data and found != recorded.new):
        yield "the secrets are nowhere"
    if "done" in state.marks and found != recorded.new:
        yield "was done, and is not"
    if data is not None:
        apply.apply_settings(data, places)
        if plain(box.contents()) != recorded.new:
            yield "does not become new"


def judge(folder: Path, recorded: Recorded, number: int) -> tuple[list[str], Counter[str]]:
    lines: list[str] = []
    seen: Counter[str] = Counter()
    image = folder / "state.img"
    for state in recorded.states(number):
        image.write_bytes(state.durable)
        with image.open("r+b") as file:
            for offset, data in state.kept:
                os.pwrite(file.fileno(), data, offset)
        seen["lost writes"] += state.lost_writes > 0
        seen["states"] += 1
        try:
            with mounted(image, folder / "state") as point:
                found = list(broken(point, state, recorded))
        except subprocess.CalledProcessError as error:
            found = [f"no file system any more: {error.stderr}"]
        lines += [f"cut {state.cut}: {line}" for line in found]
    return lines, seen


@pytest.fixture
def place(in_memory: Path) -> Iterator[Path]:
    """Another user has to go through it."""
    in_memory.chmod(0o711)
    yield in_memory
    shutil.rmtree(in_memory / "state", ignore_errors=True)


def test_a_power_cut_leaves_old_or_new_and_loses_no_secret(place: Path, effort: Effort) -> None:
    need()
    lines, seen = judge(place, Recorded(place), min(effort.states, MOST_STATES))
    print(f"{dict(seen)}, {len(lines)} promises broken")  # noqa: T201 - for -s
    assert lines == []
    assert seen["lost writes"] > seen["states"] // 10


def test_the_same_look_finds_losses_where_flushes_are_dropped(place: Path, effort: Effort) -> None:
    need("strace")
    recorded = Recorded(place, only_dropping("fsync"))
    lines, _ = judge(place, recorded, effort.control_states)
    assert lines
