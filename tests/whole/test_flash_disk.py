"""`vigie flash` onto real block devices, which are loop devices here."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.health.vitals.procfs import ProcFs
from agent.provisioning.settings import FILE_NAME
from centre.flash import select_partition, write_verify
from centre.flash.disk_image import CHUNK_BYTES
from centre.flash.disks import read_disk
from centre.flash.target import WriteTarget
from centre.flash.write_verify import Piece, VerifyFailed
from tests.whole import flash_image
from tests.whole.flash_image import MIB, SETTINGS, run_program
from tests.whole.loop_device import loop_device

Captured = pytest.CaptureFixture[str]
OVERRIDE = ("--even-if-not-removable", "--even-if-small", "--yes")


class Loop:
    """A disk whose medium is a file."""

    def __init__(self, device: Path, medium: Path) -> None:
        self.device = device
        self.medium = medium


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """A disk of 64 MB."""
    flash_image.skip_without_tools()
    medium = tmp_path / "medium"
    with medium.open("wb") as file:
        file.truncate(64 * MIB)
    with loop_device(medium) as device:
        yield Loop(device, medium)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    flash_image.skip_without_tools()
    flash_image.make_image(tmp_path / "vigie.raw")
    (tmp_path / "casa-0001.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flash(loop: Loop, *words: str) -> int:
    return main(["flash", "--settings", "casa-0001.toml", *words, "vigie.raw", str(loop.device)])


def test_a_disk_gets_the_image_the_settings_and_a_table_up_to_its_end(
    loop: Loop, bench: Path, capsys: Captured
) -> None:
    assert flash(loop, *OVERRIDE) == 0
    assert "written and read back" in capsys.readouterr().out
    on_it = select_partition.read_file(flash_image.read_select_partition(loop.medium), FILE_NAME)
    assert on_it.decode() == SETTINGS
    behind = MIB + flash_image.PARTITION_BYTES["select"]
    root = slice(behind, 24 * MIB)
    assert loop.medium.read_bytes()[root] == (bench / "vigie.raw").read_bytes()[root]
    assert "No errors detected" in run_program("sfdisk", "--verify", loop.device)


@pytest.mark.usefixtures("bench")
def test_a_built_in_or_small_disk_is_refused_with_the_name_of_the_flag(
    loop: Loop, capsys: Captured
) -> None:
    named = f"vigie: {loop.device} ({loop.medium}"[:60]
    assert flash(loop) == 2
    reported = capsys.readouterr().err
    assert reported.startswith(named)
    assert "67.1 MB, virtual): leaves 40.9 MB for footage; allowed: 4.0 GB or more" in reported
    assert "or --even-if-small" in reported
    assert flash(loop, "--even-if-small") == 2
    reported = capsys.readouterr().err
    assert "is not removable; allowed: a card, a USB disk, or a board by its USB cable" in reported
    assert "or --even-if-not-removable" in reported
    assert not loop.medium.stat().st_blocks


@pytest.mark.usefixtures("bench")
def test_without_a_terminal_the_answer_is_no(loop: Loop, capsys: Captured) -> None:
    assert flash(loop, "--even-if-not-removable", "--even-if-small") == 2
    assert "no terminal to ask at; allowed: at a terminal, or --yes" in capsys.readouterr().err
    assert not loop.medium.stat().st_blocks


@pytest.mark.usefixtures("bench")
def test_a_mounted_disk_is_refused_with_any_flags(
    loop: Loop, tmp_path: Path, capsys: Captured
) -> None:
    run_program("mkfs.ext4", "-q", loop.device)
    point = tmp_path / "a letter box"
    point.mkdir()
    # Read-only: the kernel itself writes to an ext4 that is mounted for longer.
    run_program("mount", "-o", "ro", loop.device, point)
    before = loop.medium.read_bytes()
    try:
        assert flash(loop, *OVERRIDE) == 2
    finally:
        run_program("umount", point)
    reported = capsys.readouterr().err
    assert f"{loop.device} is mounted at {point}; allowed: after umount {point}" in reported
    assert loop.medium.read_bytes() == before


@pytest.mark.usefixtures("bench")
def test_a_partition_is_refused_and_its_disk_is_named(loop: Loop, capsys: Captured) -> None:
    assert flash(loop, *OVERRIDE) == 0
    part = Path(f"{loop.device}p6")
    run_program("blockdev", "--rereadpt", loop.device)
    if not part.exists():
        pytest.skip("this kernel makes no partitions of loop devices")
    words = ["flash", "--settings", "casa-0001.toml", *OVERRIDE, "vigie.raw", str(part)]
    assert main(words) == 2
    assert f"is a partition; allowed: the whole disk, {loop.device}" in capsys.readouterr().err


@pytest.mark.usefixtures("bench")
def test_a_disk_held_by_the_kernel_alone_is_refused(loop: Loop, capsys: Captured) -> None:
    holder = os.open(loop.device, os.O_RDWR | os.O_EXCL)
    try:
        assert flash(loop, *OVERRIDE) == 2
    finally:
        os.close(holder)
    assert f"{loop.device}: in use, says the kernel" in capsys.readouterr().err


def test_the_properties_of_a_loop_device_are_read(loop: Loop) -> None:
    found = read_disk(loop.device.name, ProcFs())
    assert found is not None
    assert (found.size_bytes, found.bus) == (64 * MIB, "virtual")
    assert (found.kernel_removable, found.read_only, found.users) == (False, False, ())
    assert stat.S_ISBLK(Path(found.path).stat().st_mode)


def test_verification_reads_from_the_medium_and_not_from_the_cache(loop: Loop) -> None:
    data = os.urandom(3 * CHUNK_BYTES)
    stream = [
        Piece(offset=at, data=data[at : at + CHUNK_BYTES])
        for at in range(0, len(data), CHUNK_BYTES)
    ]
    at = CHUNK_BYTES + 77
    with WriteTarget.open_disk(loop.device) as target, loop.device.open("rb") as cached:
        written = write_verify.write_pieces(target, stream, len(data), lambda _done, _total: None)
        write_verify.read_back(target, written, len(data), lambda _done, _total: None)
        cached.seek(at)
        cached.read(1)
        with loop.medium.open("r+b") as behind:
            behind.seek(at)
            behind.write(bytes([data[at] ^ 1]))
        cached.seek(at)
        assert cached.read(1) == data[at : at + 1], "memory still gives what was written"
        with pytest.raises(VerifyFailed, match=f"between byte {CHUNK_BYTES} and {2 * CHUNK_BYTES}"):
            write_verify.read_back(target, written, len(data), lambda _done, _total: None)
