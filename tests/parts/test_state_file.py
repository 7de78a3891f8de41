"""agent.base.state_file: what was not written so is not read, whatever bit flips and whatever files are swapped."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from agent.base.damaged_file import is_unreported
from agent.base.state_file import DamagedStateFile, StateFile


class Position(msgspec.Struct, frozen=True):
    name: str
    pan_deg: float
    number: int | None = None


WRITABLE_ALONE = """\
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount --bind "$1/vigie" "$1/vigie"
mount -o remount,bind,rw "$1/vigie"
exec "$2" -c "$3" "$1"
"""
"""As ProtectSystem=strict and StateDirectory= leave it to a unit: the folder above is read-only."""
WRITE = """
import sys
from pathlib import Path
from agent.base.device_identity import DeviceIdentity
from tests.parts.test_state_file import GATE, position_file

folder = Path(sys.argv[1])
try:
    (folder / "probe").touch()
except OSError as error:
    print(error.strerror)
for _ in range(2):
    position_file(folder / "vigie").write(GATE)
DeviceIdentity.load_or_create(folder / "vigie")
"""
GATE = Position(name="gate", pan_deg=-41.25, number=3)


def position_file(folder: Path, label: str = "mast/presets.json") -> StateFile[Position]:
    return StateFile(folder / "presets.json", Position, label=label)


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = position_file(tmp_path / "heads" / "mast")
    assert file.read() is None
    file.write(GATE)
    assert (file.read(), file.read_strictly(), file.load()) == (GATE, GATE, GATE)


def test_a_document_is_written_where_its_own_folder_alone_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "vigie").mkdir()
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mounts of our own")
    command = [*namespace, "sh", "-c", WRITABLE_ALONE, "sh", tmp_path, sys.executable, WRITE]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Read-only file system\n", "")
    assert position_file(tmp_path / "vigie").read() == GATE


def test_each_flipped_bit_is_found(tmp_path: Path) -> None:
    file = position_file(tmp_path)
    file.write(GATE)
    data = file.path.read_bytes()
    bare = msgspec.json.encode(GATE)
    misread = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        file.path.write_bytes(damaged)
        with pytest.raises(DamagedStateFile):
            file.read_strictly()
        assert file.read() is None
    for bit in range(8 * len(bare)):
        damaged = bytearray(bare)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            misread += msgspec.json.decode(damaged, type=Position) != GATE
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    assert misread > 0.1 * 8 * len(bare), "without a checksum"
    print(f"{misread} of {8 * len(bare)} flips were read as another position")  # noqa: T201 - for -s


def test_the_file_of_another_head_is_found(tmp_path: Path) -> None:
    mast, yard = (
        position_file(tmp_path / name, f"{name}/presets.json") for name in ("mast", "yard")
    )
    mast.write(GATE)
    yard.write(msgspec.structs.replace(GATE, pan_deg=10.0))
    own = mast.path.read_bytes()
    mast.path.write_bytes(yard.path.read_bytes())
    yard.path.write_bytes(own)
    for file in (mast, yard):
        with pytest.raises(DamagedStateFile, match="checksum"):
            file.read_strictly()


def test_a_damaged_file_is_set_aside_by_its_owner_alone(tmp_path: Path) -> None:
    file = position_file(tmp_path)
    file.path.write_bytes(b"{")
    assert file.read() is None
    assert file.path.exists()
    assert file.load() is None
    assert not file.path.exists()
    assert is_unreported(file.path)
    assert file.load() is None
    file.write(GATE)
    assert file.load() == GATE
