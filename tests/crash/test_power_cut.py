"""A power cut at any moment: acknowledged data is on the disk, whatever its cache had lost.

README.md here describes the method and its limits.
"""

from pathlib import Path

import pytest

from tests.crash.conftest import CrashTestSize
from tests.crash.disk import skip_unless_available
from tests.crash.power_cut import check_crash_states, record_run, strace_ignoring

SEED = 20261125


def test_acknowledged_data_survives_a_power_cut_at_any_moment(
    effort: CrashTestSize, in_memory: Path
) -> None:
    skip_unless_available()
    recorded = record_run(in_memory, effort.lives, effort.packets, SEED)
    tally = recorded.record_counts()
    assert tally["FLUSH"] > effort.packets // 4, "the flushes of the file system arrive"
    verdict = check_crash_states(in_memory, recorded, effort.states, SEED)
    print(f"{verdict.states} states, {dict(tally)}: {verdict.summary()}")  # noqa: T201 - for -s
    assert verdict.broken == []
    assert verdict.with_lost_writes > verdict.states // 10


@pytest.mark.parametrize("dropped", ["fsync,fdatasync", "fsync", "fdatasync"])
def test_the_same_check_finds_losses_if_flushes_are_dropped(
    effort: CrashTestSize, in_memory: Path, dropped: str
) -> None:
    skip_unless_available("strace")
    recorded = record_run(in_memory, 1, effort.packets, SEED, strace_ignoring(dropped))
    verdict = check_crash_states(in_memory, recorded, effort.control_states, SEED)
    print(f"without {dropped}: {verdict.summary()}")  # noqa: T201 - for -s
    assert verdict.broken_states > verdict.states // 10
