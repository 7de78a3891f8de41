"""The overlays of [board]: checked, tried once in the other slot, left if the box does not come good."""

from datetime import timedelta
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from agent.base.slot_state import Slot
from agent.provisioning.board_config import BoardConfig, iter_board_problems
from agent.update import bootloader, overlay_sector
from agent.update.board_overlays import carry, stage
from agent.update.overlay_sector import (
    MARKER,
    SECTOR_BYTES,
    NoOverlaySector,
    encode_sector,
    find_sector,
    read_sector,
    write_sector,
)
from agent.update.rauc import RaucClient
from agent.update.rauc_backend import open_slots
from agent.update.slots import SlotRefused
from agent.update.updater import Updater
from tests.parts.test_slots import write_build_time

NOW = "2026-11-25T02:00:00Z"
CLOCK = "i2c-rtc,ds3231"
NONE = encode_sector(())
WANTED = encode_sector((CLOCK, "imx708", "uart3"))


class PiBox:
    """A Raspberry Pi of files that runs from slot A; slot B was never written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("proc", "select", "state/rauc", "etc", "dev/disk/by-partlabel"):
            (root / folder).mkdir(parents=True)
        (root / "etc/os-release").write_text("IMAGE_VERSION=1.2.3\n")
        (root / "select/autoboot.txt").write_bytes(bootloader.encode_autoboot(2, 3))
        write_build_time(root / "proc/device-tree", bootloader.MIN_FIRMWARE_BUILD)
        self.device("root", "A").write_bytes(b"the system" * 1000)
        self.device("boot", "A").write_bytes(b"kernel".ljust(4096, b"\0") + NONE + bytes(4096))
        for kind in ("root", "boot"):
            self.device(kind, "B").write_bytes(bytes(20_000))
        self.boot("A")

    def device(self, kind: str, slot: Slot) -> Path:
        return self.root / f"dev/disk/by-partlabel/{kind}_{slot.lower()}"

    def boot(self, slot: Slot) -> None:
        """As from this slot; the firmware forgets the trial."""
        (self.root / "proc/cmdline").write_text(f"rauc.slot={slot}")
        (self.root / "run/systemd/reboot-param").unlink(missing_ok=True)
        self.slots = open_slots(self.root)
        self.slots.record_boot("1.2.3", NOW)

    def stage(self, sector: bytes) -> bool:
        return stage(self.slots, self.root, sector, "1.2.3")

    def reboot_into_trial(self) -> None:
        assert self.slots.arm_trial()
        assert (self.root / "run/systemd/reboot-param").read_text() == "0 tryboot\n"
        self.boot("B")


@pytest.fixture
def box(tmp_path: Path) -> PiBox:
    return PiBox(tmp_path)


def test_overlays_that_come_good_are_kept(box: PiBox) -> None:
    assert box.stage(WANTED)
    assert box.device("root", "B").read_bytes().startswith(b"the system" * 1000)
    assert read_sector(box.device("boot", "B")) == WANTED
    assert read_sector(box.device("boot", "A")) == NONE
    box.reboot_into_trial()
    assert box.slots.is_on_trial()
    box.slots.set_state("B", good=True)
    assert box.slots.read_selection().default == "B"
    assert not box.stage(WANTED), "they are in force"


def test_overlays_that_do_not_come_good_are_left_and_not_tried_again(box: PiBox) -> None:
    assert box.stage(WANTED)
    box.reboot_into_trial()
    box.boot("A")
    assert read_sector(box.device("boot", "A")) == NONE
    assert box.slots.read_state().failed_trial is not None
    assert box.slots.read_selection() == bootloader.BootSelection(default="A")
    for _ in range(3):
        assert not box.stage(WANTED)
    assert box.stage(encode_sector((CLOCK,))), "others are tried"


def test_a_power_cut_before_the_reboot_costs_no_trial(box: PiBox) -> None:
    assert box.stage(WANTED)
    box.boot("A")
    assert box.stage(WANTED), "the reboot is asked for again"
    box.reboot_into_trial()
    assert box.slots.is_on_trial()
    box.boot("A")
    assert not box.stage(WANTED), "they were tried"


def test_a_box_that_cannot_arm_the_trial_does_not_reboot_at_each_start(box: PiBox) -> None:
    assert [box.stage(WANTED) for _ in range(5)] == [True, True, False, False, False]
    assert box.slots.arm_trial(), "any other reboot tries them"


def test_a_boot_loader_that_is_too_old_tries_no_overlays(box: PiBox) -> None:
    old = bootloader.MIN_FIRMWARE_BUILD - timedelta(days=1)
    write_build_time(box.root / "proc/device-tree", old)
    with pytest.raises(SlotRefused, match="boot loader"):
        box.stage(WANTED)
    assert box.device("root", "B").read_bytes() == bytes(20_000)


def test_an_update_that_waits_is_tried_first(box: PiBox) -> None:
    box.slots.begin_install("1.3.0")
    box.slots.set_primary("B")
    assert not box.stage(WANTED)
    assert box.slots.read_selection().pending == "B"


def test_an_end_while_the_slot_is_copied_leaves_no_trial(box: PiBox) -> None:
    box.device("boot", "B").unlink()
    with pytest.raises(OSError, match="boot_b"):
        box.stage(WANTED)
    assert box.slots.read_selection() == bootloader.BootSelection(default="A")
    assert not overlay_sector.was_tried(box.root, WANTED)
    box.device("boot", "B").write_bytes(bytes(20_000))
    assert box.stage(WANTED)


def test_an_update_takes_the_overlays_along(box: PiBox) -> None:
    write_sector(box.device("boot", "A"), WANTED)
    box.device("boot", "B").write_bytes(b"new kernel".ljust(1024, b"\0") + NONE)
    carry(Updater(box.root, RaucClient()))
    assert read_sector(box.device("boot", "B")) == WANTED


def test_the_sector_is_overwritten_in_place(tmp_path: Path) -> None:
    device = tmp_path / "boot"
    before, after = b"x" * (5 * SECTOR_BYTES), b"y" * (3 * SECTOR_BYTES)
    device.write_bytes(before + NONE + after)
    write_sector(device, WANTED)
    assert device.read_bytes() == before + WANTED + after


@pytest.mark.parametrize(
    "content", [b"", bytes(4096), NONE + NONE, b"x" + NONE], ids=["empty", "none", "two", "shifted"]
)
def test_a_partition_without_exactly_one_sector_is_refused(tmp_path: Path, content: bytes) -> None:
    device = tmp_path / "boot"
    device.write_bytes(content)
    with pytest.raises(NoOverlaySector):
        write_sector(device, WANTED)
    assert device.read_bytes() == content


def test_the_sector_is_found_in_any_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay_sector, "_CHUNK_BYTES", 2 * SECTOR_BYTES)
    device = tmp_path / "boot"
    for sectors in range(6):
        device.write_bytes(bytes(sectors * SECTOR_BYTES) + NONE + bytes(700))
        assert find_sector(device) == sectors * SECTOR_BYTES


@pytest.mark.parametrize(
    ("overlays", "message"),
    [
        ((), ""),
        ((CLOCK, "imx708,cam0", "uart3", "gpio-fan,gpiopin=14,temp=60000", "w1-gpio"), ""),
        (("uart0",), "takes pins 8 and 10 from the console; allowed: uart2 to uart5"),
        (("uart0-pi5,ctsrts",), "takes pins 8 and 10"),
        (
            ("I2C-RTC",),
            "board.overlays[0] = 'I2C-RTC': not an overlay; allowed: NAME or NAME,PARAM",
        ),
        (("imx708\n[none]",), "not an overlay"),
        (("imx708 # x",), "not an overlay"),
        (("imx708,",), "not an overlay"),
        (("../../x",), "not an overlay"),
        (("é",), "not an overlay"),
        (tuple(f"w1-gpio,gpiopin={pin},pullup=some-long-text-{pin}" for pin in range(12)), "bytes"),
    ],
)
def test_an_overlay_that_no_image_can_have_is_reported(
    overlays: tuple[str, ...], message: str
) -> None:
    reported = list(iter_board_problems(BoardConfig(overlays=overlays), "x"))
    assert len(reported) == bool(message), reported
    assert message in "".join(reported)


def test_an_overlay_that_the_image_lacks_is_reported() -> None:
    board = BoardConfig(overlays=(CLOCK, "imx9999"))
    (line,) = iter_board_problems(board, "x", {"i2c-rtc", "imx708"})
    assert "board.overlays[1] = 'imx9999': is not in this image" in line
    assert len(list(iter_board_problems(board, "x", ()))) == 2
    assert list(iter_board_problems(BoardConfig(), "x", ())) == []


@given(st.lists(st.text(max_size=30), max_size=12))
def test_no_accepted_overlay_adds_a_line_or_a_section(overlays: list[str]) -> None:
    if list(iter_board_problems(BoardConfig(overlays=tuple(overlays)), "x")):
        return
    sector = encode_sector(overlays)
    assert len(sector) == SECTOR_BYTES
    assert sector.count(MARKER) == 1
    lines = sector.decode("ascii").rstrip("\n").split("\n")
    assert lines[1:] == ["[all]", *(f"dtoverlay={overlay}" for overlay in overlays)]
