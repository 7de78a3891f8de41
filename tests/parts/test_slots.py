"""agent.update.slots under a simulated firmware, with a power cut before any write: old or new, never
half.
"""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.base import atomic_file, slot_state
from agent.base.slot_state import Slot, SlotState, TrialFailure
from agent.update import bootloader
from agent.update.bootloader import (
    Bootloader,
    BootSelection,
    GrubBootloader,
    RaspberryPiBootloader,
    other_slot,
)
from agent.update.slots import SlotRefused, Slots

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - thousands of small writes
NOW = "2026-11-25T02:00:00Z"


def write_build_time(device_tree: Path, built: datetime) -> None:
    """As a Raspberry Pi's boot loader does."""
    folder = device_tree / "chosen/bootloader"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "build-timestamp").write_bytes(int(built.timestamp()).to_bytes(4, "big"))


class Cut(BaseException):
    """The power goes."""


class Board:
    """A box: its partitions, its firmware, and the content of its slots."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self.select, self.state = folder / "select", folder / "state"
        self.reboot_param = folder / "run/systemd/reboot-param"
        self.select.mkdir()
        self.state.mkdir()
        self.writes_left: int | None = None
        self.whole: dict[Slot, str | None] = {"A": "1", "B": None}
        self.running: Slot = "A"
        if kind == "grub":
            block = bootloader.encode_grubenv({"default": "A", "try": "", "other": "kept"})
            (self.select / "grubenv").write_bytes(block)
        else:
            (self.select / "autoboot.txt").write_bytes(bootloader.encode_autoboot(2, 3))
            write_build_time(folder / "none", bootloader.MIN_FIRMWARE_BUILD)
        self.slots = self.make_slots()

    def _count(self) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise Cut
            self.writes_left -= 1

    def _put(self, path: Path, data: bytes) -> None:
        self._count()
        atomic_file.overwrite_in_place(path, data)

    def _write(self, folder: Path, kept: SlotState) -> None:
        self._count()
        slot_state.write(folder, kept)

    def make_slots(self) -> Slots:
        way: Bootloader
        if self.kind == "grub":
            way = GrubBootloader(self.select, self._put)
        else:
            way = RaspberryPiBootloader(
                self.select, self.reboot_param, self.folder / "none", self._put
            )
        return Slots(way, self.state, self.running, self._write)

    def boot(self, *, orderly: bool) -> Slot:
        """Boot as the firmware does: select a slot, and clear the trial."""
        if self.kind == "grub":
            variables = bootloader.decode_grubenv((self.select / "grubenv").read_bytes())
            chosen = variables["try"] or variables["default"]
            variables["try"] = ""
            (self.select / "grubenv").write_bytes(bootloader.encode_grubenv(variables))
        else:
            armed = orderly and self.reboot_param.exists()
            text = (self.select / "autoboot.txt").read_text()
            assert len(text) <= 512
            boots, tries = (
                line.partition("=")[2] for line in text.split() if "boot_partition" in line
            )
            chosen = {"2": "A", "3": "B"}[tries if armed else boots]
        self.reboot_param.unlink(missing_ok=True)
        self.running = "A" if chosen == "A" else "B"
        self.writes_left = None
        self.slots = self.make_slots()
        return self.running

    def write_slot(self, slot: Slot, version: str) -> None:
        """The images, in two halves."""
        self._count()
        self.whole[slot] = None
        self._count()
        self.whole[slot] = version


class Life(RuleBasedStateMachine):
    """All that may happen to a box in any order, cut anywhere."""

    kind = "grub"

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(dir=IN_MEMORY))
        self.committed: set[Slot] = {"A"}
        self.installs = 0
        self.trials: dict[int, int] = {}
        self.reboot_requested = False
        self.settled = True

    @initialize()
    def flashed(self) -> None:
        self.board = Board(self.home, self.kind)
        self.board.slots.record_boot("1", NOW)

    def teardown(self) -> None:
        shutil.rmtree(self.home)

    def boot(self, *, orderly: bool = False) -> None:
        slot = self.board.boot(orderly=orderly)
        assert self.board.whole[slot] is not None, "a slot that is not whole was booted"
        if slot not in self.committed:
            self.trials[self.installs] = self.trials.get(self.installs, 0) + 1
            assert self.trials[self.installs] == 1, "tried twice"
            assert self.reboot_requested, "tried without a requested reboot"
        elif len(self.committed) > 1:
            # Cut while it became the default: from here on it is one of the two.
            self.committed = {self.board.slots.read_selection().default}
        self.settled = self.reboot_requested = False

    @rule(cut=st.none() | st.integers(0, 5))
    def settle(self, cut: int | None) -> None:
        self.board.writes_left = cut
        try:
            self.board.slots.record_boot(self.board.whole[self.board.running], NOW)
        except Cut:
            self.boot()
            return
        self.board.writes_left = None
        self.settled = True

    @precondition(lambda self: self.settled)
    @rule(cut=st.none() | st.integers(0, 9))
    def install(self, cut: int | None) -> None:
        slots, target = self.board.slots, other_slot(self.board.running)
        self.board.writes_left = cut
        try:
            slots.begin_install("2")
            slots.set_state(target, good=False)
            self.board.write_slot(target, "2")
            self.installs += 1
            slots.set_primary(target)
        except SlotRefused:
            assert target in self.committed
            self.board.writes_left = None
        except Cut:
            self.boot()
        else:
            self.board.writes_left = None

    @precondition(lambda self: self.settled)
    @rule(cut=st.none() | st.integers(0, 4))
    def found_good(self, cut: int | None) -> None:
        running = self.board.running
        self.board.writes_left = cut
        try:
            self.board.slots.set_state(running, good=True)
        except Cut:
            self.committed.add(running)
            self.boot()
            return
        self.board.writes_left = None
        self.committed = {running}
        assert self.board.slots.read_selection() in (
            BootSelection(default=running),
            BootSelection(default=running, pending=other_slot(running)),
        )

    @rule(cut=st.none() | st.integers(0, 4))
    def reboot(self, cut: int | None) -> None:
        self.reboot_requested = True
        self.board.writes_left = cut
        try:
            self.board.slots.arm_trial()
        except Cut:
            self.boot()
            return
        self.boot(orderly=True)

    @rule()
    def power_cut(self) -> None:
        self.boot()

    @precondition(lambda self: self.settled and self.board.whole[other_slot(self.board.running)])
    @rule()
    def go_back(self) -> None:
        if not self.board.slots.is_on_trial():
            self.installs += 1
            self.board.slots.refuse_version(self.board.whole[self.board.running])
            self.board.slots.set_primary(other_slot(self.board.running))

    @rule()
    def take_back(self) -> None:
        self.board.slots.set_primary(self.board.slots.read_selection().default)
        assert self.board.slots.get_primary() == self.board.slots.read_selection().default

    @invariant()
    def the_default_is_whole_and_was_found_good(self) -> None:
        if hasattr(self, "board"):
            default = self.board.slots.read_selection().default
            assert default in self.committed
            assert self.board.whole[default] is not None

    @invariant()
    def what_is_about_to_be_tried_is_whole(self) -> None:
        if hasattr(self, "board"):
            assert self.board.whole[self.board.slots.get_primary()] is not None


class LifeWithGrub(Life):
    kind = "grub"


class LifeOfARaspberryPi(Life):
    kind = "raspberry pi"


TestLifeWithGrub = LifeWithGrub.TestCase
TestLifeOfARaspberryPi = LifeOfARaspberryPi.TestCase
TestLifeWithGrub.settings = TestLifeOfARaspberryPi.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None
)


def lives() -> Iterator[tuple[str, ...]]:
    """All that may happen in three steps, the last of which may be cut."""
    steps = ("install", "found_good", "reboot", "settle", "power_cut")
    for first in itertools.product(steps, repeat=2):
        yield from ((*first, last) for last in steps[:-1])


@pytest.mark.parametrize("life", [LifeWithGrub, LifeOfARaspberryPi], ids=lambda one: one.kind)
def test_a_power_cut_before_any_write_leaves_a_working_system(
    life: type[Life],
) -> None:
    ended = 0
    for steps in lives():
        for cut in range(8):
            box = life()
            box.flashed()
            for step in steps[:-1]:
                act(box, step, None)
            act(box, steps[-1], cut)
            box.the_default_is_whole_and_was_found_good()
            box.what_is_about_to_be_tried_is_whole()
            for step in ("reboot", "power_cut"):
                act(box, step, None)
                box.settle(cut=None)
            box.teardown()
            ended += 1
    assert ended == 5**2 * 4 * 8


def act(box: Life, step: str, cut: int | None) -> None:
    if step in ("install", "found_good") and not box.settled:
        box.settle(cut=None)
    if step == "power_cut":
        box.power_cut()
    else:
        getattr(box, step)(cut=cut)


KINDS = pytest.mark.parametrize("kind", ["grub", "raspberry pi"])


def installed(tmp_path: Path, kind: str) -> Board:
    board = Board(tmp_path, kind)
    board.slots.record_boot("1.0.0", NOW)
    board.slots.begin_install("2.0.0")
    board.slots.set_state("B", good=False)
    assert board.slots.read_state().slot("B").state == "bad"
    assert board.slots.read_state().slot("B").version is None
    board.write_slot("B", "2.0.0")
    board.slots.set_primary("B")
    return board


@KINDS
def test_an_installed_version_is_tried_once_and_kept_if_it_is_marked_good(
    tmp_path: Path, kind: str
) -> None:
    board = installed(tmp_path, kind)
    assert board.slots.get_primary() == "B"
    assert not board.slots.is_on_trial()
    assert board.slots.arm_trial()
    assert board.boot(orderly=True) == "B"
    board.slots.record_boot("2.0.0", NOW)
    assert board.slots.is_on_trial()
    assert board.slots.get_primary() == "A"
    board.slots.set_state("B", good=True)
    assert not board.slots.is_on_trial()
    assert board.boot(orderly=False) == "B"
    assert board.slots.record_boot("2.0.0", NOW) is None
    kept = board.slots.read_state()
    assert (kept.slot("A").version, kept.slot("A").state) == ("1.0.0", "good")
    assert (kept.slot("B").version, kept.slot("B").state) == ("2.0.0", "good")
    assert kept.failed_trial is None


@KINDS
@pytest.mark.parametrize("reason", ["not booted", "power lost", "not good"])
def test_a_failed_version_is_left_named_and_not_tried_again(
    tmp_path: Path, kind: str, reason: TrialFailure
) -> None:
    board = installed(tmp_path, kind)
    board.slots.record_stop()
    board.slots.arm_trial()
    board.boot(orderly=True)
    if reason != "not booted":
        board.slots.record_boot("2.0.0", NOW)
    if reason == "not good":
        board.slots.record_stop()
    assert board.boot(orderly=False) == "A"
    found = board.slots.record_boot("1.0.0", NOW)
    assert found is not None
    assert (found.version, found.slot, found.reason) == ("2.0.0", "B", reason)
    kept = board.slots.read_state()
    assert kept.refused == ("2.0.0",)
    assert kept.slot("B").state == "bad"
    assert board.slots.read_selection() == BootSelection(default="A")
    assert board.slots.record_boot("1.0.0", NOW) is None
    board.slots.set_state("A", good=True)
    assert board.slots.read_state().failed_trial == found, (
        "that the old one works does not mend the new one"
    )
    board.slots.clear_refused_versions()
    assert (board.slots.read_state().failed_trial, board.slots.read_state().refused) == (None, ())


@KINDS
def test_a_version_that_fell_back_and_is_then_marked_good_is_allowed_again(
    tmp_path: Path, kind: str
) -> None:
    board = installed(tmp_path, kind)
    for good in (False, True):
        board.slots.arm_trial()
        assert board.boot(orderly=True) == "B"
        board.slots.record_boot("2.0.0", NOW)
        if good:
            board.slots.set_state("B", good=True)
        else:
            board.boot(orderly=True)
            board.slots.record_boot("1.0.0", NOW)
            board.slots.set_primary("B")
    assert board.slots.read_state().refused == ()
    assert board.slots.read_state().failed_trial is None


@KINDS
def test_a_power_cut_after_the_installation_starts_no_trial_and_loses_none(
    tmp_path: Path, kind: str
) -> None:
    board = installed(tmp_path, kind)
    for _ in range(2):
        assert board.boot(orderly=False) == "A"
        assert board.slots.record_boot("1.0.0", NOW) is None
        assert board.slots.get_primary() == "B"
    board.slots.arm_trial()
    assert board.boot(orderly=True) == "B"


def test_a_power_cut_within_the_requested_reboot_does_not_lose_the_trial_with_grub(
    tmp_path: Path,
) -> None:
    board = installed(tmp_path, "grub")
    board.slots.arm_trial()
    assert board.boot(orderly=False) == "B"


@KINDS
def test_the_default_slot_is_not_overwritten_during_a_trial(tmp_path: Path, kind: str) -> None:
    board = installed(tmp_path, kind)
    board.slots.arm_trial()
    board.boot(orderly=True)
    with pytest.raises(SlotRefused, match="slot A is the default"):
        board.slots.set_state("A", good=False)


@KINDS
def test_marking_the_slot_on_trial_as_bad_ends_the_trial_at_the_next_boot(
    tmp_path: Path, kind: str
) -> None:
    board = installed(tmp_path, kind)
    board.slots.arm_trial()
    board.boot(orderly=True)
    board.slots.record_boot("2.0.0", NOW)
    board.slots.set_state("B", good=False)
    assert board.slots.is_on_trial()
    board.boot(orderly=True)
    found = board.slots.record_boot("1.0.0", NOW)
    assert found is not None
    assert found.version == "2.0.0"


@KINDS
def test_a_pending_installation_can_be_cancelled(tmp_path: Path, kind: str) -> None:
    board = installed(tmp_path, kind)
    board.slots.set_primary("A")
    board.slots.arm_trial()
    assert board.boot(orderly=True) == "A"
    assert board.slots.record_boot("1.0.0", NOW) is None


@KINDS
def test_a_damaged_firmware_file_is_rewritten_for_the_running_slot(
    tmp_path: Path, kind: str
) -> None:
    board = Board(tmp_path, kind)
    path = board.select / ("grubenv" if kind == "grub" else "autoboot.txt")
    path.write_bytes(b"\xff\x00 rubbish")
    assert board.slots.read_selection() == BootSelection(default="A")
    board.slots.record_boot("1.0.0", NOW)
    assert board.boot(orderly=False) == "A"


@pytest.mark.parametrize("kept", [b"", b"{", b'{"v":2}', b"\xff", b"[]"])
def test_an_unreadable_slot_state_counts_as_empty(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / slot_state.FILE_NAME).write_bytes(kept)
    assert slot_state.read(tmp_path) == SlotState()


def test_a_raspberry_pi_without_slot_state_detects_a_trial_from_the_firmware(
    tmp_path: Path,
) -> None:
    board = installed(tmp_path, "raspberry pi")
    board.slots.arm_trial()
    board.boot(orderly=True)
    (board.state / slot_state.FILE_NAME).unlink()
    assert not board.slots.is_on_trial()
    word = tmp_path / "none/chosen/bootloader/tryboot"
    word.write_bytes(b"\0\0\0\1")
    assert board.slots.is_on_trial()


def test_a_slot_booted_in_place_of_a_broken_default_is_not_on_trial(tmp_path: Path) -> None:
    board = Board(tmp_path, "grub")
    board.running, board.whole["B"] = "B", "1.0.0"
    stands_in = board.make_slots()
    assert not stands_in.is_on_trial()
    assert stands_in.record_boot("1.0.0", NOW) is None
    stands_in.set_state("B", good=True)
    assert stands_in.read_selection() == BootSelection(default="B")


@pytest.mark.parametrize("age_days", [1, 400])
def test_a_slot_is_not_tried_by_a_boot_loader_that_cannot_tell_the_slots_apart(
    tmp_path: Path, age_days: int
) -> None:
    board = Board(tmp_path, "raspberry pi")
    old = bootloader.MIN_FIRMWARE_BUILD - timedelta(days=age_days)
    write_build_time(tmp_path / "none", old)
    board.slots.record_boot("1.0.0", NOW)
    with pytest.raises(SlotRefused, match=rf"boot loader is of {old:%Y-%m-%d}; two slots need one"):
        board.slots.set_primary("B")
    assert board.slots.read_selection() == BootSelection(default="A")
    board.slots.set_primary("A")


def test_a_boot_loader_of_unknown_age_tries_no_slot(tmp_path: Path) -> None:
    board = Board(tmp_path, "raspberry pi")
    (tmp_path / "none/chosen/bootloader/build-timestamp").unlink()
    with pytest.raises(SlotRefused, match="age of the board's boot loader is unknown"):
        board.slots.set_primary("B")


def test_the_two_partitions_are_those_of_the_layout() -> None:
    assert RaspberryPiBootloader.PARTITIONS == (("A", 2), ("B", 3))
    assert bootloader.SLOTS == ("A", "B")
