"""`update` at the console: what is asked of root, and what the technician is told meanwhile and at the end."""

import re
from pathlib import Path
from typing import Literal

import pytest

from agent.console.commands.update import ANSWER_TIMEOUT_S
from agent.console.errors import ConsoleError
from agent.console.update_client import UpdateClient
from agent.update.request_file import UpdateAction, UpdateRequestStatus
from tests.conftest import ManualClock
from tests.pure.console_rig import ConsoleRig

STICK = "/run/media/sda1/vigie-2.0.0.raucb"
INSTALLED = "version 2.0.0 is in slot B, and is tried once, at the next reboot."
SLOTS = ("version 1.0.0 runs, from slot A", "  A  1.0.0             good  (runs, default)")
CTRL_C = b"\x03"
PAGE = (Path(__file__).parents[2] / "docs/update.md").read_text(encoding="utf-8")


def told(
    state: Literal["running", "done", "failed"],
    *lines: str,
    do: UpdateAction = "status",
    step: str = "",
    order: str = "mine",
    by: str = "amina",
) -> UpdateRequestStatus:
    return UpdateRequestStatus(
        id=order, action=do, requester=by, state=state, step=step, lines=lines
    )


@pytest.fixture
def desk(clock: ManualClock) -> ConsoleRig:
    return ConsoleRig(clock)


def test_a_firmware_may_write_bytes_of_any_kind_into_the_kernel_s_command_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "proc").mkdir()
    cmdline = tmp_path / "proc/cmdline"
    cmdline.write_bytes(b"console=tty1 name=Sal\xe9 rauc.slot=A\n")
    assert UpdateClient(tmp_path).list_bundles() == ()
    cmdline.write_bytes(b"console=tty1 name=Sal\xe9\n")
    with pytest.raises(ConsoleError, match="without an image"):
        UpdateClient(tmp_path).list_bundles()


@pytest.mark.parametrize("typed", ["update", "update status", "up"])
def test_the_slots_are_shown(desk: ConsoleRig, typed: str) -> None:
    desk.box.update_client.next_statuses = [told("done", *SLOTS)]
    screen = desk.run_logged_in(typed)
    assert "\n".join(SLOTS) in screen
    assert desk.box.update_client.requests == [("status", "amina", None)]


@pytest.mark.parametrize("word", ["", " status", " usb", " rollback", " good"])
def test_a_machine_without_slots_says_so_in_one_line(desk: ConsoleRig, word: str) -> None:
    desk.box.update_client.has_slots = False
    screen = desk.run_logged_in(f"update{word}", "casa-0001")
    assert screen.count("this system has no slots") == 1
    assert desk.box.update_client.requests == []


def test_the_bundle_on_the_stick_is_installed_and_how_far_it_is_can_be_seen(
    desk: ConsoleRig,
) -> None:
    steps = ("", "copying 10 %", "checking 50 %", "writing 99 %")
    desk.box.update_client.next_statuses = [
        *(told("running", do="install", step=step) for step in steps),
        told("done", INSTALLED, do="install"),
    ]
    screen = desk.run_logged_in("update usb", "casa-0001", silence_s=10)
    assert desk.box.update_client.requests == [("install", "amina", STICK)]
    shown = [screen.index(text) for text in (STICK, *(f"{one} ..." for one in steps[1:]))]
    assert shown == sorted(shown)
    assert f"\n{INSTALLED}\nType reboot to try it. Until then update rollback" in screen
    assert ("amina", "update usb") in desk.box.receipts


def test_it_looks_as_on_the_page(desk: ConsoleRig) -> None:
    desk.box.update_client.bundles_on_usb = ("/run/media/sda1/vigie-virt-amd64-2.0.0.raucb",)
    desk.box.update_client.next_statuses = [
        told("running", do="install", step="copying 10 %"),
        told("running", do="install", step="writing 100 %"),
        told("done", INSTALLED, do="install"),
    ]
    order = "update usb", "casa-0001"
    screen = desk.run_logged_in(*order, silence_s=5) + desk.run_logged_in("reboot", "casa-0001")
    shown = [line.rpartition("\r")[2].rstrip() for line in screen.splitlines()]
    (block,) = re.findall(r"^```text cable\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [line for line in block.splitlines() if line not in shown] == []


def test_of_several_bundles_he_says_which(desk: ConsoleRig) -> None:
    desk.box.update_client.bundles_on_usb = ("/run/media/sda1/a.raucb", "/run/media/sdb1/b.raucb")
    desk.box.update_client.next_statuses = [told("done", INSTALLED, do="install")]
    assert "'3': allowed: a number from 1 to 2" in desk.run_logged_in("update usb", "3")
    assert desk.box.update_client.requests == []
    screen = desk.run_logged_in("update usb", "2", "casa-0001")
    assert "1  /run/media/sda1/a.raucb\n2  /run/media/sdb1/b.raucb\nWhich: 2" in screen
    assert desk.box.update_client.requests == [("install", "amina", "/run/media/sdb1/b.raucb")]


def test_without_a_bundle_nothing_is_asked(desk: ConsoleRig) -> None:
    desk.box.update_client.bundles_on_usb = ()
    assert "no *.raucb on a USB disk: plug one in" in desk.run_logged_in("update usb")
    assert desk.box.update_client.requests == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [("update usb", "Nothing is installed."), ("update rollback", "Nothing is changed.")],
)
def test_what_changes_what_boots_wants_the_name_of_the_box(
    desk: ConsoleRig, typed: str, said: str
) -> None:
    assert said in desk.run_logged_in(typed, "yes")
    assert desk.box.update_client.requests == []


@pytest.mark.parametrize(
    ("typed", "do", "line"),
    [
        (("update rollback", "casa-0001"), "rollback", "slot B is not tried; slot A stays"),
        (("update good",), "mark_good", "rauc status: marked slot(s) rootfs.0 as good"),
    ],
)
def test_the_way_back_and_the_word_good_go_to_root(
    desk: ConsoleRig, typed: tuple[str, ...], do: UpdateAction, line: str
) -> None:
    desk.box.update_client.next_statuses = [told("done", line, do=do)]
    assert f"\n{line}\n" in desk.run_logged_in(*typed)
    assert desk.box.update_client.requests == [(do, "amina", None)]
    assert ("amina", typed[0]) in desk.box.receipts


@pytest.mark.parametrize("typed", ["update usb", "update rollback", "update good"])
def test_nothing_is_changed_without_a_receipt(desk: ConsoleRig, typed: str) -> None:
    desk.box.can_write_receipts = False
    assert "It is not done without a receipt." in desk.run_logged_in(typed, "casa-0001")
    assert desk.box.update_client.requests == []


def test_a_box_without_a_disk_can_still_tell_its_slots(desk: ConsoleRig) -> None:
    desk.box.can_write_receipts = False
    desk.box.update_client.next_statuses = [told("done", *SLOTS)]
    assert SLOTS[0] in desk.run_logged_in("update")


def test_what_root_refuses_is_told_with_its_reason(desk: ConsoleRig) -> None:
    why = "version 0.9.0 is older than 1.0.0, which runs"
    desk.box.update_client.next_statuses = [told("failed", why, do="install")]
    screen = desk.run_logged_in("update usb", "casa-0001")
    assert f"Not done: {why}" in screen
    assert "Type reboot" not in screen


def test_a_root_who_does_not_answer_is_not_waited_for(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in("update", silence_s=ANSWER_TIMEOUT_S + 10)
    assert "no answer within 60 s: vigie-update-request does not run" in screen
    assert desk.box.update_client.requests == [], "the order is taken back"


def test_ctrl_c_takes_back_what_was_not_begun(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in("update usb", "casa-0001", keys=CTRL_C)
    assert "Taken back: nothing was begun." in screen
    assert desk.box.update_client.requests == []


def test_ctrl_c_leaves_alone_what_goes_on(desk: ConsoleRig) -> None:
    desk.box.update_client.next_statuses = [told("running", do="install", step="writing 10 %")]
    screen = desk.run_logged_in("update usb", "casa-0001", keys=CTRL_C)
    assert "It goes on by itself: update status tells how far it is." in screen
    assert "install by amina: under way, writing 10 %" in desk.run_logged_in("update status")
    assert len(desk.box.update_client.requests) == 1


def test_who_was_cut_off_is_told_how_it_ended(desk: ConsoleRig) -> None:
    desk.box.update_client.status = told("done", INSTALLED, do="install", order="before", by="omar")
    desk.box.update_client.next_statuses = [
        desk.box.update_client.status,
        told("done", *SLOTS),
    ]
    screen = desk.run_logged_in("update", silence_s=2)
    last = f"install by omar: done: {INSTALLED}"
    assert last in " ".join(screen.split())
    assert SLOTS[0] in screen


@pytest.mark.parametrize("typed", [("update usb", "casa-0001"), ("update good",)])
def test_while_another_order_is_under_way_there_is_no_second_one(
    desk: ConsoleRig, typed: tuple[str, ...]
) -> None:
    desk.box.update_client.status = told("running", do="install", by="omar", order="his")
    assert "install by omar: under way" in desk.run_logged_in(*typed)
    assert desk.box.update_client.requests == []


@pytest.mark.parametrize("words", ["now", "usb now", "good bad"])
def test_other_words_are_told_in_one_line(desk: ConsoleRig, words: str) -> None:
    screen = desk.run_logged_in(f"update {words}")
    assert f"update {words}: allowed: status, usb, rollback, good" in screen
    assert desk.box.update_client.requests == []
