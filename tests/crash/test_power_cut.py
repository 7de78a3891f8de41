"""The power goes at any moment: what was acknowledged is on the disk, whatever its cache had lost.

README.md here says how, and what it cannot show.
"""

from pathlib import Path

import pytest

from tests.crash.conftest import Effort
from tests.crash.disk import need
from tests.crash.power_cut import judge, only_dropping, record_run

SEED = 20261125


def test_what_was_acknowledged_survives_a_power_cut_at_any_moment(
    effort: Effort, in_memory: Path
) -> None:
    need()
    recorded = record_run(in_memory, effort.lives, effort.packets, SEED)
    tally = recorded.tally()
    assert tally["FLUSH"] > effort.packets // 4, "the flushes of the file system arrive"
    verdict = judge(in_memory, recorded, effort.states, SEED)
    print(f"{verdict.states} states, {dict(tally)}: {verdict.summary()}")  # noqa: T201 - for -s
    assert verdict.broken == []
    assert verdict.with_lost_writes > verdict.states // 10


@pytest.mark.parametrize("dropped", ["fsync,fdatasync", "fsync", "fdatasync"])
def test_the_same_look_finds_losses_where_flushes_are_dropped(
    effort: Effort, in_memory: Path, dropped: str
) -> None:
    need("strace")
    recorded = record_run(in_memory, 1, effort.packets, SEED, only_dropping(dropped))
    verdict = judge(in_memory, recorded, effort.control_states, SEED)
    print(f"without {dropped}: {verdict.summary()}")  # noqa: T201 - for -s
    assert verdict.states_with_losses > verdict.states // 10
