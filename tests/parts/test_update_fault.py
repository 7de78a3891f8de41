"""agent.health.update_fault: an update that fell back, and a feed that has expired, are faults until they are mended."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.base import slot_state
from agent.base.seen_feed import SeenFeed, seen_feed_file
from agent.faults.registry import FaultRegistry
from agent.health.update_fault import CHECK_INTERVAL_NS, SLOT_STATE_DIR, UpdateFault
from agent.update import bootloader, rauc_backend
from agent.update.bootloader import GrubBootloader
from agent.update.slots import Slots
from tests.conftest import ManualClock


def test_the_slot_state_file_is_at_the_updaters_path() -> None:
    assert Path("/", SLOT_STATE_DIR) == rauc_backend.RAUC_STATE_DIR


@pytest.mark.raises_fault("SYS-08")
def test_a_fallback_is_a_fault_until_it_is_accepted(tmp_path: Path, clock: ManualClock) -> None:
    faults = FaultRegistry(clock.boottime_ns)
    watch = UpdateFault(tmp_path, faults, has_feed=True)
    watch.check(0, None)
    assert faults.active() == ()
    path = tmp_path / "grubenv"
    path.write_bytes(bootloader.encode_grubenv({"default": "A", "tried": "B"}))
    slots = Slots(GrubBootloader(tmp_path), tmp_path / "state/rauc", "A")
    slots.record_boot("1.0.0", "2026-11-25T02:00:00Z")
    watch.check(CHECK_INTERVAL_NS - 1, None)
    assert faults.active() == ()
    watch.check(CHECK_INTERVAL_NS, None)
    (fault,) = faults.active()
    assert (fault.code, fault.subject) == ("SYS-08", "update")
    assert fault.detail == (
        "version (unknown): it did not boot, or the power was cut (2026-11-25T02:00:00Z)"
    )
    slots.clear_refused_versions()
    watch.check(2 * CHECK_INTERVAL_NS, None)
    assert faults.active() == ()


@pytest.mark.raises_fault("SYS-10")
def test_a_feed_that_has_expired_is_a_fault_until_a_newer_one_has_come(
    tmp_path: Path, clock: ManualClock
) -> None:
    faults = FaultRegistry(clock.boottime_ns)
    watch = UpdateFault(tmp_path, faults, has_feed=True)
    issued = datetime(2026, 11, 1, tzinfo=UTC)
    file = seen_feed_file(tmp_path / SLOT_STATE_DIR)

    def codes(utc: datetime | None) -> list[str]:
        clock.advance_s(CHECK_INTERVAL_NS / 1e9)
        watch.check(clock.boottime_ns(), utc)
        return [fault.code for fault in faults.active()]

    later = issued + timedelta(days=30)
    assert codes(later) == [], "no feed was seen"
    file.write(SeenFeed(issued=issued, expires=later))
    assert codes(later - timedelta(seconds=1)) == []
    assert codes(None) == [], "the clock cannot be trusted"
    assert codes(later) == ["SYS-10"]
    assert codes(None) == ["SYS-10"]
    (fault,) = faults.active()
    assert fault.detail == (
        "the feed of 2026-11-01T00:00:00+00:00 has expired 2026-12-01T00:00:00+00:00"
    )
    file.write(SeenFeed(issued=later, expires=later + timedelta(days=30)))
    assert codes(later) == []


def test_without_a_feed_in_the_configuration_none_expires(
    tmp_path: Path, clock: ManualClock
) -> None:
    issued = datetime(2026, 11, 1, tzinfo=UTC)
    seen = SeenFeed(issued=issued, expires=issued + timedelta(days=1))
    seen_feed_file(tmp_path / SLOT_STATE_DIR).write(seen)
    faults = FaultRegistry(clock.boottime_ns)
    UpdateFault(tmp_path, faults, has_feed=False).check(0, issued + timedelta(days=9))
    assert faults.active() == ()


@pytest.mark.parametrize("kept", [b"", b"[]", b"\xff", b'{"failed_trial":1}'])
def test_an_unreadable_slot_state_is_not_a_fault(
    tmp_path: Path, clock: ManualClock, kept: bytes
) -> None:
    folder = tmp_path / SLOT_STATE_DIR
    folder.mkdir(parents=True)
    (folder / slot_state.FILE_NAME).write_bytes(kept)
    faults = FaultRegistry(clock.boottime_ns)
    UpdateFault(tmp_path, faults, has_feed=True).check(0, None)
    assert faults.active() == ()
