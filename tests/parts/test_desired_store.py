"""agent.config.desired_store: versions of the centre's configuration, whole or not at all."""

from pathlib import Path

import pytest

from agent.base.state_file import DamagedStateFile
from agent.base.state_inventory import INVENTORY_FILE
from agent.config import configuration
from agent.config.desired_config import DesiredModel
from agent.config.desired_store import DESIRED_DIR, ConfigLayer, Decision, DesiredStore
from tests.parts.killed_change import kill_at_each_step
from tests.pole_config import POLE_CONFIG
from tests.whole.no_room import no_room

BOOT = "boot-1"
UNTIL_NS = 300_000_000_000
SCENE, OTHER_SCENE = "# one\n", "# other\n"
FIRST = ConfigLayer(version=1, digest="a", by="amina", scenes={"north": SCENE})
SECOND = ConfigLayer(version=2, digest="b", by="amina", scenes={"dome": {"gate": OTHER_SCENE}})


@pytest.fixture
def store(tmp_path: Path) -> DesiredStore:
    return DesiredStore(tmp_path)


def kept(store: DesiredStore, layer: ConfigLayer) -> None:
    store.begin(layer, "keys", "omar", BOOT, UNTIL_NS)
    store.confirm(0, BOOT)


def scene_texts(folder: Path) -> set[str]:
    return {path.read_text() for path in (folder / DESIRED_DIR / "scenes").iterdir()}


def test_without_a_version_the_file_counts_alone(store: DesiredStore, tmp_path: Path) -> None:
    assert store.layer() == ConfigLayer()
    assert store.decision() == Decision()
    assert store.on_agent_start(0, BOOT) is None
    assert list(tmp_path.iterdir()) == []


def test_a_version_on_trial_is_in_force_and_gone_after_a_boot(store: DesiredStore) -> None:
    kept(store, FIRST)
    store.begin(SECOND, "keys", "omar", BOOT, UNTIL_NS)
    assert store.layer() == SECOND
    assert store.previous() == FIRST
    assert store.on_agent_start(1, BOOT) is None
    rollback = store.on_agent_start(1, "boot-2")
    assert rollback is not None
    assert rollback.restored
    assert store.layer() == FIRST
    assert store.pending() is None


def test_scenes_are_files_by_their_hash_and_mended_at_a_start(
    store: DesiredStore, tmp_path: Path
) -> None:
    kept(store, FIRST)
    (path,) = (tmp_path / DESIRED_DIR / "scenes").iterdir()
    assert store.scene_files(FIRST) == {"north": str(path)}
    path.write_text("damaged")
    store.on_agent_start(0, BOOT)
    assert path.read_text() == SCENE
    path.unlink()
    store.on_agent_start(0, BOOT)
    assert path.read_text() == SCENE


def test_scenes_of_the_version_before_stay_and_older_ones_go(
    store: DesiredStore, tmp_path: Path
) -> None:
    kept(store, FIRST)
    kept(store, SECOND)
    store.on_agent_start(0, BOOT)
    assert scene_texts(tmp_path) == {SCENE, OTHER_SCENE}
    kept(store, ConfigLayer(version=3))
    store.on_agent_start(0, BOOT)
    assert scene_texts(tmp_path) == {OTHER_SCENE}


def test_cards_are_in_folders_by_their_hash_which_go_with_their_version(
    store: DesiredStore,
) -> None:
    model = DesiredModel(card='name = "own"', url="https://files.example/own", size_bytes=1)
    with_model = ConfigLayer(version=1, models={"own": model})
    kept(store, with_model)
    card = Path(store.card_files(with_model)["own"])
    assert card.read_text() == 'name = "own"'
    card.with_suffix(".tflite").write_bytes(b"x")
    card.unlink()
    store.on_agent_start(0, BOOT)
    assert card.is_file()
    for version in (2, 3):
        assert card.with_suffix(".tflite").is_file()
        kept(store, ConfigLayer(version=version))
        store.on_agent_start(0, BOOT)
    assert not card.parent.exists()


def test_a_message_names_a_scene_by_its_camera_and_preset(store: DesiredStore) -> None:
    line = f"{store.scene_files(FIRST)['north']}: mask[0]"
    assert store.name_scenes(line, FIRST) == "scenes.north: mask[0]"
    gate = store.scene_files(SECOND)["dome"]
    assert isinstance(gate, dict)
    assert store.name_scenes(f"{gate['gate']}: x", SECOND) == "scenes.dome.gate: x"


def test_a_damaged_version_is_reported_and_stays_until_another_replaces_it(
    store: DesiredStore, tmp_path: Path
) -> None:
    kept(store, FIRST)
    file = tmp_path / DESIRED_DIR / "layer.json"
    file.write_bytes(file.read_bytes().replace(b"amina", b"amine"))
    with pytest.raises(DamagedStateFile, match="checksum"):
        store.layer()
    store.on_agent_start(0, BOOT)
    store.begin(SECOND, "keys", "omar", BOOT, UNTIL_NS)
    assert store.layer() == SECOND
    store.undo()
    with pytest.raises(DamagedStateFile):
        store.layer()


def test_a_version_that_is_lost_is_damaged_until_another_replaces_it(
    store: DesiredStore, tmp_path: Path
) -> None:
    kept(store, FIRST)
    (tmp_path / DESIRED_DIR / "layer.json").unlink()
    for one in (store, DesiredStore(tmp_path)):
        one.on_agent_start(0, BOOT)
        with pytest.raises(DamagedStateFile, match="missing"):
            one.layer()
    store.begin(SECOND, "keys", "omar", BOOT, UNTIL_NS)
    assert store.layer() == SECOND
    store.undo()
    with pytest.raises(DamagedStateFile):
        store.layer()
    kept(store, SECOND)
    assert store.layer() == SECOND


def test_a_version_before_the_newest_one_in_its_place_is_damaged(
    store: DesiredStore, tmp_path: Path
) -> None:
    kept(store, FIRST)
    file = tmp_path / DESIRED_DIR / "layer.json"
    first = file.read_bytes()
    kept(store, SECOND)
    file.write_bytes(first)
    with pytest.raises(DamagedStateFile, match="not the version"):
        store.layer()


@pytest.mark.parametrize("name", ["layer.json.damaged", None])
def test_a_version_that_is_lost_with_the_state_inventory_is_missed_too(
    store: DesiredStore, tmp_path: Path, name: str | None
) -> None:
    kept(store, FIRST)
    file = tmp_path / DESIRED_DIR / "layer.json"
    if name is None:
        file.unlink()
    else:
        file.rename(file.with_name(name))
        file.with_name("layer.json.before").unlink()
    (tmp_path / "identity" / INVENTORY_FILE).unlink()
    with pytest.raises(DamagedStateFile, match="not restored"):
        store.layer()


def prepare_trial(folder: Path, _kind: str) -> None:
    kept(DesiredStore(folder), FIRST)


def end_trial(folder: Path, kind: str) -> None:
    store = DesiredStore(folder)
    store.begin(SECOND, "keys", "omar", BOOT, UNTIL_NS)
    store.undo() if kind == "undo" else store.confirm(0, BOOT)


def check_trial(folder: Path, _kind: str) -> None:
    DesiredStore(folder).on_agent_start(0, "boot-2")
    # Raises DamagedStateFile if a version counts as lost that is not.
    layer = DesiredStore(folder).layer()
    assert layer in (FIRST, SECOND)
    file = folder / DESIRED_DIR / "layer.json"
    if layer == SECOND:
        file.write_bytes((folder.parent / "before" / DESIRED_DIR / "layer.json").read_bytes())
    else:
        file.unlink()
    with pytest.raises(DamagedStateFile, match=r"missing|not the version"):
        DesiredStore(folder).layer()


@pytest.mark.parametrize("kind", ["confirm", "undo"])
def test_killed_at_any_step_of_a_trial_no_version_counts_as_lost_and_each_loss_after_it_is_found(
    tmp_path: Path, kind: str
) -> None:
    steps = kill_at_each_step(
        tmp_path, kind, prepare=prepare_trial, change=end_trial, check=check_trial
    )
    assert steps > 20


@pytest.mark.parametrize("kind", ["undo", "confirm"])
def test_a_disk_without_room_ends_a_trial_and_the_next_start_lists_its_version_alone(
    store: DesiredStore, tmp_path: Path, kind: str
) -> None:
    kept(store, FIRST)
    store.begin(SECOND, "keys", "omar", BOOT, UNTIL_NS)
    file = tmp_path / DESIRED_DIR / "layer.json"
    first, second = file.with_name("layer.json.before").read_bytes(), file.read_bytes()
    kept_layer, other = (FIRST, second) if kind == "undo" else (SECOND, first)
    if kind == "undo":
        # The version before is there already, as after a power cut in the middle.
        file.write_bytes(first)
    with no_room():
        store.undo() if kind == "undo" else store.confirm(0, BOOT)
    assert (store.layer(), store.pending()) == (kept_layer, None)
    DesiredStore(tmp_path).on_agent_start(0, BOOT)
    assert store.layer() == kept_layer
    file.write_bytes(other)
    with pytest.raises(DamagedStateFile, match="not the version"):
        store.layer()


def test_without_a_decision_the_version_in_force_was_decided(
    store: DesiredStore, tmp_path: Path
) -> None:
    kept(store, SECOND)
    store.write_decision(Decision(version=7, digest="c"))
    assert store.decision().version == 7
    (tmp_path / DESIRED_DIR / "decision.json").write_text("{}")
    assert store.decision().version == 2
    assert (tmp_path / DESIRED_DIR / "decision.json.unreadable").exists()


def test_each_program_of_the_box_loads_the_version_in_force(tmp_path: Path) -> None:
    file = tmp_path / "vigie.toml"
    file.write_text(POLE_CONFIG)
    store = DesiredStore(tmp_path / "state")
    settings = {"record": {"max_age_h": 24}, "camera": {"north": {"detect": {"fps": 5}}}}
    kept(store, ConfigLayer(version=1, settings=settings, scenes={"north": SCENE}))
    loaded = configuration.load(file)
    assert loaded.record.max_age_h == 24
    assert loaded.camera[0].detect.fps == 5
    assert loaded.camera[0].detect.scene == store.scene_files(FIRST)["north"]
    assert configuration.read_file(file).decode().record.max_age_h == 72


@pytest.mark.parametrize("change", ["name", "damage"])
def test_a_version_that_does_not_fit_the_file_is_left_out(tmp_path: Path, change: str) -> None:
    file = tmp_path / "vigie.toml"
    file.write_text(POLE_CONFIG)
    store = DesiredStore(tmp_path / "state")
    kept(store, ConfigLayer(version=1, settings={"camera": {"north": {"record": False}}}))
    assert not configuration.load(file).camera[0].record
    if change == "name":
        file.write_text(POLE_CONFIG.replace("north", "south"))
    else:
        (tmp_path / "state" / DESIRED_DIR / "layer.json").write_text("{}")
    assert configuration.load(file).camera[0].record
