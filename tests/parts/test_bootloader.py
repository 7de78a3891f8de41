"""agent.update.bootloader and rauc_backend: the firmware's files, written so that a power cut leaves them
old or new.
"""

import shutil
import subprocess
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from agent.update import bootloader, rauc_backend
from agent.update.bootloader import GrubBootloader, RaspberryPiBootloader
from tests.parts.test_slots import write_build_time

NAMES = st.from_regex(r"[a-z_]{1,20}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_a_block_is_read_as_it_was_written(variables: dict[str, str]) -> None:
    block = bootloader.encode_grubenv(variables)
    assert len(block) == 1024
    assert bootloader.decode_grubenv(block) == variables


@pytest.mark.skipif(shutil.which("grub-editenv") is None, reason="needs grub-common")
def test_grubs_own_tool_and_this_code_read_each_others_blocks(tmp_path: Path) -> None:
    path = tmp_path / "grubenv"
    path.write_bytes(bootloader.encode_grubenv({"default": "A", "try": "B", "odd": r"a\b =c"}))

    def tool(*words: str) -> str:
        done = subprocess.run(
            ["grub-editenv", path, *words], capture_output=True, text=True, check=True
        )
        return done.stdout

    assert tool("list").splitlines() == ["default=A", "try=B", r"odd=a\b =c"]
    tool("set", "try=", "new=1")
    assert bootloader.decode_grubenv(path.read_bytes()) == {
        "default": "A",
        "try": "",
        "odd": r"a\b =c",
        "new": "1",
    }
    tool("create")
    assert bootloader.decode_grubenv(path.read_bytes()) == {}


@pytest.mark.parametrize(
    "data",
    [b"", b"# GRUB Environment Block\n", bytes(1024), bootloader.encode_grubenv({})[:-1] + b"\xff"],
)
def test_an_invalid_block_is_reported(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"block|ASCII"):
        bootloader.decode_grubenv(data)


def test_content_beyond_the_block_size_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed: 1024 or fewer"):
        bootloader.encode_grubenv({"x": "y" * 1000})


def test_the_boot_decision_lies_within_one_sector() -> None:
    one, two = (
        bootloader.encode_grubenv({"default": a, "pending": b, "tried": b, "try": b})
        for a, b in (("A", "B"), ("B", ""))
    )
    assert one[512:] == two[512:]
    boots = [bootloader.encode_autoboot(2, 3), bootloader.encode_autoboot(3, 2)]
    assert {len(data) for data in boots} == {128}
    assert sum(a != b for a, b in zip(*boots, strict=True)) == 2


@pytest.mark.parametrize("partition", [2, 3])
def test_autoboot_selects_the_partition_to_boot(partition: int) -> None:
    data = bootloader.encode_autoboot(partition, 5 - partition)
    assert bootloader.decode_autoboot(data) == partition
    assert data.decode().split() == [
        *("[all]", "tryboot_a_b=1", f"boot_partition={partition}"),
        *("[tryboot]", f"boot_partition={5 - partition}"),
    ]


def test_the_example_of_raspberry_pis_documentation_is_parsed() -> None:
    text = b"[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
    assert bootloader.decode_autoboot(text) == 2
    assert bootloader.decode_autoboot(b"boot_partition=3\r\n") == 3


@pytest.mark.parametrize(
    "data", [b"", b"[tryboot]\nboot_partition=3\n", b"boot_partition=x", bytes(513)]
)
def test_an_empty_autoboot_file_is_reported(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"boot_partition|bytes"):
        bootloader.decode_autoboot(data)


@pytest.mark.parametrize("line", ["", "rauc.slot=C", "rauc.slot=", "rauc.slot=A rauc.slot=B"])
def test_a_system_not_booted_from_a_slot_has_no_slot(line: str) -> None:
    with pytest.raises(rauc_backend.NoSlots, match=r"rauc\.slot=A or B"):
        rauc_backend.booted_slot(f"quiet {line} ro")
    assert rauc_backend.booted_slot("quiet rauc.slot=B ro\n") == "B"


def test_the_firmware_is_recognised_by_its_files(tmp_path: Path) -> None:
    with pytest.raises(rauc_backend.NoSlots, match=r"neither grubenv nor autoboot\.txt"):
        rauc_backend.detect_bootloader(tmp_path, tmp_path)
    (tmp_path / "autoboot.txt").touch()
    assert isinstance(rauc_backend.detect_bootloader(tmp_path, tmp_path), RaspberryPiBootloader)
    (tmp_path / "grubenv").touch()
    assert isinstance(rauc_backend.detect_bootloader(tmp_path, tmp_path), GrubBootloader)


def box(tmp_path: Path) -> Path:
    for folder in ("proc", "select", "state/rauc", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/cmdline").write_text("rauc.slot=A")
    (tmp_path / "etc/os-release").write_text("ID=debian\nIMAGE_VERSION=1.2.3\n")
    (tmp_path / "select/autoboot.txt").write_bytes(bootloader.encode_autoboot(2, 3))
    write_build_time(tmp_path / "proc/device-tree", bootloader.MIN_FIRMWARE_BUILD)
    return tmp_path


def ask(root: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = rauc_backend.main(["--root", str(root), *words])
    return code, capsys.readouterr().out


def test_rauc_is_answered_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = box(tmp_path)
    assert ask(root, capsys, "record-boot") == (0, "")
    for words, message in (
        (("get-current",), "A\n"),
        (("get-primary",), "A\n"),
        (("get-state", "A"), "good\n"),
        (("get-state", "B"), "bad\n"),
        (("set-state", "B", "bad"), ""),
        (("set-primary", "B"), ""),
        (("get-primary",), "B\n"),
        (("get-state", "B"), "good\n"),
        (("set-state", "A", "good"), ""),
    ):
        assert ask(root, capsys, *words) == (0, message)
    assert rauc_backend.open_slots(root).read_state().slot("A").version == "1.2.3"
    assert ask(root, capsys, "is-on-trial") == (3, "")


@pytest.mark.parametrize(
    "words", [["get-state", "C"], ["set-state", "A", "x"], ["set-state", "A", "bad"], ["hello"]]
)
def test_an_unknown_or_forbidden_request_of_rauc_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert ask(box(tmp_path), capsys, *words) == (1, "")


def test_a_poweroff_is_not_a_failed_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = box(tmp_path)
    ask(root, capsys, "set-primary", "B")
    assert ask(root, capsys, "record-stop") == (0, "")
    assert not (root / "run/systemd/reboot-param").exists()
    assert rauc_backend.open_slots(root).read_selection().pending == "B"
    assert not rauc_backend.open_slots(root).read_selection().tried
    assert rauc_backend.open_slots(root).arm_trial()
    assert (root / "run/systemd/reboot-param").read_text() == "0 tryboot\n"
    assert rauc_backend.open_slots(root).read_selection().tried
