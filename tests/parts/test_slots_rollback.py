"""agent.update.slots: after a rollback from a good version, it is not tried again without a request."""

from pathlib import Path

from agent.update.bootloader import BootSelection
from tests.parts.test_slots import KINDS, NOW, Board, installed


def rolled_back(tmp_path: Path, kind: str) -> Board:
    """2.0.0 was marked good and then rolled back; the reboot is still to come."""
    board = installed(tmp_path, kind)
    board.slots.arm_trial()
    board.boot(orderly=True)
    board.slots.record_boot("2.0.0", NOW)
    board.slots.set_state("B", good=True)
    board.slots.refuse_version("2.0.0")
    board.slots.set_primary("A")
    return board


@KINDS
def test_a_rolled_back_version_stays_refused_when_the_previous_one_is_marked_good(
    tmp_path: Path, kind: str
) -> None:
    board = rolled_back(tmp_path, kind)
    # The check after a boot that ends only now.
    board.slots.set_state("B", good=True)
    board.slots.arm_trial()
    assert board.boot(orderly=True) == "A"
    board.slots.record_boot("1.0.0", NOW)
    board.slots.set_state("A", good=True)
    assert board.slots.read_selection() == BootSelection(default="A")
    assert board.slots.read_state().refused == ("2.0.0",)
    assert board.slots.read_state().failed_trial is None


@KINDS
def test_a_rolled_back_version_is_allowed_again_when_the_previous_one_fails(
    tmp_path: Path, kind: str
) -> None:
    board = rolled_back(tmp_path, kind)
    board.slots.arm_trial()
    board.boot(orderly=True)
    board.slots.record_boot("1.0.0", NOW)
    assert board.boot(orderly=True) == "B"
    found = board.slots.record_boot("2.0.0", NOW)
    board.slots.set_state("B", good=True)
    assert board.slots.read_state().refused == ("1.0.0",)
    assert found is not None
    assert found.version == "1.0.0"
    assert board.slots.read_state().failed_trial == found, "it is still to be told"


@KINDS
def test_a_version_is_allowed_again_when_its_rollback_is_cancelled(
    tmp_path: Path, kind: str
) -> None:
    board = rolled_back(tmp_path, kind)
    board.slots.set_primary("B")
    assert board.slots.read_selection() == BootSelection(default="B")
    assert board.slots.read_state().refused == ()
