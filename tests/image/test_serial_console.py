"""The technician's console over the second serial port, the agent alive or dead."""

import re
from pathlib import Path

import pytest

from tests.image.box_settings import BOX
from tests.image.built_image import BuiltImage
from tests.image.bundles import BundleFactory
from tests.image.disk import make_fat
from tests.image.form import not_short
from tests.image.guest import Guest
from tests.image.serial_console import ANSWER_TIMEOUT_S, ConsoleCable
from tests.image.test_system import LISTENING, sockets

pytestmark = pytest.mark.slow


def test_a_technician_sees_the_boxs_status_and_the_reason_of_a_dead_agent(
    guest: Guest, cable: ConsoleCable
) -> None:
    assert BOX in cable.press_enter(ANSWER_TIMEOUT_S)
    cable.log_in()
    status = cable.type_line("status")
    assert re.search(r"Camera north +[\d.]+ frames/s captured", status), status
    assert re.search(r"Footage north +[\d.]+ [kM]B", status), status
    # Images of the tests have no keyring of their own.
    assert "Updates: this image installs updates" in status, status
    assert "north" in cable.type_line("footage")
    checked = cable.type_line("check 7")
    assert "pass" in checked, checked
    guest.run("systemctl stop vigie-agent.service")
    assert "STOPPED in order" in cable.type_line("status")
    assert "Stopped vigie-agent.service" in cable.type_line("log")


def test_the_port_of_the_page_is_open_while_the_console_has_it_on(
    guest: Guest, cable: ConsoleCable
) -> None:
    assert listening_ports(guest) == set()
    cable.press_enter(ANSWER_TIMEOUT_S)
    cable.log_in()
    shown = cable.type_line("page on")
    assert re.search(r"https://10\.0\.2\.\d+:8443/#[a-z2-7]{26}", shown), shown
    assert listening_ports(guest) == {8443}
    cable.type_line("logout")
    guest.wait_for("! grep -qs ':20FB .* 0A ' /proc/net/tcp /proc/net/tcp6")
    assert listening_ports(guest) == set()
    guest.wait_for("! systemctl is-active vigie-page.service")


def listening_ports(guest: Guest) -> set[int]:
    """TCP ports that are open to other machines."""
    found = [*sockets(guest, "tcp"), *sockets(guest, "tcp6")]
    return {port for state, port in found if state == LISTENING}


def test_a_killed_console_is_restarted(guest: Guest, cable: ConsoleCable) -> None:
    cable.press_enter(ANSWER_TIMEOUT_S)
    unit = guest.run("systemctl list-units --plain --no-legend 'vigie-console@*' | cut -d' ' -f1")
    guest.run(f"systemctl kill --signal=KILL {unit.strip()}")
    assert BOX in cable.press_enter(ANSWER_TIMEOUT_S)


NEW = "99.0.0"


@not_short
def test_a_technician_updates_the_box_from_a_usb_disk_without_root(
    guest: Guest, cable: ConsoleCable, kitchen: BundleFactory, built: BuiltImage
) -> None:
    bundle = kitchen.make_bundle("good", NEW, root=kitchen.make_root(NEW), boot=built.boot)
    guest.machine.plug_stick(stick_with(bundle, guest.folder / "stick.img"))
    guest.wait_for("ls /dev/vigie/stick-vfat-*")
    cable.press_enter(ANSWER_TIMEOUT_S)
    cable.log_in()
    assert f"version {built.version} runs, from slot A" in cable.type_line("update")
    assert bundle.name in cable.type_line("update usb", f"Type {BOX} and press enter: $")
    message = cable.type_line(BOX)
    assert f"version {NEW} is in slot B" in message, message
    assert re.search(r"B +99\.0\.0 .*tried at the next reboot", cable.type_line("update status"))
    cable.type_line("reboot", f"Type {BOX} and press enter: $")
    guest.expect_boot()
    cable.send(BOX)
    guest.wait_until_up()
    assert (guest.booted_slot(), guest.image_version()) == ("B", NEW)
    guest.wait_until_good()
    said = guest.run("journalctl -b -1 -o cat -u vigie-reboot.service")
    assert "fail" not in said.lower()
    for reported in ("update usb", f"version {NEW} installed into slot B"):
        guest.wait_for(f"grep -qs '{reported}' /var/lib/vigie/custody/*")


def stick_with(file: Path, image: Path) -> Path:
    """A stick as it is bought, FAT without partitions, and this file on it."""
    return make_fat(image, file.stat().st_size + (64 << 20), {file.name: file})
