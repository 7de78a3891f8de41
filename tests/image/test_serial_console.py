"""The technician's console over the second serial port, the agent alive or dead."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.free_port import free_port
from tests.image.box_settings import BOX
from tests.image.built_image import BuiltImage
from tests.image.bundles import BundleFactory
from tests.image.disk import make_fat
from tests.image.form import not_short
from tests.image.guest import GOOD_TIMEOUT_S, Guest
from tests.image.serial_console import ANSWER_TIMEOUT_S, ConsoleCable
from tests.image.test_system import LISTENING, sockets
from tests.whole.pole_page_box import Phone, without_isolates

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
PROGRESS_INTERVAL_S = 0.5


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


@not_short
def test_a_technician_updates_the_box_from_a_phone_and_sees_the_progress(
    guest: Guest, cable: ConsoleCable, kitchen: BundleFactory, built: BuiltImage
) -> None:
    bundle = kitchen.make_bundle("good", NEW, root=kitchen.make_root(NEW), boot=built.boot)
    cable.press_enter(ANSWER_TIMEOUT_S)
    cable.log_in()
    phone = log_phone_in(guest, cable.type_line("page on"))
    sent = phone.upload_file("update_install", bundle)
    assert sent.status == 200, sent
    state, percents = follow(guest, phone, msgspec.json.decode(sent.body)["id"])
    assert (state["state"], state["requester"]) == ("done", "amina"), state
    assert f"version {NEW} is in slot B" in without_isolates("".join(state["lines"]))
    for activity, seen in percents.items():
        assert seen == sorted(seen), (activity, seen)
    assert any(len(set(seen)) > 1 for seen in percents.values()), percents
    # Root is done with it: the console removes it, which is still logged in.
    guest.wait_for("! ls /var/lib/vigie/uploads/*.raucb")
    guest.expect_boot()
    assert phone.act("reboot", {"box": BOX}).status == 200
    guest.wait_until_up()
    assert (guest.booted_slot(), guest.image_version()) == ("B", NEW)
    guest.wait_until_good()
    for reported in ("page: update from a file", f"version {NEW} installed into slot B"):
        guest.wait_for(f"grep -qs '{reported}' /var/lib/vigie/custody/*")


def follow(guest: Guest, phone: Phone, request_id: str) -> tuple[Any, dict[str, list[int]]]:
    """Read the progress until the request has ended. Return its last state, and the percents of each activity."""
    percents: dict[str, list[int]] = {}
    for _ in range(int(GOOD_TIMEOUT_S / PROGRESS_INTERVAL_S)):
        reply = phone.act("update_status")
        assert reply.status == 200, reply
        state = msgspec.json.decode(reply.body)
        if state["id"] == request_id and state["state"] not in ("waiting", "running"):
            return state, percents
        if found := re.fullmatch(r"(\w+) (\d+) %", without_isolates(state["step"])):
            percents.setdefault(found[1], []).append(int(found[2]))
        guest.run(f"sleep {PROGRESS_INTERVAL_S}")
    raise AssertionError(f"it does not end: {percents}")


def log_phone_in(guest: Guest, shown: str) -> Phone:
    """Open the link that the console has shown, from outside of the guest, as its certificate has the shown fingerprint."""
    link = re.search(r"https://(10\.0\.2\.\d+:8443)/#([a-z2-7]{26})", shown)
    fingerprint = "".join(re.findall(r"(?:[0-9A-F]{2}:){15}[0-9A-F]{2}", shown))
    assert link, shown
    port = free_port()
    added = guest.machine.qmp.run_monitor_command(f"hostfwd_add net tcp:127.0.0.1:{port}-{link[1]}")
    assert not added.strip(), added
    phone = Phone(port, fingerprint.replace(":", "").lower())
    # The box knows itself by the address at which the connection arrives.
    phone.authority = link[1]
    phone.timeout_s = ANSWER_TIMEOUT_S
    joined = phone.log_in(link[2])
    assert joined.status == 204, joined
    return phone


def stick_with(file: Path, image: Path) -> Path:
    """A stick as it is bought, FAT without partitions, and this file on it."""
    return make_fat(image, file.stat().st_size + (64 << 20), {file.name: file})
