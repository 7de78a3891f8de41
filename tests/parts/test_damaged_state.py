"""State files with a flipped bit, the content of another one, or no regular file in their place."""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.authority.revocation import REVOCATIONS_FILE, RevocationList, RevocationStore
from agent.base import device_identity, slot_state
from agent.base.clock import rfc3339
from agent.base.device_identity import DeviceIdentity
from agent.base.errors import UserError
from agent.base.lockout import LOCKOUT_FILE, MAX_WAIT_S, Lockout
from agent.base.model import FrameResult
from agent.base.slot_state import SlotState
from agent.base.state_file import DamagedStateFile
from agent.base.state_inventory import INVENTORY_FILE, StateInventory
from agent.commands.requester import Requester
from agent.config.commit_confirm import CommitConfirm
from agent.config.configuration import CameraConfig, InstitutionConfig
from agent.config.desired_store import DESIRED_DIR, ConfigLayer, DesiredStore
from agent.config.heads import RatedLife
from agent.detection.active_scene import FixedScene
from agent.detection.ground_watch import SAMPLES
from agent.detection.scene import Scene
from agent.faults.registry import FaultRegistry
from agent.health import flight_page, stuck_cameras
from agent.health.flight_page import FlightPage
from agent.health.flight_recorder import read_pages
from agent.health.stuck_cameras import StuckCameras
from agent.incident import record
from agent.incident.order import Addressees, IncidentOrder
from agent.incident.record import IncidentRecord, IncidentStore
from agent.pipeline.camera_ground import CameraGround
from agent.provisioning import atomic_folder
from agent.ptz.lease import FencingTokens
from agent.ptz.odometer import Odometer, Wear
from agent.ptz.preset_store import Preset, PresetStore
from agent.recording import mask_store, owner_policy
from agent.recording.mask_store import MaskingError
from agent.recording.retention.hold_store import HoldStore
from agent.update import request_file, update_log
from drivers.contracts import Pose
from drivers.media import NS_PER_S
from tests.conftest import ManualClock
from tests.pure.moving_view import street
from tests.pure.rules.street_ground import STREET_MARKS

BOOT, OTHER_BOOT = "boot-1", "boot-2"
MAX_FLIPS = 400
BEGIN = datetime(2026, 11, 25, tzinfo=UTC)
AUTHORITY = "ab" * 32
MASKS = (((0.1, 0.1), (0.4, 0.1), (0.4, 0.4)),)


class Owner(NamedTuple):
    """A part of the agent with a state file: `write` makes a valid one and returns its path, `read`
    starts that part with it, and may raise `errors`, which its caller expects.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = ()


def write_presets(folder: Path) -> Path:
    path = folder / "presets.json"
    PresetStore("mast", path).save(
        Preset(
            name="gate",
            pose=Pose(pan_deg=10.0, tilt_deg=-5.0),
            number=3,
            stored_time="2026-11-25T10:00:00Z",
            stored_by="anna",
        )
    )
    return path


def write_tokens(folder: Path) -> Path:
    FencingTokens(folder / "tokens.json")
    return folder / "tokens.json"


def write_odometer(folder: Path) -> Path:
    odometer = Odometer(folder / "odometer.json", RatedLife())
    odometer.wear = Wear(pan_deg=1.5, tilt_deg=2.0, starts=3, reversals=1)
    odometer.save(0, force=True)
    return folder / "odometer.json"


def write_lockout(folder: Path) -> Path:
    lockout = Lockout(folder, ManualClock(), BOOT)
    for _ in range(5):
        lockout.record_attempt()
    return folder / LOCKOUT_FILE


def read_lockout(folder: Path) -> None:
    for boot in (BOOT, OTHER_BOOT):
        assert Lockout(folder, ManualClock(), boot).remaining_s() <= MAX_WAIT_S


def write_stuck(folder: Path) -> Path:
    clock = ManualClock()
    clock.advance_s(86_400)
    cameras = StuckCameras(folder, folder / "run", clock, BOOT)
    for _ in range(20):
        cameras.handle_stuck("north", is_stuck=True)
        clock.advance_s(3600)
        cameras = StuckCameras(folder, folder / "run", clock, BOOT)
    return folder / stuck_cameras.FILE_NAME


def read_stuck(folder: Path) -> None:
    for boot in (BOOT, OTHER_BOOT):
        cameras = StuckCameras(folder, folder / "run", ManualClock(), boot)
        cameras.previous_reboot_reason(BOOT, "2026-11-25T10:00:00Z")
        cameras.handle_stuck("north", is_stuck=True)


def write_slots(folder: Path) -> Path:
    slot_state.write(folder, SlotState())
    return folder / "slots.json"


def write_policies(folder: Path) -> Path:
    policy = InstitutionConfig(owner="Tramway", purpose="safety", viewers=("anna",))
    camera = CameraConfig(name="tram", driver="fake", institution=policy)
    owner_policy.update(folder, folder / "footage", [camera])
    return folder / owner_policy.POLICIES_DIR / "tram.json"


def read_policies(folder: Path) -> None:
    with suppress(UserError):
        policy = owner_policy.read(folder, "tram")
        assert policy is None or policy.viewers in (("anna",), ())
    (folder / "footage" / "tram").mkdir(parents=True, exist_ok=True)
    assert owner_policy.update(folder, folder / "footage", ())["tram"].viewers in (("anna",), ())


def write_masks(folder: Path) -> Path:
    return folder / f"{mask_store.store(folder, MASKS)}.json"


def read_masks(folder: Path) -> None:
    for path in folder.glob("*.json"):
        with suppress(MaskingError):
            assert mask_store.version(mask_store.load(folder, path.stem)) == path.stem
    mask_store.set_damaged_aside(folder)
    assert mask_store.load(folder, mask_store.store(folder, MASKS))


def hold_store(folder: Path) -> HoldStore:
    return HoldStore(
        folder, ManualClock(), BOOT, lambda _t_ns: "019a4901-3c62-7d2a-9f0e-000000000001"
    )


def write_hold(folder: Path) -> Path:
    end = BEGIN + timedelta(minutes=1)
    hold_store(folder).place("north", BEGIN, end, owner="Amina", reason="case 17", days=30)
    return next(folder.glob("*.json"))


def read_holds(folder: Path) -> None:
    store = hold_store(folder)
    store.reset_for_boot()
    for hold in store.active():
        assert (hold.camera, hold.owner, hold.begin_time) == ("north", "Amina", rfc3339(BEGIN))


def write_update_log(folder: Path) -> Path:
    update_log.append_entry(folder, "amina", "update to 2.0.0")
    return folder / update_log.FILE_NAME


def write_pending_commit(folder: Path) -> Path:
    config = folder / "vigie.toml"
    config.write_text("")
    CommitConfirm(config).begin("[box]\n", "box.site", "amina", BOOT, 300)
    return next(folder.glob("vigie.toml.*pending*"))


def write_layer(folder: Path) -> Path:
    store = DesiredStore(folder)
    store.begin(ConfigLayer(version=1, scenes={"north": ""}), "scenes.north", "omar", BOOT, 300)
    return folder / DESIRED_DIR / "layer.json"


def write_commit_list(folder: Path) -> Path:
    staging = folder / atomic_folder.STAGING_DIR
    staging.mkdir()
    (staging / "new").mkdir()
    path = staging / atomic_folder._LIST_FILE
    path.write_text('{"install":["box.crt"],"remove":["old.crt"]}')
    return path


def write_revocations(folder: Path) -> Path:
    store = RevocationStore(folder)
    store.replace(AUTHORITY, RevocationList(number=3, issued=BEGIN, serials=("4d",)))
    return folder / REVOCATIONS_FILE


def read_revocations(folder: Path) -> None:
    store = RevocationStore(folder)
    assert store.numbers() in ({AUTHORITY: 3}, {})
    assert store.is_revoked(AUTHORITY, "4d") == bool(store.numbers())


def write_identity(folder: Path) -> Path:
    DeviceIdentity.load_or_create(folder)
    return folder / device_identity.KEY_FILE


def write_inventory(folder: Path) -> Path:
    read_inventory(folder)
    return folder / "identity" / INVENTORY_FILE


def read_inventory(folder: Path) -> None:
    inventory = StateInventory(folder)
    inventory.open(DeviceIdentity.load_or_create(folder / "identity"))
    inventory.add(folder / "holds" / "a.json")
    assert folder / "holds" / "a.json" in inventory.find_lost()


def write_flight(folder: Path) -> Path:
    page = FlightPage(
        number=1, kind="stopped", run="run", boot=BOOT, time="2026-11-25T10:00:00Z", samples=()
    )
    (folder / "flight.bin").write_bytes(flight_page.encode(page))
    return folder / "flight.bin"


def write_request(folder: Path) -> Path:
    request_file.submit_request(folder, "install", "amina", "/media/bundle.raucb")
    return folder / request_file.REQUEST_FILE


def write_incidents(folder: Path) -> Path:
    order = IncidentOrder(
        id="i", revision=3, issued=BEGIN, ends=BEGIN + timedelta(hours=1), to=Addressees(all=True)
    )
    IncidentStore(folder).save(
        IncidentRecord(
            order=order,
            signers=(Requester(id="amina", role="incident"),),
            phase="running",
            event="e",
            begun_boot=BOOT,
            begun_ns=1,
            begun_time="2026-11-25T10:00:00Z",
            deadline_boot=BOOT,
            deadline_ns=2,
        )
    )
    return folder / record.FILE_NAME


def read_ground(folder: Path) -> CameraGround:
    scene = {"": Scene(ground=STREET_MARKS)}
    faults = FaultRegistry(lambda: 0)
    return CameraGround(
        "north", folder, faults, scene, on_head=False, frame_size_px=None, on_change=lambda: None
    )


def write_ground(folder: Path) -> Path:
    ground = read_ground(folder)
    ground.begin_scene(FixedScene(Scene(ground=STREET_MARKS)).current())
    for second in range(SAMPLES):
        ground.on_result(
            FrameResult(
                seq=0,
                t_ns=second * NS_PER_S,
                width_px=320,
                height_px=180,
                gate_luma=street(1),
                moving_ratio=0.0,
                tracks=(),
                inference_count=0,
            )
        )
    return next(folder.glob("*.json"))


OWNERS = {
    "presets": Owner(write_presets, lambda folder: PresetStore("mast", folder / "presets.json")),
    "tokens": Owner(write_tokens, lambda folder: FencingTokens(folder / "tokens.json")),
    "odometer": Owner(
        write_odometer, lambda folder: Odometer(folder / "odometer.json", RatedLife())
    ),
    "lockout": Owner(write_lockout, read_lockout),
    "incidents": Owner(write_incidents, IncidentStore),
    "stuck cameras": Owner(write_stuck, read_stuck),
    "ground": Owner(write_ground, read_ground),
    "slots": Owner(write_slots, slot_state.read),
    "owner policies": Owner(write_policies, read_policies),
    "masks": Owner(
        write_masks,
        read_masks,
    ),
    "hold": Owner(write_hold, read_holds),
    "update log": Owner(write_update_log, update_log.read_entries),
    "commit": Owner(
        write_pending_commit,
        lambda folder: CommitConfirm(folder / "vigie.toml").undo_if_expired(1, OTHER_BOOT),
    ),
    "revocations": Owner(write_revocations, read_revocations),
    "desired configuration": Owner(
        write_layer, lambda folder: DesiredStore(folder).layer(), (DamagedStateFile,)
    ),
    "identity": Owner(write_identity, DeviceIdentity.load_or_create),
    "state inventory": Owner(write_inventory, read_inventory),
    "flight recorder": Owner(write_flight, lambda folder: read_pages(folder / "flight.bin")),
    "update request": Owner(
        write_request, lambda folder: request_file.withdraw_request(folder, "none"), (OSError,)
    ),
    "file list of a commit": Owner(write_commit_list, atomic_folder.recover, (OSError,)),
}


def read(owner: Owner, folder: Path) -> None:
    with suppress(*owner.errors):
        owner.read(folder)


def restore(folder: Path, path: Path, data: bytes) -> None:
    """Leave only this file, as an earlier damage may have been moved aside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    for aside in (*folder.rglob("*.unreadable"), *folder.rglob("*.damaged")):
        aside.rmdir() if aside.is_dir() and not aside.is_symlink() else aside.unlink()


@pytest.mark.parametrize("name", OWNERS)
def test_a_state_file_with_any_bit_flipped_stops_nothing(name: str, tmp_path: Path) -> None:
    owner, rng = OWNERS[name], random.Random(name)
    path = owner.write(tmp_path)
    data = path.read_bytes()
    bits = range(8 * len(data))
    for bit in rng.sample(bits, min(MAX_FLIPS, len(bits))):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        restore(tmp_path, path, bytes(damaged))
        read(owner, tmp_path)


@pytest.mark.parametrize("name", OWNERS)
def test_a_state_file_with_the_content_of_another_stops_nothing(name: str, tmp_path: Path) -> None:
    owner = OWNERS[name]
    (tmp_path / "own").mkdir()
    path = owner.write(tmp_path / "own")
    for number, other in enumerate(OWNERS.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        content = other.write(folder).read_bytes()
        for data in (content, content[: len(content) // 2], b"", b"[" * 100_000, b"null"):
            restore(tmp_path / "own", path, data)
            read(owner, tmp_path / "own")


@pytest.mark.parametrize("name", OWNERS)
def test_a_folder_a_loop_a_device_or_a_pipe_in_a_files_place_stops_nothing(
    name: str, tmp_path: Path
) -> None:
    owner = OWNERS[name]
    path = owner.write(tmp_path)
    data = path.read_bytes()
    for replace in (
        path.mkdir,
        lambda: path.symlink_to(path.name),
        lambda: path.symlink_to("/dev/zero"),
        lambda: os.mkfifo(path),
    ):
        restore(tmp_path, path, data)
        path.unlink()
        replace()
        read(owner, tmp_path)
