"""A damaged state file gets a receipt in the custody log and the fault STO-08, whenever and by whom it is found."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.base.damaged_file import unreported_path
from agent.base.slot_state import SlotState
from agent.faults.registry import FaultRegistry
from agent.ptz.preset_store import Preset, PresetStore
from agent.recording import mask_store
from agent.recording.custody import damage_reporter
from agent.recording.custody.damage_reporter import SCAN_INTERVAL_S, DamageReporter
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import FileQuarantined, ReceiptBody, parse_line
from agent.update import rauc_backend, update_log
from drivers.contracts import Pose
from tests.whole.no_room import no_room
from tests.whole.report.reporting_box import wait_until
from tests.whole.test_agent_faults import built
from tests.whole.test_custody_log import Box

MAST = Path("heads") / "mast" / "presets.json"


class Rig:
    """A state folder, its custody log, and the reporter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.box = Box(folder)
        self.start()

    def start(self) -> None:
        self.faults = FaultRegistry(self.box.clock.boottime_ns)
        self.queue = ReceiptQueue(self.box.open().append, self.faults)
        self.reporter = DamageReporter(self.folder, self.queue, self.faults, self.box.clock)

    def damage(self, name: str | Path) -> None:
        path = unreported_path(self.folder / name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("damaged")

    def report(self) -> None:
        self.box.clock.advance_s(SCAN_INTERVAL_S)
        if self.queue.flush():
            self.reporter.report()

    def quarantined(self) -> list[str]:
        return [body.name for body in self.box.bodies() if isinstance(body, FileQuarantined)]

    def subjects(self) -> list[str]:
        return [fault.subject for fault in self.faults.active() if fault.code == "STO-08"]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.mark.raises_fault("STO-08")
def test_each_damaged_file_gets_one_receipt_and_a_fault_until_the_next_start(rig: Rig) -> None:
    rig.damage(MAST)
    rig.damage("stuck-cameras.json")
    for _ in range(3):
        rig.report()
    assert sorted(rig.quarantined()) == [f"{MAST}.damaged", "stuck-cameras.json.damaged"]
    assert sorted(rig.subjects()) == [str(MAST), "stuck-cameras.json"]
    assert (rig.folder / f"{MAST}.damaged").read_text() == "damaged"
    assert not unreported_path(rig.folder / MAST).exists()
    rig.start()
    rig.report()
    assert rig.subjects() == []
    assert len(rig.quarantined()) == 2


def test_damage_at_run_time_is_found_within_a_minute(rig: Rig) -> None:
    rig.report()
    rig.damage("console/lockout.json")
    rig.reporter.report()
    assert rig.subjects() == []
    rig.report()
    assert rig.subjects() == ["console/lockout.json"]


def test_on_a_full_disk_the_fault_is_raised_and_the_receipt_follows_once(rig: Rig) -> None:
    rig.damage(MAST)
    with no_room():
        rig.report()
        assert rig.subjects() == [str(MAST)]
        rig.report()
    for _ in range(3):
        rig.report()
    assert rig.quarantined() == [f"{MAST}.damaged"]
    assert not unreported_path(rig.folder / MAST).exists()


def test_a_power_cut_before_the_receipt_loses_no_report(rig: Rig) -> None:
    rig.damage(MAST)
    rig.start()  # the run that found it has ended without a report
    rig.report()
    assert rig.quarantined() == [f"{MAST}.damaged"]


def chain(folder: Path) -> list[ReceiptBody]:
    return [
        parse_line(line).receipt.body
        for path in sorted((folder / "custody").glob("*.chain"))
        for line in path.read_bytes().splitlines()
    ]


def damage_files(state: Path) -> list[str]:
    """Damage each kind of state file; return their names."""
    version = mask_store.store(state / "masks", (((0.1, 0.1), (0.4, 0.1), (0.4, 0.4)),))  # type: ignore[arg-type]
    (state / "footage" / "tram").mkdir(parents=True)
    names = [
        f"masks/{version}.json",
        "stuck-cameras.json",
        "disk-wear.json",
        "console/lockout.json",
        "selftest.json",
        "owner-policies/tram.json",
        "commands.db",
    ]
    for name in names:
        (state / name).parent.mkdir(exist_ok=True)
        (state / name).write_bytes(b'{"sha256":"0","state":{}}')
    return names


def put_folders_in_the_place_of_files(state: Path) -> list[str]:
    names = ["stuck-cameras.json", "selftest.json", "commands.db", "custody/lock", "outbox/lock"]
    for name in names:
        (state / name).mkdir(parents=True)
    return names


def put_files_in_the_place_of_folders(state: Path) -> list[str]:
    names = ["custody", "identity", "outbox", "holds", "masks", "owner-policies", "footage"]
    for name in names:
        (state / name).write_text("no folder")
    return names


def put_loops_in_the_place_of_folders(state: Path) -> list[str]:
    names = ["custody", "identity", "outbox", "holds", "masks", "owner-policies", "footage"]
    for name in names:
        (state / name).symlink_to(name)
    return names


@pytest.mark.parametrize(
    "damage",
    [
        damage_files,
        put_folders_in_the_place_of_files,
        put_files_in_the_place_of_folders,
        put_loops_in_the_place_of_folders,
    ],
)
@pytest.mark.raises_fault("STO-08")
def test_an_agent_whose_state_is_damaged_starts_records_and_reports_it(
    tmp_path: Path, damage: Callable[[Path], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage_reporter, "SCAN_INTERVAL_S", 0.1)
    state = tmp_path / "state"
    state.mkdir()
    names = damage(state)
    agent = built(tmp_path)

    def subjects() -> set[str]:
        return {fault.subject for fault in agent.faults.active() if fault.code == "STO-08"}

    agent.start()
    try:
        assert agent.wait_until_ended(60)
        wait_until(lambda: subjects() >= set(names))
    finally:
        agent.stop()
    assert subjects() == set(names)
    receipts = [body for body in chain(state) if isinstance(body, FileQuarantined)]
    for name in names:
        assert receipts.count(FileQuarantined(camera=None, name=f"{name}.damaged")) == 1
        assert os.path.lexists(state / f"{name}.damaged")
    assert list((state / "footage" / "north").glob("*.mp4"))


def test_presets_begin_again_after_damage(tmp_path: Path) -> None:
    path = tmp_path / MAST
    preset = Preset(
        name="gate",
        pose=Pose(pan_deg=10.0, tilt_deg=-5.0),
        number=None,
        stored_time="2026-11-25T10:00:00Z",
        stored_by="anna",
    )
    PresetStore("mast", path).save(preset)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"10.0", b"18.0"))
    # Another angle would turn the masks of the preset's scene away from what they hide.
    assert PresetStore("mast", path).all() == ()
    assert unreported_path(path).exists()


def test_a_damaged_slot_state_is_in_the_log_that_becomes_receipts(tmp_path: Path) -> None:
    folder = tmp_path / rauc_backend.RAUC_STATE_DIR.relative_to("/")
    folder.mkdir(parents=True)
    (folder / "slots.json").write_bytes(msgspec.json.encode(SlotState()))
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cmdline").write_text("rauc.slot=A")
    slots = SlotsStub()
    rauc_backend.UNIT_COMMANDS["record-boot"](slots, tmp_path)  # type: ignore[arg-type]
    (entry,) = update_log.read_entries(folder)
    assert entry.action == "slots.json was damaged, and begins again"
    assert (folder / "slots.json.damaged").exists()
    rauc_backend.UNIT_COMMANDS["record-boot"](slots, tmp_path)  # type: ignore[arg-type]
    assert len(update_log.read_entries(folder)) == 1


class SlotsStub:
    """Slots whose boot has nothing to record."""

    def record_boot(self, _version: str | None, _now: str) -> None:
        return None
