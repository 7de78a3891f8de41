"""agent.config_change.start_config: what the agent starts with: the box's file, and the centre's version on top of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.base.device_identity import DeviceIdentity
from agent.base.errors import UserError
from agent.base.state_inventory import INVENTORY_FILE, StateInventory
from agent.config.desired_config import DesiredPreset
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config_change.start_config import load_start_config
from agent.config_change.state_folder import STORED_VERSION
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import AgentStarted, ReceiptBody, ServiceAction
from tests.conftest import ManualClock
from tests.pole_config import POLE_CONFIG

CONFIG = f"""{POLE_CONFIG}[[head]]
name = "mast"
driver = "fake"
camera = "north"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "vigie.toml"
    path.write_text(CONFIG)
    return path


def keep(path: Path, layer: ConfigLayer) -> None:
    store = DesiredStore(path.parent / "state")
    store.begin(layer, "keys", "omar", "boot", 1)
    store.confirm(0, "boot")


def test_heads_get_the_presets_and_tours_of_the_version(path: Path, clock: ManualClock) -> None:
    tour = {"name": "night", "stop": [{"preset": "gate"}]}
    keep(
        path,
        ConfigLayer(
            version=1,
            by="amina",
            since="2026-11-25T10:00:00.000Z",
            settings={"head": {"mast": {"home": "gate", "tour": [tour]}}},
            presets={"mast": {"gate": DesiredPreset(pan_deg=40, tilt_deg=-5)}},
            scenes={"north": {"gate": ""}},
        ),
    )
    (head,) = load_start_config(path, clock, "boot").specs.heads
    assert (head.config.home, head.config.tour[0].name) == ("gate", "night")
    assert (head.presets["gate"].pose.pan_deg, head.presets["gate"].stored_by) == (40, "amina")


def test_a_version_with_a_wrong_tour_is_left_out_as_a_whole(path: Path, clock: ManualClock) -> None:
    half_window = {"name": "night", "begin": "22:00", "stop": [{"preset": "gate"}]}
    keep(
        path,
        ConfigLayer(
            version=1,
            settings={
                "record": {"max_age_h": 24},
                "head": {"mast": {"tour": [half_window]}},
            },
        ),
    )
    start = load_start_config(path, clock, "boot")
    assert start.layer == ConfigLayer()
    assert start.config.record.max_age_h == 72
    assert start.refusal
    assert start.refusal[0].startswith("head.mast.tour[0].end: missing")


def test_a_wrong_file_is_refused_whatever_the_version_says(path: Path, clock: ManualClock) -> None:
    keep(path, ConfigLayer(version=1))
    path.write_text(CONFIG.replace('driver = "fake"', 'driver = "none"'))
    with pytest.raises(UserError, match="driver"):
        load_start_config(path, clock, "boot")


def started(**versions: str) -> AgentStarted:
    return AgentStarted(public_key="", versions=versions, recipients=())


def action(text: str) -> ServiceAction:
    return ServiceAction(by="amina", action=text)


def box_that_ran(path: Path, clock: ManualClock, *bodies: ReceiptBody) -> Path:
    """A box whose custody log has these receipts; return its state folder."""
    state = path.parent / "state"
    identity = DeviceIdentity.load_or_create(state / "identity")
    custody = CustodyLog.open(state / "custody", "pole-17", "boot", clock, identity)
    for body in bodies:
        custody.append(body, 1)
    return state


STORED = {STORED_VERSION: "7"}
LOST_WITH_THE_INVENTORY: dict[str, tuple[tuple[ReceiptBody, ...], bool]] = {
    "a start with a version": ((started(**STORED),), True),
    "a version that came after the start": (
        (started(), action("configuration 7: on trial: scenes.north")),
        True,
    ),
    "a version whose successor was rolled back": (
        (
            started(),
            action("configuration 7: in force"),
            action("configuration 8: rolled back: not in time"),
        ),
        True,
    ),
    "a refused version": ((started(), action("configuration 7: refused: box = ")), False),
    "a start after a version that was reset": ((started(**STORED), started()), False),
    "a log whose beginning was pruned": ((action("commissioned"),), True),
    "no version": ((started(), action("commissioned")), False),
}


@pytest.mark.parametrize("name", LOST_WITH_THE_INVENTORY)
def test_a_version_that_is_lost_with_its_folder_and_the_inventory_is_missed_by_the_custody_log(
    path: Path, clock: ManualClock, name: str
) -> None:
    bodies, is_lost = LOST_WITH_THE_INVENTORY[name]
    state = box_that_ran(path, clock, *bodies)
    assert load_start_config(path, clock, "boot").layer == ConfigLayer(), "the inventory counts"
    (state / "identity" / INVENTORY_FILE).unlink()
    for _ in range(2):
        start = load_start_config(path, clock, "boot")
        assert (start.layer is None) == is_lost
        assert all((source.scene_error is not None) == is_lost for source in start.sources)
        StateInventory(state).open(DeviceIdentity.load_or_create(state / "identity"))
    DesiredStore(state).reset("omar", "2026-11-25T10:00:00.000Z")
    assert load_start_config(path, clock, "boot").layer == ConfigLayer()


def damage_log(custody: Path) -> None:
    (custody / "0000000001.chain").write_bytes(b"damaged\n")


def empty_log(custody: Path) -> None:
    (custody / "0000000001.chain").write_bytes(b"")


@pytest.mark.parametrize("harm", [damage_log, empty_log])
def test_a_custody_log_that_cannot_tell_whether_there_was_a_version_closes_the_cameras(
    path: Path, clock: ManualClock, harm: Callable[[Path], None]
) -> None:
    state = box_that_ran(path, clock, started(), action("commissioned"))
    (state / "identity" / INVENTORY_FILE).unlink()
    assert load_start_config(path, clock, "boot").layer == ConfigLayer()
    harm(state / "custody")
    assert load_start_config(path, clock, "boot").layer is None


def test_a_new_box_has_lost_no_version(path: Path, clock: ManualClock) -> None:
    state = path.parent / "state"
    DeviceIdentity.load_or_create(state / "identity")  # by the provisioning
    (state / "footage").mkdir()  # by the initramfs
    (state / "outbox").mkdir()  # by a first start that a power cut has ended
    assert load_start_config(path, clock, "boot").layer == ConfigLayer()
