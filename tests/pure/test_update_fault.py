"""agent.health.update_fault: an update that fell back is a fault until it is fixed or accepted."""

from pathlib import Path

import pytest

from agent.base import slot_state
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
    watch = UpdateFault(tmp_path, faults)
    watch.check(0)
    assert faults.active() == ()
    path = tmp_path / "grubenv"
    path.write_bytes(bootloader.encode_grubenv({"default": "A", "tried": "B"}))
    slots = Slots(GrubBootloader(tmp_path), tmp_path / "state/rauc", "A")
    slots.record_boot("1.0.0", "2026-11-25T02:00:00Z")
    watch.check(CHECK_INTERVAL_NS - 1)
    assert faults.active() == ()
    watch.check(CHECK_INTERVAL_NS)
    (fault,) = faults.active()
    assert (fault.code, fault.subject) == ("SYS-08", "update")
    assert fault.detail == (
        "version (unknown): it did not boot, or the power was cut (2026-11-25T02:00:00Z)"
    )
    slots.clear_refused_versions()
    watch.check(2 * CHECK_INTERVAL_NS)
    assert faults.active() == ()


@pytest.mark.parametrize("kept", [b"", b"[]", b"\xff", b'{"failed_trial":1}'])
def test_an_unreadable_slot_state_is_not_a_fault(
    tmp_path: Path, clock: ManualClock, kept: bytes
) -> None:
    folder = tmp_path / SLOT_STATE_DIR
    folder.mkdir(parents=True)
    (folder / slot_state.FILE_NAME).write_bytes(kept)
    faults = FaultRegistry(clock.boottime_ns)
    UpdateFault(tmp_path, faults).check(0)
    assert faults.active() == ()
