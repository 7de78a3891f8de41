"""USB sticks: known when they are plugged in, mounted for a technician's command and no longer."""

from pathlib import Path

import pytest

from tests.image.box_settings import BOX
from tests.image.disk import FatPart, make_fat, run_program
from tests.image.guest import Guest
from tests.image.serial_console import ANSWER_TIMEOUT_S, ConsoleCable

pytestmark = pytest.mark.slow

KNOWN = "ls /dev/vigie/stick-vfat-sd*"
UNMOUNTED = "! findmnt -rno TARGET | grep -q ^/run/media/"
SIZE_BYTES = 256 << 20
QUESTION = f"Type {BOX} and press enter: $"


@pytest.fixture
def stick(guest: Guest) -> Path:
    """A stick as it is bought, FAT without partitions, with something that looks like a bundle."""
    bundle = guest.folder / "x.raucb"
    bundle.write_bytes(b"no bundle")
    return make_fat(guest.folder / "stick.img", SIZE_BYTES, {bundle.name: bundle})


def test_a_stick_is_mounted_read_only_for_a_command_of_a_technician(
    guest: Guest, cable: ConsoleCable, stick: Path
) -> None:
    guest.machine.plug_stick(stick)
    guest.wait_for(KNOWN)
    guest.run(UNMOUNTED)
    cable.press_enter(ANSWER_TIMEOUT_S)
    assert "Allowed before the login" in cable.type_line("update usb")
    guest.run(UNMOUNTED)
    cable.log_in()
    guest.run(UNMOUNTED)
    assert "x.raucb" in cable.type_line("update usb", QUESTION)
    options = guest.run("findmnt -rno OPTIONS,FSTYPE /run/media/sd*")
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split()[0].split(","))
    assert options.split()[1] == "vfat"
    cable.type_line("\x03")
    guest.wait_for(UNMOUNTED)


def test_a_killed_console_leaves_no_stick_mounted(
    guest: Guest, cable: ConsoleCable, stick: Path
) -> None:
    guest.machine.plug_stick(stick)
    guest.wait_for(KNOWN)
    cable.press_enter(ANSWER_TIMEOUT_S)
    cable.log_in()
    cable.type_line("update usb", QUESTION)
    guest.run("findmnt /run/media/sd*")
    guest.run("systemctl kill --signal=KILL 'vigie-console@*'")
    guest.wait_for(UNMOUNTED)
    assert guest.run("systemctl list-units --failed --plain --no-legend 'vigie-stick*'") == ""


def test_footage_is_exported_to_a_stick_that_may_be_pulled_out_then(
    guest: Guest, cable: ConsoleCable, stick: Path
) -> None:
    guest.wait_until_recording()
    guest.machine.plug_stick(stick, writable=True)
    guest.wait_for(KNOWN)
    cable.press_enter(ANSWER_TIMEOUT_S)
    cable.log_in()
    message = cable.type_line("footage export north -5m now test")
    assert "The disk may be unplugged now." in message, message
    guest.run(UNMOUNTED)
    fat = FatPart(stick)
    assert fat.check_errors() == ""
    (folder,) = (name for name in fat.list_names() if "vigie-north-" in name)
    assert any(
        "manifest.json" in name for name in fat.list_names(folder.removeprefix("::").rstrip("/"))
    )


def test_a_stick_of_another_file_system_is_not_known(guest: Guest) -> None:
    image = guest.folder / "ext4.img"
    run_program("truncate", f"--size={SIZE_BYTES}", image)
    run_program("mkfs.ext4", "-q", "-e", "panic", image)
    guest.machine.plug_stick(image)
    guest.wait_for("test -b /dev/sda")
    guest.run("udevadm settle")
    assert guest.run("ls /dev/vigie | grep stick; true") == ""
    guest.run(UNMOUNTED)
