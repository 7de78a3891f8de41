"""agent.config.desired_store under power cuts: the box has the old version of the centre's configuration or the new
one, its settings and scenes together, and what was kept stays.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from agent.base.clock import SystemClock
from agent.config.desired_store import ConfigLayer, Decision, DesiredStore
from agent.config_change.start_config import load_start_config
from tests.crash.block_log import CrashState, LogRecord, read_log
from tests.crash.conftest import CrashTestSize
from tests.crash.disk import logged_ext4, make_ext4, mounted, skip_unless_available
from tests.crash.power_cut import check_states, cut_at_writes
from tests.pole_config import POLE_CONFIG

DISK_BYTES = 16 << 20
SEED = 13
MOST_CUTS = 50
BOOT, NEXT_BOOT = "boot-1", "boot-2"
UNTIL_NS = 1 << 62


def version(number: int) -> ConfigLayer:
    """A version whose settings and scene both have its number."""
    line = f'[[line]]\nname = "{number}"\nfrom = [0, 0.5]\nto = [1, 0.5]\n'
    return ConfigLayer(
        version=number,
        digest=str(number),
        by="amina",
        settings={"record": {"max_age_h": number}},
        scenes={"north": line + "# " + "x" * 9000},
    )


class Recorded:
    """A box that keeps version 1, then takes 2 and keeps it, then tries 3 and goes back."""

    def __init__(self, folder: Path) -> None:
        image = make_ext4(folder / "disk.img", DISK_BYTES)
        with mounted(image, folder / "first") as point:
            (point / "vigie.toml").write_text(POLE_CONFIG)
            store = DesiredStore(point / "state")
            store.begin(version(1), "keys", "omar", BOOT, UNTIL_NS)
            store.confirm(0, BOOT)
            os.sync()
        self.base = image.read_bytes()
        with logged_ext4(folder, image, folder / "log") as (mount, marks):
            store = DesiredStore(mount / "state")
            handle = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for number in (2, 3):
                store.write_decision(Decision(version=number, digest=str(number)))
                store.begin(version(number), "keys", "omar", BOOT, UNTIL_NS)
                os.write(handle, f"begun {number}\n".encode())
                if number == 2:
                    store.confirm(0, BOOT)
                else:
                    store.undo()
                os.write(handle, f"ended {number}\n".encode())
            os.close(handle)
        self.records: list[LogRecord] = read_log(folder / "log")


def broken(point: Path, state: CrashState) -> Iterator[str]:
    """A line for each promise that is not kept on a disk, after the next boot."""
    path = point / "vigie.toml"
    start = load_start_config(path, SystemClock(), NEXT_BOOT)
    if start.layer is None or start.refusal:
        yield f"no version counts: {start.refusal}"
        return
    found = {
        start.layer.version,
        int(start.config.record.max_age_h),
        int(start.sources[0].scene.line[0].name),
    }
    if len(found) > 1:
        yield f"a mix of the versions {found}"
    allowed = {2} if "ended 2" in state.marks else {1, 2}
    if not found <= allowed:
        yield f"version {found}; allowed: {allowed}"
    store = DesiredStore(point / "state")
    if store.pending() is not None:
        yield "still on trial"
    newest = 3 if "begun 3" in state.marks else 2 if "begun 2" in state.marks else 1
    if store.decision().version < newest:
        yield f"version {newest} could be decided again"
    store.begin(version(9), "keys", "omar", NEXT_BOOT, UNTIL_NS)
    if load_start_config(path, SystemClock(), NEXT_BOOT).config.record.max_age_h != 9:
        yield "takes no further version"


def test_a_power_cut_leaves_the_old_version_or_the_new_one(
    in_memory: Path, effort: CrashTestSize
) -> None:
    skip_unless_available()
    number = min(effort.states // 3, MOST_CUTS)
    recorded = Recorded(in_memory)
    states = cut_at_writes(recorded.base, recorded.records, number, SEED)
    lines, seen = check_states(in_memory, states, broken)
    print(f"{dict(seen)}, {len(lines)} promises broken")  # noqa: T201 - for -s
    assert lines == []
    assert seen["lost writes"]
