"""Files of the box's state that are missing at the agent's start: a fault, a receipt, and what comes back."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.app.agent import Agent
from agent.authority import revocation
from agent.authority.revocation import RevocationList, RevocationStore
from agent.base.damaged_file import MAX_LOST_FILES, read_note, unreported_path
from agent.base.errors import UserError
from agent.base.state_inventory import INVENTORY_FILE, StateInventory
from agent.commands.requester import Requester
from agent.config.configuration import CameraConfig, InstitutionConfig
from agent.config.desired_store import DESIRED_DIR, Decision, DesiredStore
from agent.incident import record
from agent.incident.order import Addressees, IncidentOrder
from agent.incident.record import IncidentRecord, IncidentStore
from agent.ptz.lease import FencingTokens
from agent.ptz.preset_store import Preset, PresetStore
from agent.recording import owner_policy
from agent.recording.custody import damage_reporter
from agent.recording.custody.chain_files import read_lines_backwards
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import (
    FileQuarantined,
    HoldPlaced,
    ReceiptBody,
    ServiceAction,
    parse_line,
)
from drivers.contracts import Pose
from tests.whole.report.reporting_box import wait_until
from tests.whole.test_agent_faults import built
from tests.whole.test_custody_log import Box

DAY = datetime(2026, 11, 25, tzinfo=UTC)
PRESET = Preset(
    name="gate",
    pose=Pose(pan_deg=10.0, tilt_deg=-5.0),
    number=None,
    stored_time="2026-11-25T10:00:00Z",
    stored_by="anna",
)


@pytest.fixture(autouse=True)
def scan_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage_reporter, "SCAN_INTERVAL_S", 0.1)


@contextmanager
def running(folder: Path) -> Iterator[Agent]:
    agent = built(folder)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


def run_once(folder: Path) -> Path:
    """A box that has run and holds footage; return its state folder."""
    with running(folder) as agent:
        assert agent.wait_until_ended(60)
    return folder / "state"


def lost(agent: Agent) -> dict[str, str]:
    return {
        fault.subject: fault.detail for fault in agent.faults.active() if fault.code == "STO-08"
    }


def bodies(state: Path) -> list[ReceiptBody]:
    """The receipts, the oldest first."""
    lines = list(read_lines_backwards(state / "custody"))
    return [parse_line(line).receipt.body for line in reversed(lines)]


def quarantined(state: Path) -> list[str]:
    return [body.name for body in bodies(state) if isinstance(body, FileQuarantined)]


def place_holds(agent: Agent, number: int) -> set[str]:
    holds = agent._archive.retention._holds._hold_store
    for minute in range(number):
        begin = DAY + timedelta(minutes=minute)
        end = begin + timedelta(seconds=30)
        holds.place("north", begin, end, owner="Amina", reason="case 17", days=30)
    ids = {hold.id for hold in holds.active()}
    wait_until(lambda: all(hold.in_custody_log for hold in holds.active()))
    return ids


@pytest.mark.parametrize("number", [3, MAX_LOST_FILES + 10])
@pytest.mark.raises_fault("STO-08")
def test_holds_whose_folder_is_gone_are_reported_and_placed_again_from_their_receipts(
    tmp_path: Path, number: int
) -> None:
    with running(tmp_path) as agent:
        ids = place_holds(agent, number)
    assert len(ids) == number
    state = tmp_path / "state"
    shutil.rmtree(state / "holds")
    names = {f"holds/{hold_id}.json" for hold_id in ids} if number == 3 else {"holds"}
    with running(tmp_path) as agent:
        wait_until(lambda: lost(agent).keys() == names)
        assert all("missing" in detail for detail in lost(agent).values())
    assert {path.stem for path in (state / "holds").glob("*.json")} == ids
    assert set(quarantined(state)) == {f"{name}.damaged" for name in names}
    with running(tmp_path) as agent:
        assert lost(agent) == {}
        assert {hold.id for hold in agent._archive.retention._holds._hold_store.active()} == ids
    assert len([body for body in bodies(state) if isinstance(body, HoldPlaced)]) == number


@pytest.mark.raises_fault("STO-08")
def test_a_hold_that_is_lost_with_its_receipt_is_reported_once(tmp_path: Path) -> None:
    with running(tmp_path) as agent:
        (hold_id,) = place_holds(agent, 1)
    state = tmp_path / "state"
    shutil.rmtree(state / "holds")
    for path in (state / "custody").glob("*.chain"):
        path.write_bytes(b"")
    with running(tmp_path) as agent:
        wait_until(lambda: f"holds/{hold_id}.json" in lost(agent))
    with running(tmp_path) as agent:
        assert lost(agent) == {}


def empty_chain(state: Path) -> None:
    for path in (state / "custody").glob("*.chain"):
        path.write_bytes(b"")


def remove_chain(state: Path) -> None:
    shutil.rmtree(state / "custody")


def cut_chain(state: Path) -> None:
    (path,) = (state / "custody").glob("*.chain")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))


@pytest.mark.parametrize("harm", [empty_chain, remove_chain, cut_chain])
@pytest.mark.raises_fault("STO-08")
def test_a_custody_log_that_has_lost_receipts_continues_after_them_with_a_fault_and_a_receipt(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    state = run_once(tmp_path)
    newest = parse_line(next(iter(read_lines_backwards(state / "custody")))).receipt.seq
    harm(state)
    with running(tmp_path) as agent:
        wait_until(lambda: any(name.startswith("custody/") for name in lost(agent)))
        ((subject, detail),) = lost(agent).items()
    first_lost = 3 if harm is cut_chain else 1
    assert subject == f"custody/{first_lost:010d}.chain"
    assert f"receipts {first_lost} to {newest} are missing" in detail
    receipts = [parse_line(line).receipt for line in read_lines_backwards(state / "custody")]
    seqs = sorted(receipt.seq for receipt in receipts if receipt.seq > first_lost)
    assert seqs[0] == newest + 1
    assert seqs == list(range(newest + 1, newest + 1 + len(seqs)))
    assert f"{subject}.damaged" in quarantined(state)
    with running(tmp_path) as agent:
        assert lost(agent) == {}


def test_two_programs_that_find_the_loss_use_no_number_twice(tmp_path: Path) -> None:
    box = Box(tmp_path)
    early = box.open()
    for number in range(3):
        early.append(ServiceAction(by="amina", action=str(number)), number)
    early.list_head()
    (box.chain / "0000000001.chain").unlink()
    late = box.open()
    seqs = [
        custody.append(ServiceAction(by="amina", action="after"), 9).seq
        for custody in (late, early, late, early)
    ]
    assert seqs == [4, 5, 6, 7]


def test_a_chain_file_that_is_emptied_at_run_time_is_noted(tmp_path: Path) -> None:
    box = Box(tmp_path)
    custody = box.open()
    for number in range(3):
        custody.append(ServiceAction(by="amina", action=str(number)), number)
    path = box.chain / "0000000001.chain"
    path.write_bytes(b"")
    assert custody.append(ServiceAction(by="amina", action="after"), 9).seq == 4
    assert read_note(unreported_path(path)) is not None
    assert custody.head().seq == 4
    assert box.open().head().seq == 4


def test_pruned_receipts_are_not_missed(tmp_path: Path) -> None:
    box = Box(tmp_path)
    custody = box.open()
    custody.append(ServiceAction(by="amina", action="first"), 1)
    path = box.chain / "0000000001.chain"
    StateInventory(tmp_path).add_present()
    assert path in StateInventory(tmp_path).listed()
    custody.unlist([path])
    assert path not in StateInventory(tmp_path).listed()


@pytest.mark.raises_fault("STO-08")
def test_an_older_file_of_the_custody_log_that_is_missing_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.recording.custody.custody_log.RECEIPTS_PER_FILE", 2)
    state = run_once(tmp_path)
    with running(tmp_path):
        pass
    first, *others = sorted((state / "custody").glob("*.chain"))
    assert others
    first.unlink()
    with running(tmp_path) as agent:
        wait_until(lambda: lost(agent).keys() == {f"custody/{first.name}"})


@pytest.mark.raises_fault("STO-08")
def test_presets_that_are_lost_or_older_are_reported_and_not_used(tmp_path: Path) -> None:
    state = run_once(tmp_path)
    path = state / "heads" / "mast" / "presets.json"

    def presets() -> PresetStore:
        return PresetStore("mast", path, inventory=StateInventory(state))

    presets().save(PRESET)
    older = path.read_bytes()
    presets().save(
        Preset(**{**{n: getattr(PRESET, n) for n in PRESET.__struct_fields__}, "name": "yard"})
    )
    for harm in (lambda: path.write_bytes(older), path.unlink):
        harm()
        with running(tmp_path) as agent:
            wait_until(lambda: "heads/mast/presets.json" in lost(agent))
        assert presets().all() == ()
        presets().save(PRESET)


def write_revocations(state: Path, number: int) -> Path:
    store = RevocationStore(state)
    store.replace("a" * 64, RevocationList(number=number, issued=DAY, serials=()))
    return revocation.state_file(state).path


def write_incident(state: Path, number: int) -> Path:
    order = IncidentOrder(
        id="i",
        revision=number,
        issued=DAY,
        ends=DAY + timedelta(hours=1),
        to=Addressees(all=True),
    )
    IncidentStore(state).save(
        IncidentRecord(
            order=order,
            signers=(Requester(id="amina", role="incident"),),
            phase="ended",
            event="e",
            begun_boot="boot",
            begun_ns=1,
            begun_time="2026-11-25T10:00:00Z",
            deadline_boot="boot",
            deadline_ns=2,
        )
    )
    return state / record.FILE_NAME


def write_tokens(state: Path, _number: int) -> Path:
    path = state / "heads" / "mast" / "tokens.json"
    FencingTokens(path, StateInventory(state))
    return path


def write_decision(state: Path, number: int) -> Path:
    DesiredStore(state).write_decision(Decision(version=number))
    return state / DESIRED_DIR / "decision.json"


@pytest.mark.parametrize("write", [write_revocations, write_incident, write_tokens, write_decision])
@pytest.mark.raises_fault("STO-08")
def test_a_listed_file_that_is_missing_or_older_is_reported_once_with_a_receipt(
    tmp_path: Path, write: Callable[[Path, int], Path]
) -> None:
    state = run_once(tmp_path)
    path = write(state, 1)
    name, older = str(path.relative_to(state)), path.read_bytes()
    write(state, 2)
    for harm in (lambda: path.write_bytes(older), path.unlink):
        harm()
        with running(tmp_path) as agent:
            wait_until(lambda: name in lost(agent))
        with running(tmp_path) as agent:
            assert lost(agent) == {}
        write(state, 3)
    assert quarantined(state) == [f"{name}.damaged"] * 2


@pytest.mark.raises_fault("STO-08")
def test_without_its_owners_policy_a_removed_cameras_footage_is_seen_by_no_viewer(
    tmp_path: Path,
) -> None:
    state = run_once(tmp_path)
    policy = InstitutionConfig(owner="Tramway", purpose="safety", viewers=("anna",))
    (state / "footage" / "tram").mkdir()
    (state / "footage" / "tram" / "1.mp4").touch()
    camera = CameraConfig(name="tram", driver="fake", institution=policy)
    owner_policy.update(state, state / "footage", [camera])
    shutil.rmtree(state / owner_policy.POLICIES_DIR)
    with running(tmp_path) as agent:
        wait_until(lambda: "owner-policies/tram.json" in lost(agent))
    with pytest.raises(UserError, match="was damaged"):
        owner_policy.check_viewer(owner_policy.read(state, "tram"), "tram", "anna")


@pytest.mark.raises_fault("STO-08")
def test_a_lost_inventory_is_reported_to_the_centre_and_made_again(tmp_path: Path) -> None:
    state = run_once(tmp_path)
    (state / "identity" / INVENTORY_FILE).unlink()
    with running(tmp_path) as agent:
        wait_until(lambda: lost(agent).keys() == {f"identity/{INVENTORY_FILE}"})
    assert f"identity/{INVENTORY_FILE}.damaged" in quarantined(state)
    with running(tmp_path) as agent:
        assert lost(agent) == {}


@pytest.mark.raises_fault("CUS-02")
def test_a_key_that_is_missing_is_reported_as_a_new_key(tmp_path: Path) -> None:
    state = run_once(tmp_path)
    shutil.rmtree(state / "identity")
    with running(tmp_path) as agent:
        faults = {fault.code: fault.detail for fault in agent.faults.active()}
    assert "missing" in faults["CUS-02"]


def test_each_head_that_is_sent_has_the_inventorys_head(tmp_path: Path) -> None:
    box = Box(tmp_path)
    custody: CustodyLog = box.open()
    custody.append(ServiceAction(by="amina", action="first"), 1)
    revisions = []
    for _ in range(2):
        head, inventory = custody.list_head()
        assert inventory is not None
        revisions.append((head.seq, inventory.revision))
    assert revisions[0] == revisions[1], "nothing has changed"
    custody.append(ServiceAction(by="amina", action="second"), 2)
    head, inventory = custody.list_head()
    assert inventory is not None
    assert (head.seq, inventory.revision) == (2, revisions[0][1] + 1)
