"""`vigie flash` onto cards that report a false size, wear out or are unplugged, and interrupted flashes."""

import signal
from pathlib import Path

import pytest

from agent.__main__ import main
from centre.flash import gpt
from centre.flash.target import WriteTarget
from tests.whole import flash_image
from tests.whole.flash_image import MIB, SETTINGS

Captured = pytest.CaptureFixture[str]
IMAGE = "vigie-virt-amd64.raw"
HALF = "it is partly written and not bootable: flash it again"
UNSAFE = (
    "its partition table could not be removed, so it may boot and must not be used: flash it again"
)


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flash_image.skip_without_tools()
    return flash_image.make_image(tmp_path_factory.mktemp("image") / IMAGE)


@pytest.fixture
def bench(image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image and settings, which is where we are."""
    for name in (image_folder.name, f"{image_folder.name}.sha256"):
        flash_image.run_program(
            "cp", "--sparse=always", image_folder.parent / name, tmp_path / name
        )
    (tmp_path / "casa-0001.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flash(image: str = IMAGE) -> int:
    return main(["flash", "--settings", "casa-0001.toml", image, "card.raw"])


def flash_onto(
    kind: type[WriteTarget], monkeypatch: pytest.MonkeyPatch, size_bytes: int = 0
) -> int:
    """Onto a card of that kind, which reports that size."""
    monkeypatch.setattr("centre.flash.flasher.WriteTarget", kind)
    if size_bytes:
        with Path("card.raw").open("wb") as file:
            file.truncate(size_bytes)
    return flash()


def test_a_packed_image_that_ends_too_early_leaves_a_card_without_a_table(
    bench: Path, capsys: Captured
) -> None:
    packed = flash_image.compress_image(bench / "vigie-virt-amd64.raw", "zst")
    with packed.open("r+b") as file:
        file.truncate(packed.stat().st_size // 2)
    flash_image.write_checksum(packed)
    assert flash(packed.name) == 1
    reported = capsys.readouterr().err
    assert "vigie-virt-amd64.raw.zst: corrupt: " in reported
    assert "card.raw: it is partly written and not bootable: flash it again" in reported
    assert_no_table(bench / "card.raw")


class WornOut(WriteTarget):
    """A card that keeps one bit as it likes."""

    AT = 12 * MIB + 77

    def write(self, offset: int, data: bytes) -> None:
        if offset <= self.AT < offset + len(data):
            changed = bytearray(data)
            changed[self.AT - offset] ^= 0x10
            data = bytes(changed)
        super().write(offset, data)


def test_one_wrong_bit_is_found(
    bench: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert flash_onto(WornOut, monkeypatch) == 1
    reported = capsys.readouterr().err
    assert f"differs from what was written between byte {12 * MIB} and {16 * MIB}" in reported
    assert "it is partly written and not bootable" in reported
    assert_no_table(bench / "card.raw")


class Wraps(WriteTarget):
    """A card of 32 MiB with a false size: data beyond wraps around to its begin."""

    REAL = 32 * MIB

    def write(self, offset: int, data: bytes) -> None:
        while data:
            at = offset % self.REAL
            size = min(len(data), self.REAL - at)
            super().write(at, data[:size])
            offset, data = offset + size, data[size:]

    def read(self, offset: int, size: int) -> bytes:
        at = offset % self.REAL
        here = super().read(at, min(size, self.REAL - at))
        return here + self.read(offset + len(here), size - len(here)) if len(here) < size else here


class Forgets(WriteTarget):
    """A card of 32 MiB with a false size: data beyond is lost."""

    REAL = 32 * MIB

    def write(self, offset: int, data: bytes) -> None:
        super().write(offset, data[: max(self.REAL - offset, 0)])


@pytest.mark.parametrize("kind", [Wraps, Forgets])
@pytest.mark.parametrize("reported_mib", [36, 48, 56, 64, 96, 128, 256])
def test_a_card_smaller_than_its_reported_size_is_found(
    bench: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[WriteTarget],
    reported_mib: int,
) -> None:
    assert flash_onto(kind, monkeypatch, reported_mib * MIB) == 1
    reported = capsys.readouterr().err
    assert "smaller than it claims" in reported
    assert HALF in reported
    assert_no_table(bench / "card.raw")


@pytest.mark.parametrize("reported_mib", [36, 48, 64, 256])
def test_no_capacity_probe_mark_is_left_on_the_card(bench: Path, reported_mib: int) -> None:
    card = bench / "card.raw"
    with card.open("wb") as file:
        file.truncate(reported_mib * MIB)
    assert flash() == 0
    data = card.read_bytes()
    table_bytes = 33 * 512
    assert not any(data[(bench / IMAGE).stat().st_size : len(data) - table_bytes])
    assert any(data[-table_bytes:])


class Struck(WriteTarget):
    """A card to which something happens, once or from then on, when it is written to or read."""

    def __init__(self, path: Path, handle: int, size_bytes: int) -> None:
        super().__init__(path, handle, size_bytes)
        self.has_table = False

    def strike(self) -> None:
        raise OSError(5, "Input/output error")

    def write(self, offset: int, data: bytes) -> None:
        super().write(offset, data)
        if offset == 0:
            self.has_table = any(data[: gpt.FIRST_SECTORS_BYTES])


class PulledOut(Struck):
    """It is pulled out while it is written."""

    gone = False

    def write(self, offset: int, data: bytes) -> None:
        self.gone |= offset >= 12 * MIB and any(data)
        if self.gone:
            self.strike()
        super().write(offset, data)


class PulledOutAtOnce(Struck):
    """It has the table of what was on it before."""

    def write(self, offset: int, data: bytes) -> None:
        self.strike()


class PulledOutWhenRead(Struck):
    """It is pulled out while what was written to it is read."""

    gone = False

    def write(self, offset: int, data: bytes) -> None:
        if self.gone:
            self.strike()
        super().write(offset, data)

    def read(self, offset: int, size: int) -> bytes:
        self.gone |= offset == 0
        if self.gone:
            self.strike()
        return super().read(offset, size)


class PulledOutAtTheEnd(PulledOutWhenRead):
    """It has its table, but it is unknown if it is as written."""

    def read(self, offset: int, size: int) -> bytes:
        return (
            super().read(offset, size) if self.has_table else WriteTarget.read(self, offset, size)
        )


class FailsAtTheEnd(Struck):
    """It has its table, and cannot be read any more."""

    def read(self, offset: int, size: int) -> bytes:
        if self.has_table:
            self.strike()
        return super().read(offset, size)


class Stopped(Struck):
    """Ctrl-C is pressed during the write."""

    def strike(self) -> None:
        raise KeyboardInterrupt

    def write(self, offset: int, data: bytes) -> None:
        if offset >= 12 * MIB and any(data):
            self.strike()
        super().write(offset, data)


class StoppedWhenRead(Struck):
    """Ctrl-C is pressed during the verification."""

    def strike(self) -> None:
        raise KeyboardInterrupt

    def read(self, offset: int, size: int) -> bytes:
        if offset == 0:
            self.strike()
        return super().read(offset, size)


class StoppedAtTheEnd(FailsAtTheEnd):
    """Ctrl-C is pressed after the table was written."""

    def strike(self) -> None:
        raise KeyboardInterrupt


class StoppedTwice(PulledOutAtTheEnd):
    """Ctrl-C is pressed after the table was written, and again."""

    def strike(self) -> None:
        raise KeyboardInterrupt


class Terminated(StoppedAtTheEnd):
    """The computer shuts down."""

    def strike(self) -> None:
        signal.raise_signal(signal.SIGTERM)


class HungUp(StoppedAtTheEnd):
    """The terminal is closed."""

    def strike(self) -> None:
        signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        (PulledOut, 1, f"Input/output error; {HALF}"),
        (PulledOutWhenRead, 1, f"Input/output error; {HALF}"),
        (FailsAtTheEnd, 1, f"Input/output error; {HALF}"),
        (Stopped, 130, f"interrupted; {HALF}"),
        (StoppedWhenRead, 130, f"interrupted; {HALF}"),
        (StoppedAtTheEnd, 130, f"interrupted; {HALF}"),
        (Terminated, 130, f"interrupted; {HALF}"),
        (HungUp, 130, f"interrupted; {HALF}"),
    ],
)
def test_any_failure_is_reported_and_leaves_no_partition_table(
    bench: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[WriteTarget],
    code: int,
    message: str,
) -> None:
    assert flash_onto(kind, monkeypatch) == code
    assert f"card.raw: {message}" in capsys.readouterr().err
    assert_no_table(bench / "card.raw")


@pytest.mark.usefixtures("bench")
@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        (PulledOutAtOnce, 1, f"Input/output error; {UNSAFE}"),
        (PulledOutAtTheEnd, 1, f"Input/output error; {UNSAFE}"),
        (StoppedTwice, 130, f"interrupted; {UNSAFE}"),
    ],
)
def test_a_card_that_may_have_a_table_is_not_reported_as_unbootable(
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[WriteTarget],
    code: int,
    message: str,
) -> None:
    assert flash_onto(kind, monkeypatch) == code
    assert f"card.raw: {message}" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("bench")
def test_the_signal_handlers_are_restored(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    assert flash() == 0
    assert signal.getsignal(number) is before


def assert_no_table(card: Path) -> None:
    data = card.read_bytes()
    assert b"EFI PART" not in data
    with pytest.raises(gpt.BadPartitionTable):
        gpt.parse_table(data[: gpt.FIRST_SECTORS_BYTES])
