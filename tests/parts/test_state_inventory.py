"""agent.base.state_inventory: each loss of a state file is found, and no power cut is taken for one."""

from pathlib import Path

import msgspec
import pytest

from agent.base.damaged_file import read_note, unreported_path
from agent.base.device_identity import DeviceIdentity
from agent.base.state_file import DamagedStateFile, StateFile
from agent.base.state_inventory import (
    INVENTORY_FILE,
    SPARE_BYTES,
    BadInventory,
    ChainEnd,
    StateInventory,
    parse_inventory,
)
from tests.parts.killed_change import kill_at_each_step

LAYER = Path("desired") / "layer.json"
HOLDS = Path("holds")


class Version(msgspec.Struct, frozen=True):
    number: int


class BoxState:
    """A state folder with a key; each `file` and `inventory` is another program's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "identity" / INVENTORY_FILE
        self.inventory().open(DeviceIdentity.load_or_create(folder / "identity"))

    def inventory(self) -> StateInventory:
        return StateInventory(self.folder)

    def file(self) -> StateFile[Version]:
        return StateFile(self.folder / LAYER, Version, inventory=self.inventory())

    def start(self) -> str | None:
        """Open the inventory as a start of the agent does; return the note of its loss."""
        identity = DeviceIdentity.load_or_create(self.folder / "identity")
        self.inventory().open(identity)
        self.inventory().add_present()
        return read_note(unreported_path(self.path))

    def place_hold(self, name: str) -> Path:
        path = self.folder / HOLDS / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        return path


@pytest.fixture
def box(tmp_path: Path) -> BoxState:
    return BoxState(tmp_path)


def test_a_file_that_was_written_and_is_missing_is_damaged(box: BoxState) -> None:
    assert box.file().read_strictly() is None
    box.file().write(Version(1))
    assert box.file().read_strictly() == Version(1)
    (box.folder / LAYER).unlink()
    with pytest.raises(DamagedStateFile, match="missing"):
        box.file().read_strictly()
    assert list(box.inventory().find_lost()) == [box.folder / LAYER]


def test_an_older_version_in_the_place_of_the_newest_one_is_damaged(box: BoxState) -> None:
    box.file().write(Version(1))
    older = (box.folder / LAYER).read_bytes()
    box.file().write(Version(2))
    (box.folder / LAYER).write_bytes(older)
    with pytest.raises(DamagedStateFile, match="not the version"):
        box.file().read_strictly()
    box.file().write(Version(3))
    assert box.file().read_strictly() == Version(3)
    (box.folder / LAYER).write_bytes(older)
    with pytest.raises(DamagedStateFile, match="not the version"):
        box.file().read_strictly()


def test_a_file_that_no_program_of_the_box_has_written_is_damaged(box: BoxState) -> None:
    StateFile(box.folder / LAYER, Version).write(Version(1))
    with pytest.raises(DamagedStateFile, match="not the version"):
        box.file().read_strictly()


def test_a_file_that_was_deleted_on_purpose_is_not_missed(box: BoxState) -> None:
    box.file().write(Version(1))
    box.file().delete()
    assert box.file().read_strictly() is None
    assert box.inventory().find_lost() == {}


def test_of_a_hold_the_presence_is_listed_until_it_is_removed(box: BoxState) -> None:
    kept, ended = (box.place_hold(name) for name in ("kept.json", "ended.json"))
    box.inventory().add(kept, ended)
    box.inventory().remove(ended)
    ended.unlink()
    kept.write_text('{"changed": true}')
    assert box.inventory().find_lost() == {}
    kept.write_text("")
    assert list(box.inventory().find_lost()) == [kept]
    kept.unlink()
    assert list(box.inventory().find_lost()) == [kept]


def test_a_hold_that_a_person_has_added_is_listed_at_the_next_start(box: BoxState) -> None:
    path = box.place_hold("by-hand.json")
    assert box.start() is None
    path.unlink()
    assert list(box.inventory().find_lost()) == [path]


def test_a_new_box_has_lost_nothing(tmp_path: Path) -> None:
    DeviceIdentity.load_or_create(tmp_path / "identity")  # by the provisioning
    box = BoxState(tmp_path)
    assert read_note(unreported_path(box.path)) is None
    assert box.start() is None


def test_a_lost_inventory_is_noted_and_made_again_from_what_is_there(box: BoxState) -> None:
    box.file().write(Version(1))
    hold = box.place_hold("a.json")
    box.path.unlink()
    assert "missing" in (box.start() or "")
    assert box.file().read_strictly() == Version(1)
    hold.unlink()
    (box.folder / LAYER).unlink()
    assert sorted(box.inventory().find_lost()) == [box.folder / LAYER, hold]


def test_a_damaged_inventory_is_set_aside_and_made_again(box: BoxState) -> None:
    box.file().write(Version(1))
    data = box.path.read_bytes()
    box.path.write_bytes(data.replace(b'"revision":1', b'"revision":9'))
    assert box.start() is None
    assert unreported_path(box.path).exists()
    (box.folder / LAYER).unlink()
    assert list(box.inventory().find_lost()) == [box.folder / LAYER]


def test_the_inventory_of_a_lost_key_still_finds_what_is_missing(box: BoxState) -> None:
    box.file().write(Version(1))
    end = ChainEnd(seq=7, sha256="0" * 64, time="", boot="", t_ns=1)
    box.inventory().list_chain_end(box.folder / "custody", end)
    (box.folder / "identity" / "box.key").write_bytes(b"damaged")
    (box.folder / LAYER).unlink()
    assert box.start() is None, "the loss of the key is reported as such"
    assert list(box.inventory().find_lost()) == [box.folder / LAYER]
    # The custody log of the key before is set aside as a whole.
    assert box.inventory().chain_end(box.folder / "custody") is None


def test_an_inventory_of_another_key_is_noted(tmp_path: Path) -> None:
    own, other = BoxState(tmp_path / "own"), BoxState(tmp_path / "other")
    own.path.write_bytes(other.path.read_bytes())
    assert "another key" in (own.start() or "")
    assert own.start() is not None
    assert parse_inventory(own.path.read_bytes()).head.revision == 2


def test_each_flipped_bit_of_the_inventory_is_found(box: BoxState) -> None:
    box.file().write(Version(1))
    box.inventory().add(box.place_hold("a.json"))
    data = box.path.read_bytes()
    good = parse_inventory(data)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            parsed = parse_inventory(bytes(damaged))
        except BadInventory:
            continue
        # A last line without its end, or with zeros, is one that a power cut has truncated.
        assert bit // 8 == len(data) - 1 or b"\0" in damaged
        assert parsed.head.revision == good.head.revision - 1


def test_a_truncated_inventory_is_that_of_its_last_whole_line(box: BoxState) -> None:
    revisions, ends = [], []
    for number in range(3):
        box.file().write(Version(number))
        revisions.append(parse_inventory(box.path.read_bytes()).head.revision)
        ends.append(len(box.path.read_bytes()))
    data = box.path.read_bytes()
    for end in range(ends[0], len(data)):
        listed = parse_inventory(data[:end])
        assert listed.valid_bytes == data.rfind(b"\n", 0, end) + 1
        # ext4 shows zeros for what was not written when the power failed.
        assert parse_inventory(data[:end] + bytes(40)).head == listed.head
    box.path.write_bytes(data[: len(data) - 5])
    box.file().write(Version(9))
    assert box.file().read_strictly() == Version(9)
    assert parse_inventory(box.path.read_bytes()).head.revision == revisions[-1] + 1


def test_lines_that_are_removed_swapped_or_repeated_are_found(box: BoxState) -> None:
    for number in range(3):
        box.file().write(Version(number))
    lines = box.path.read_bytes().splitlines(keepends=True)
    changed = (
        lines[1:],
        [lines[0], *lines[2:]],
        [lines[0], lines[2], lines[1], *lines[3:]],
        [lines[0], lines[0]],
        [],
    )
    for wrong in changed:
        with pytest.raises(BadInventory):
            parse_inventory(b"".join(wrong))


def test_a_long_inventory_is_written_again_as_one_line_with_the_same_list(box: BoxState) -> None:
    box.file().write(Version(1))
    inventory, largest = box.inventory(), 0
    hold = box.place_hold("a.json")
    for _ in range(300):
        inventory.add(hold)
        inventory.remove(hold)
        largest = max(largest, box.path.stat().st_size)
    assert SPARE_BYTES < largest < 2 * SPARE_BYTES
    assert box.path.stat().st_size < SPARE_BYTES
    listed = parse_inventory(box.path.read_bytes())
    assert list(listed.files) == [str(LAYER)]
    assert listed.head.revision > 600


def test_programs_of_a_box_see_each_others_changes(box: BoxState) -> None:
    first, second = box.inventory(), box.inventory()
    paths = [box.place_hold(f"{number}.json") for number in range(6)]
    for path in paths:
        first.add(path)
        first, second = second, first
    assert set(first.listed()) == set(second.listed()) == set(paths)


def prepare_state(folder: Path, kind: str) -> None:
    if kind != "first start":
        box = BoxState(folder)
        box.file().write(Version(1))
        box.inventory().add(box.place_hold("a.json"))


def change_state(folder: Path, kind: str) -> None:
    box = BoxState(folder)
    hold = folder / HOLDS / "b.json"
    if kind in ("first start", "write"):
        box.file().write(Version(2))
    elif kind == "place":
        hold.write_text("{}")
        box.inventory().add(hold)
    elif kind == "end":
        box.inventory().remove(folder / HOLDS / "a.json")
        (folder / HOLDS / "a.json").unlink()
    else:
        box.file().delete()


def check_state(folder: Path, kind: str) -> None:
    box = BoxState(folder)
    box.start()
    assert not unreported_path(box.path).exists(), "the inventory counts as lost"
    assert box.inventory().find_lost() == {}, "a loss that is none"
    version = box.file().read_strictly()
    allowed = {"first start": (None, 2), "delete": (1, None)}.get(kind, (1, 2))
    assert (version and version.number) in allowed, version
    for path in box.inventory().listed():
        box.inventory().end_change(path)
    for path in [*folder.glob("desired/*.json"), *folder.glob("holds/*.json")]:
        path.unlink()
        assert list(box.inventory().find_lost()) == [path], ("a loss that is missed", path)
        box.inventory().remove(path)


@pytest.mark.parametrize("kind", ["first start", "write", "place", "end", "delete"])
def test_killed_at_any_step_of_a_change_nothing_counts_as_lost_and_each_loss_after_it_is_found(
    tmp_path: Path, kind: str
) -> None:
    steps = kill_at_each_step(
        tmp_path, kind, prepare=prepare_state, change=change_state, check=check_state
    )
    assert steps > 5
