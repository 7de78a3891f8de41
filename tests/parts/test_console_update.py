"""agent.console.commands.update: the requests to root's unit, and the progress and outcome on the screen."""

import os
import re
from pathlib import Path
from typing import Literal

import pytest

from agent.console.commands.update import ANSWER_TIMEOUT_S
from agent.update import request_file
from agent.update.request_file import UpdateAction, UpdateRequestStatus
from agent.update.usb_bundle import UPLOAD_ROOT
from tests.conftest import ManualClock
from tests.parts.console_peers import UpdateUnit
from tests.parts.console_rig import STICK, ConsoleRig

BUNDLE = f"/{STICK}/vigie-2.0.0.raucb"
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
def rig(clock: ManualClock, tmp_path: Path) -> ConsoleRig:
    return ConsoleRig(clock, tmp_path)


@pytest.fixture
def unit(rig: ConsoleRig) -> UpdateUnit:
    """Root's unit, and a bundle on a USB disk."""
    put_bundle(rig, BUNDLE)
    unit = UpdateUnit(rig.root)
    rig.line.on_read = unit.step
    return unit


def put_bundle(rig: ConsoleRig, path: str) -> None:
    file = rig.root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"a bundle")


def remove_bundle(rig: ConsoleRig) -> None:
    (rig.root / BUNDLE.lstrip("/")).unlink()


def test_the_kernel_command_line_may_contain_any_bytes(
    rig: ConsoleRig,
    unit: UpdateUnit,
) -> None:
    cmdline = rig.root / "proc/cmdline"
    cmdline.write_bytes(b"console=tty1 name=Sal\xe9 rauc.slot=A\n")
    unit.next_statuses = [told("done", *SLOTS)]
    assert SLOTS[0] in rig.run_logged_in("update")
    cmdline.write_bytes(b"console=tty1 name=Sal\xe9\n")
    assert "without an image" in rig.run_logged_in("update")


@pytest.mark.parametrize("typed", ["update", "update status", "up"])
def test_the_slots_are_shown(rig: ConsoleRig, unit: UpdateUnit, typed: str) -> None:
    unit.next_statuses = [told("done", *SLOTS)]
    screen = rig.run_logged_in(typed)
    assert "\n".join(SLOTS) in screen
    assert unit.requests == [("status", "amina", None)]


@pytest.mark.parametrize("word", ["", " status", " usb", " rollback", " good"])
def test_a_machine_without_slots_is_reported_in_one_line(
    rig: ConsoleRig, unit: UpdateUnit, word: str
) -> None:
    (rig.root / "proc/cmdline").write_text("console=tty1\n")
    screen = rig.run_logged_in(f"update{word}", "casa-0001")
    assert screen.count("without an image") == 1
    assert unit.requests == []


def test_the_bundle_on_the_usb_disk_is_installed_with_progress(
    rig: ConsoleRig,
    unit: UpdateUnit,
) -> None:
    steps = ("", "copying 10 %", "checking 50 %", "writing 99 %")
    unit.next_statuses = [
        *(told("running", do="install", step=step) for step in steps),
        told("done", INSTALLED, do="install"),
    ]
    screen = rig.run_logged_in("update usb", "casa-0001", silence_s=10)
    assert unit.requests == [("install", "amina", BUNDLE)]
    shown = [screen.index(text) for text in (BUNDLE, *(f"{one} ..." for one in steps[1:]))]
    assert shown == sorted(shown)
    assert f"\n{INSTALLED}\nType reboot to try it. Until then update rollback cancels it." in screen
    assert ("amina", "update usb") in rig.receipts


def test_the_screen_matches_the_page(rig: ConsoleRig, unit: UpdateUnit) -> None:
    remove_bundle(rig)
    put_bundle(rig, f"/{STICK}/vigie-virt-amd64-2.0.0.raucb")
    unit.next_statuses = [
        told("running", do="install", step="copying 10 %"),
        told("running", do="install", step="writing 100 %"),
        told("done", INSTALLED, do="install"),
    ]
    order = "update usb", "casa-0001"
    screen = rig.run_logged_in(*order, silence_s=5) + rig.run_logged_in("reboot", "casa-0001")
    shown = [line.rpartition("\r")[2].rstrip() for line in screen.splitlines()]
    (block,) = re.findall(r"^```text cable\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [line for line in block.splitlines() if line not in shown] == []


def test_the_technician_chooses_one_of_several_bundles(rig: ConsoleRig, unit: UpdateUnit) -> None:
    remove_bundle(rig)
    put_bundle(rig, "/run/media/sda1/a.raucb")
    put_bundle(rig, "/run/media/sdb1/b.raucb")
    unit.next_statuses = [told("done", INSTALLED, do="install")]
    assert "'3': allowed: a number from 1 to 2" in rig.run_logged_in("update usb", "3")
    assert unit.requests == []
    screen = rig.run_logged_in("update usb", "2", "casa-0001")
    assert "1  /run/media/sda1/a.raucb\n2  /run/media/sdb1/b.raucb\nWhich: 2" in screen
    assert unit.requests == [("install", "amina", "/run/media/sdb1/b.raucb")]


def test_without_a_bundle_nothing_is_requested(rig: ConsoleRig, unit: UpdateUnit) -> None:
    remove_bundle(rig)
    assert "no *.raucb on a USB disk: plug one in" in rig.run_logged_in("update usb")
    assert unit.requests == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [("update usb", "Nothing is installed."), ("update rollback", "Nothing is changed.")],
)
def test_a_change_of_the_boot_slot_requires_the_name_of_the_box(
    rig: ConsoleRig, unit: UpdateUnit, typed: str, said: str
) -> None:
    assert said in rig.run_logged_in(typed, "yes")
    assert unit.requests == []


@pytest.mark.parametrize(
    ("typed", "do", "line"),
    [
        (("update rollback", "casa-0001"), "rollback", "slot B is not tried; slot A stays"),
        (("update good",), "mark_good", "marked slot rootfs.0 as good"),
    ],
)
def test_rollback_and_mark_good_are_requested_from_root(
    rig: ConsoleRig, unit: UpdateUnit, typed: tuple[str, ...], do: UpdateAction, line: str
) -> None:
    unit.next_statuses = [told("done", line, do=do)]
    assert f"\n{line}\n" in rig.run_logged_in(*typed)
    assert unit.requests == [(do, "amina", None)]
    assert ("amina", typed[0]) in rig.receipts


@pytest.mark.parametrize("typed", ["update usb", "update rollback", "update good"])
def test_no_update_is_requested_without_a_receipt(
    rig: ConsoleRig, unit: UpdateUnit, typed: str
) -> None:
    rig.break_custody_log()
    assert "It is not done without a receipt." in rig.run_logged_in(typed, "casa-0001")
    assert unit.requests == []


def test_a_box_without_a_disk_can_still_show_its_slots(rig: ConsoleRig, unit: UpdateUnit) -> None:
    rig.break_custody_log()
    unit.next_statuses = [told("done", *SLOTS)]
    assert SLOTS[0] in rig.run_logged_in("update")


def test_a_rejection_by_root_is_shown_with_its_reason(rig: ConsoleRig, unit: UpdateUnit) -> None:
    why = "version 0.9.0 is older than 1.0.0, which runs"
    unit.next_statuses = [told("failed", why, do="install")]
    screen = rig.run_logged_in("update usb", "casa-0001")
    assert f"Not done: {why}" in screen
    assert "Type reboot" not in screen


def test_an_absent_update_service_times_out(rig: ConsoleRig, unit: UpdateUnit) -> None:
    screen = rig.run_logged_in("update", silence_s=ANSWER_TIMEOUT_S + 10)
    assert "no answer within 60 s: vigie-update-request does not run" in screen
    assert unit.requests == []
    assert not unit.waiting, "the request is withdrawn"


def test_ctrl_c_withdraws_a_waiting_request(rig: ConsoleRig, unit: UpdateUnit) -> None:
    screen = rig.run_logged_in("update usb", "casa-0001", keys=CTRL_C)
    assert "Cancelled: nothing was started." in screen
    assert unit.requests == []
    assert not unit.waiting


def test_ctrl_c_leaves_a_running_update_alone(rig: ConsoleRig, unit: UpdateUnit) -> None:
    unit.next_statuses = [told("running", do="install", step="writing 10 %")]
    screen = rig.run_logged_in("update usb", "casa-0001", keys=CTRL_C)
    assert "It continues by itself: update status shows its progress." in screen
    assert "install by amina: running, writing 10 %" in rig.run_logged_in("update status")
    assert len(unit.requests) == 1


def test_a_disconnected_technician_sees_the_outcome_later(
    rig: ConsoleRig, unit: UpdateUnit
) -> None:
    before = told("done", INSTALLED, do="install", order="before", by="omar")
    request_file.status_file(unit.folder).write(before)
    unit.next_statuses = [told("done", *SLOTS)]
    screen = rig.run_logged_in("update", silence_s=2)
    last = f"install by omar: done: {INSTALLED}"
    assert last in " ".join(screen.split())
    assert SLOTS[0] in screen


@pytest.mark.parametrize("typed", [("update usb", "casa-0001"), ("update good",)])
def test_a_second_request_is_refused_while_one_is_running(
    rig: ConsoleRig, unit: UpdateUnit, typed: tuple[str, ...]
) -> None:
    request_file.status_file(unit.folder).write(
        told("running", do="install", by="omar", order="another")
    )
    assert "install by omar: running" in rig.run_logged_in(*typed)
    assert unit.requests == []


@pytest.mark.parametrize("words", ["now", "usb now", "good bad"])
def test_invalid_arguments_are_refused_in_one_line(
    rig: ConsoleRig, unit: UpdateUnit, words: str
) -> None:
    screen = rig.run_logged_in(f"update {words}")
    assert f"update {words}: allowed:\n  update status\n  update usb\n" in screen
    assert unit.requests == []


def put_upload(rig: ConsoleRig, name: str, age_s: float) -> Path:
    """Store an upload of the page at the pole that was written some time ago."""
    path = rig.root / UPLOAD_ROOT.lstrip("/") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a bundle")
    written_s = rig.context.now().timestamp() - age_s
    os.utime(path, (written_s, written_s))
    return path


@pytest.mark.parametrize("is_logged_in", [True, False])
def test_an_upload_is_removed_once_root_is_done_with_it(
    rig: ConsoleRig, unit: UpdateUnit, is_logged_in: bool
) -> None:
    def idle() -> None:
        rig.run_logged_in(silence_s=3.0) if is_logged_in else rig.type_lines(silence_s=3.0)

    upload = put_upload(rig, "1.raucb", 3600.0)
    bundle = f"/{upload.relative_to(rig.root)}"
    request_file.submit_request(unit.folder, "install", "amina", bundle)
    rig.line.on_read = lambda: False
    idle()
    assert upload.exists()
    unit.next_statuses = [
        told("running", do="install"),
        told("done", "version 2.0.0 is in slot B", do="install"),
    ]
    unit.step()
    idle()
    assert upload.exists()
    unit.step()
    on_its_way = put_upload(rig, "2.raucb", 1.0)
    idle()
    assert not upload.exists()
    assert on_its_way.exists()
