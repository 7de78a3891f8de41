"""`vigie flash` onto files: everything is checked before a byte is written, and read back after."""

from pathlib import Path

import msgspec
import pytest

from agent.__main__ import main
from agent.provisioning.settings import FILE_NAME
from centre.flash import gpt, select_partition
from centre.flash.target import WriteTarget
from tests.whole import flash_image
from tests.whole.flash_image import MIB, SETTINGS

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flash_image.skip_without_tools()
    return flash_image.make_image(tmp_path_factory.mktemp("image") / "vigie-virt-amd64.raw")


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


def flash(*words: str, image: str = "vigie-virt-amd64.raw", to: str = "card.raw") -> int:
    return main(["flash", "--settings", "casa-0001.toml", *words, image, to])


def settings_on(card: Path) -> bytes:
    return select_partition.read_file(flash_image.read_select_partition(card), FILE_NAME)


def test_a_flashed_card_contains_the_image_and_the_settings(bench: Path, capsys: Captured) -> None:
    assert flash() == 0
    card, image = bench / "card.raw", bench / "vigie-virt-amd64.raw"
    assert settings_on(card).decode() == SETTINGS
    behind = MIB + flash_image.PARTITION_BYTES["select"]
    assert card.read_bytes()[:MIB] == image.read_bytes()[:MIB]
    assert card.read_bytes()[behind:] == image.read_bytes()[behind:]
    assert flash_image.read_select_partition(card) != flash_image.read_select_partition(image)
    message = capsys.readouterr().out
    assert "settings: box casa-0001, Bd Mohammed V, reports to mqtt://centre.example" in message
    assert "for UEFI, x86-64; checksum verified" in message
    assert "card.raw: good: 26.2 MB of box casa-0001 written and read back" in message


@pytest.mark.parametrize("kind", ["zst", "xz", "gz"])
def test_a_packed_image_gives_the_same_card(bench: Path, kind: str) -> None:
    packed = flash_image.compress_image(bench / "vigie-virt-amd64.raw", kind)
    assert flash() == 0
    assert flash(image=packed.name, to="other.raw") == 0
    behind = MIB + flash_image.PARTITION_BYTES["select"]
    card, other = ((bench / name).read_bytes() for name in ("card.raw", "other.raw"))
    assert other[behind:] == card[behind:]
    assert settings_on(bench / "other.raw").decode() == SETTINGS


def test_on_a_larger_card_the_table_reaches_to_its_end(bench: Path) -> None:
    # As truncate makes it: sparse, in place of a card of that size.
    with (bench / "card.raw").open("wb") as file:
        file.truncate(64 * MIB)
    assert flash() == 0
    message = flash_image.run_program("sfdisk", "--verify", bench / "card.raw")
    assert "No errors detected" in message
    image = gpt.parse_table(
        (bench / "vigie-virt-amd64.raw").read_bytes()[: gpt.FIRST_SECTORS_BYTES]
    )
    card = gpt.parse_table((bench / "card.raw").read_bytes()[: gpt.FIRST_SECTORS_BYTES])
    assert card.partitions == image.partitions
    assert card.disk_bytes == 64 * MIB
    dumped = flash_image.run_program("sfdisk", "--dump", bench / "card.raw")
    assert f"last-lba: {64 * MIB // 512 - 34}" in dumped


def test_a_used_card_keeps_no_old_data_where_image_and_footage_begin(
    bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("centre.flash.flasher.WriteTarget", UsedBefore)
    with (bench / "card.raw").open("wb") as file:
        file.truncate(64 * MIB)
    assert flash() == 0
    card, image = ((bench / name).read_bytes() for name in ("card.raw", "vigie-virt-amd64.raw"))
    begin, end = MIB + flash_image.PARTITION_BYTES["select"], len(image) - MIB
    assert card[begin:end] == image[begin:end]
    assert not any(card[len(image) : len(image) + 4 * MIB])
    assert card[40 * MIB] == UsedBefore.FILLED, "the rest is left as it is"


class UsedBefore(WriteTarget):
    """A card that is full of what was on it."""

    FILLED = 0xA5

    def __init__(self, path: Path, handle: int, size_bytes: int) -> None:
        super().__init__(path, handle, size_bytes)
        self.write(0, bytes([self.FILLED]) * size_bytes)


@pytest.mark.parametrize("made_by", ["vigie", "truncate"])
def test_a_file_with_secrets_is_readable_by_its_owner_only(bench: Path, made_by: str) -> None:
    if made_by == "truncate":
        flash_image.run_program("truncate", "-s", "64M", bench / "card.raw")
        (bench / "card.raw").chmod(0o644)
    assert flash() == 0
    assert (bench / "card.raw").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("bench")
def test_the_json_output_describes_the_flash(capsys: Captured) -> None:
    assert flash("--json") == 0
    reported = msgspec.json.decode(capsys.readouterr().out)
    assert (reported["target"], reported["box"]) == ("card.raw", "casa-0001")
    assert reported["size_bytes"] == sum(flash_image.PARTITION_BYTES.values()) + 2 * MIB
    assert reported["write_s"] > 0


def spoil(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def damage(bench: Path) -> None:
    spoil(bench / "vigie-virt-amd64.raw", 20 * MIB)


def without_sum(bench: Path) -> None:
    (bench / "vigie-virt-amd64.raw.sha256").unlink()


def empty_sum(bench: Path) -> None:
    (bench / "vigie-virt-amd64.raw.sha256").write_text("\n")


def summed_but_spoilt_table(bench: Path) -> None:
    spoil(bench / "vigie-virt-amd64.raw", 512 + 60)
    flash_image.write_checksum(bench / "vigie-virt-amd64.raw")


def other_labels(bench: Path) -> None:
    image = bench / "vigie-virt-amd64.raw"
    flash_image.run_program("sfdisk", "--quiet", "--part-label", image, "6", "home")
    flash_image.write_checksum(image)


def put_select(bench: Path, data: bytes) -> None:
    with (bench / "vigie-virt-amd64.raw").open("r+b") as file:
        file.seek(MIB)
        file.write(data)
    flash_image.write_checksum(bench / "vigie-virt-amd64.raw")


def nothing_starts_it(bench: Path) -> None:
    put_select(
        bench, flash_image.make_fat(bench / "fat", flash_image.PARTITION_BYTES["select"], ())
    )


def no_fat(bench: Path) -> None:
    put_select(bench, bytes(flash_image.PARTITION_BYTES["select"]))


def broken_fat(bench: Path) -> None:
    data = bytearray(flash_image.read_select_partition(bench / "vigie-virt-amd64.raw"))
    data[512:] = b"\xee" * (len(data) - 512)
    put_select(bench, bytes(data))


def big_sectors(bench: Path) -> None:
    size = flash_image.PARTITION_BYTES["select"]
    put_select(bench, flash_image.make_fat(bench / "fat", size, ("autoboot.txt",), "-S", "4096"))


def too_small_for_fat32(bench: Path) -> None:
    size = flash_image.PARTITION_BYTES["select"]
    put_select(bench, flash_image.make_fat(bench / "fat", size, ("autoboot.txt",), "-F", "32"))


def cut_short(bench: Path) -> None:
    with (bench / "vigie-virt-amd64.raw").open("r+b") as file:
        file.truncate(3 * MIB)
    flash_image.write_checksum(bench / "vigie-virt-amd64.raw")


def wrong_key(bench: Path) -> None:
    (bench / "casa-0001.toml").write_text(SETTINGS.replace("site", "sight"))


def two_mistakes(bench: Path) -> None:
    (bench / "casa-0001.toml").write_text(
        SETTINGS.replace("site", "sight").replace('"fake"', '"video"')
    )


def no_settings(bench: Path) -> None:
    (bench / "casa-0001.toml").unlink()


def csi_camera(bench: Path) -> None:
    (bench / "casa-0001.toml").write_text(SETTINGS.replace('"fake"', '"csi"'))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (damage, "corrupt: its checksum differs from vigie-virt-amd64.raw.sha256"),
        (without_sum, "raw.sha256: missing, so the image cannot be checked"),
        (empty_sum, "not a checksum; allowed: the output of sha256sum"),
        (summed_but_spoilt_table, "not an image of Vigie: its partition table is corrupt"),
        (
            other_labels,
            "its partitions are 'select', 'boot_a', 'boot_b', 'root_a', 'root_b', 'home'",
        ),
        (nothing_starts_it, "not bootable: no boot loader"),
        (no_fat, "not bootable: its partition select is not FAT"),
        (broken_fat, "not bootable: mdir: "),
        (big_sectors, "its FAT has sectors of 4096 bytes; firmware needs 512"),
        (
            too_small_for_fat32,
            "its FAT32 has too few clusters, so firmware reads it as FAT16",
        ),
        (cut_short, "truncated; allowed: the whole image"),
        (wrong_key, "casa-0001.toml: box.sight"),
        (no_settings, "casa-0001.toml: No such file"),
        (csi_camera, "camera 'north': driver 'csi' needs a Raspberry Pi"),
    ],
)
def test_an_unusable_image_or_settings_file_is_refused_before_a_byte_is_written(
    bench: Path, capsys: Captured, what: object, message: str
) -> None:
    assert callable(what)
    what(bench)
    assert flash() == 2
    reported = capsys.readouterr().err
    assert message in reported
    assert all(line.startswith("vigie: ") for line in reported.splitlines())
    assert not (bench / "card.raw").exists()


def test_an_image_for_raspberry_pi_takes_its_camera_modules(bench: Path, capsys: Captured) -> None:
    csi_camera(bench)
    files = ("autoboot.txt", "a long name.txt")
    put_select(
        bench, flash_image.make_fat(bench / "fat", flash_image.PARTITION_BYTES["select"], files)
    )
    assert flash() == 0
    assert "for Raspberry Pi; checksum verified" in capsys.readouterr().out


def test_each_mistake_in_the_settings_is_one_line(bench: Path, capsys: Captured) -> None:
    two_mistakes(bench)
    assert flash() == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("vigie: casa-0001.toml: ") for line in lines)


@pytest.mark.usefixtures("bench")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vigie-virt-amd64.raw"], "target missing; allowed: a file, or "),
        ([], "image or settings missing; allowed: --settings FILE IMAGE DEVICE-OR-FILE"),
        (["vigie-virt-amd64.raw", "/dev/sdzz"], "/dev/sdzz: does not exist; allowed: a file, or "),
        (["vigie-virt-amd64.raw", "/dev/null"], "/dev/null: neither a disk nor a file"),
        (["vigie-virt-amd64.raw", "."], ".: neither a disk nor a file"),
        (["vigie-virt-amd64.raw", "dangling.raw"], "dangling.raw: a broken link"),
        (["vigie-virt-amd64.raw", "no/card.raw"], "no/card.raw: its folder does not exist"),
        (["vigie-virt-amd64.raw", "vigie-virt-amd64.raw"], "is a source of the flash"),
        (["vigie-virt-amd64.raw", "casa-0001.toml"], "is a source of the flash"),
        (
            ["vigie-virt-amd64.iso", "card.raw"],
            "allowed: an image of Vigie, .img or .raw, also with .zst, .xz, .gz",
        ),
        (["vigie.raw", "card.raw"], "vigie.raw"),
    ],
)
def test_a_wrong_argument_gives_one_line(capsys: Captured, words: list[str], message: str) -> None:
    Path("dangling.raw").symlink_to("nowhere.raw")
    assert main(["flash", "--settings", "casa-0001.toml", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_non_empty_file_is_left_unchanged(bench: Path, capsys: Captured) -> None:
    (bench / "card.raw").write_text("my letters")
    (bench / "card.raw").chmod(0o640)
    assert flash() == 2
    assert "card.raw: is not empty; allowed: " in capsys.readouterr().err
    assert (bench / "card.raw").read_text() == "my letters"
    assert (bench / "card.raw").stat().st_mode & 0o777 == 0o640


def test_an_image_without_a_checksum_is_accepted_with_a_flag_and_reported(
    bench: Path, capsys: Captured
) -> None:
    without_sum(bench)
    assert flash("--even-without-checksum") == 0
    assert "NOT CHECKED" in capsys.readouterr().out


def test_the_secrets_are_written_to_no_disk_but_the_card(
    bench: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    monkeypatch.setenv("TMPDIR", str(scratch))
    before = {path.name for path in bench.iterdir()}
    assert flash() == 0
    assert {path.name for path in bench.iterdir()} - before == {"card.raw"}
    assert not list(scratch.iterdir())
