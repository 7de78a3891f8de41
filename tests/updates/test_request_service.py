"""agent.update.request_service: the console's requests, executed by root with the real rauc."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.base.message import decode_message
from agent.update import request_file, request_service, update_log, usb_bundle
from agent.update.rauc import RaucClient
from agent.update.request_file import UpdateAction, UpdateRequestStatus
from agent.update.updater import Updater
from tests.updates.conftest import COMPATIBLE, BundleAuthority, UpdateBox, can_mount_verity
from tests.updates.test_rauc import tamper
from tests.updates.test_update_command import NOT_MOUNTED, installed

FOLDER = "run/vigie-update"
STICK = "run/media/sda1"


@pytest.fixture
def requests(box: UpdateBox) -> Path:
    """The folder of requests, and a USB disk."""
    (box.root / STICK).mkdir(parents=True)
    folder = request_file.request_dir(box.root)
    folder.mkdir()
    return folder


def unit(box: UpdateBox, *words: str) -> int:
    """Run vigie-update-request.service and return its exit code."""
    order = [sys.executable, "-P", "-m", "agent.update.request_service", "--root", box.root, *words]
    return subprocess.run(order, env=box.environ, check=False).returncode


def done(
    box: UpdateBox, requests: Path, do: UpdateAction, bundle: str | None = None
) -> UpdateRequestStatus:
    """An order of amina's, and how it ended."""
    order = request_file.submit_request(requests, do, "amina", bundle)
    assert unit(box) == 0
    assert unit(box, "stopped") == 0
    reported = request_file.status_file(requests).read()
    assert reported is not None
    assert (reported.id, reported.action, reported.requester) == (order, do, "amina")
    assert [path.name for path in (box.root / FOLDER).iterdir()] == ["status.json"]
    return reported


def texts(status: UpdateRequestStatus) -> tuple[str, ...]:
    return tuple(str(decode_message(line)) for line in status.lines)


def story_of(box: UpdateBox) -> list[tuple[str, str]]:
    return [
        (entry.requester, entry.action)
        for entry in update_log.read_entries(box.root / "state/rauc")
    ]


def test_the_slots_are_reported(box: UpdateBox, requests: Path) -> None:
    box.slots.record_boot("1.0.0", "2026-11-25T02:00:00Z")
    reported = done(box, requests, "status")
    assert (reported.state, texts(reported)) == (
        "done",
        (
            f"version 1.0.0 runs, from slot A; bundles for it: {COMPATIBLE}",
            "  A  1.0.0             good  (runs, default)",
            "  B  (unknown)         no working system",
        ),
    )
    assert story_of(box) == []


def test_a_bundle_on_a_usb_disk_is_installed(
    box: UpdateBox, requests: Path, authority: BundleAuthority
) -> None:
    authority.make_bundle(box.root / STICK / "new.raucb", "2.0.0")
    (bundle,) = usb_bundle.find_usb_bundles(box.root)
    assert bundle == f"/{STICK}/new.raucb"
    reported = done(box, requests, "install", bundle)
    assert list((box.root / "data/update").iterdir()) == []
    if can_mount_verity():
        message = "version 2.0.0 is in slot B, and is tried once, at the next reboot."
        assert (reported.state, texts(reported)) == ("done", (message,))
        assert box.contains_version("B", "2.0.0")
        assert story_of(box) == [("amina", "update: version 2.0.0 installed into slot B")]
    else:
        assert reported.state == "failed"
        assert texts(reported)[0].startswith(NOT_MOUNTED)
        assert box.is_empty("B")


def other_board(authority: BundleAuthority, path: Path) -> None:
    authority.make_bundle(path, "2.0.0", compatible="vigie-pi-arm64")


def older(authority: BundleAuthority, path: Path) -> None:
    authority.make_bundle(path, "0.9.0")


def tampered(authority: BundleAuthority, path: Path) -> None:
    tamper(authority.make_bundle(path, "2.0.0"))


def strangers(_authority: BundleAuthority, path: Path) -> None:
    BundleAuthority(path.parent / "other").make_bundle(path, "2.0.0")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (other_board, f"for vigie-pi-arm64; this box is {COMPATIBLE}"),
        (older, "version 0.9.0 is older than 1.0.0, which runs"),
        (tampered, "the payload is not the one that was signed"),
        (strangers, "signature verification failed"),
    ],
)
def test_the_console_can_install_nothing_that_root_could_not(
    box: UpdateBox,
    requests: Path,
    authority: BundleAuthority,
    make: Callable[[BundleAuthority, Path], None],
    why: str,
) -> None:
    make(authority, box.root / STICK / "bad.raucb")
    reported = done(box, requests, "install", f"/{STICK}/bad.raucb")
    assert reported.state == "failed"
    assert why in texts(reported)[0]
    assert box.is_empty("B")
    assert list((box.root / "data/update").iterdir()) == []
    assert story_of(box) == []


def test_a_file_elsewhere_is_not_installed(
    box: UpdateBox, requests: Path, authority: BundleAuthority
) -> None:
    authority.make_bundle(box.root / "data.raucb", "2.0.0")
    reported = done(box, requests, "install", "/data.raucb")
    assert reported.state == "failed"
    assert "allowed: a file *.raucb below /media, /run/media, /mnt" in texts(reported)[0]


def test_a_pending_update_is_cancelled(box: UpdateBox, requests: Path) -> None:
    installed(box)
    reported = done(box, requests, "rollback")
    assert (reported.state, texts(reported)) == ("done", ("slot B is not tried; slot A stays",))
    assert box.slots.read_selection().pending is None
    assert story_of(box) == [("amina", "update: rollback: slot B is not tried; slot A stays")]


def test_a_version_on_trial_is_reported_and_marked_good(
    box: UpdateBox, requests: Path, authority: BundleAuthority
) -> None:
    installed(box)
    box.reboot("2.0.0")
    assert "on trial: back to slot A" in texts(done(box, requests, "status"))[1]
    authority.make_bundle(box.root / STICK / "new.raucb", "3.0.0")
    assert "on trial" in texts(done(box, requests, "install", f"/{STICK}/new.raucb"))[0]
    assert done(box, requests, "mark_good").state == "done"
    assert box.slots.read_selection().default == "B"
    assert story_of(box) == [("amina", "update: the booted slot was marked good")]


def test_a_version_that_fell_back_must_be_accepted_first(
    box: UpdateBox, requests: Path, authority: BundleAuthority
) -> None:
    installed(box)
    box.reboot("2.0.0")
    box.reboot("1.0.0")
    authority.make_bundle(box.root / STICK / "new.raucb", "2.0.0")
    reported = done(box, requests, "install", f"/{STICK}/new.raucb")
    why = "find out why first; `update good` accepts it, then try again"
    assert texts(reported) == (f"version 2.0.0 fell back here or was rolled back: {why}",)
    assert done(box, requests, "mark_good").state == "done"
    reported = done(box, requests, "install", f"/{STICK}/new.raucb")
    assert "fell back" not in texts(reported)[0]


def test_a_rolled_back_version_must_be_accepted_first(
    box: UpdateBox, requests: Path, authority: BundleAuthority
) -> None:
    box.slots.record_boot("1.0.0", "2026-11-25T02:00:00Z")
    installed(box)
    box.reboot("2.0.0")
    box.slots.set_state("B", good=True)
    assert done(box, requests, "rollback").state == "done"
    box.reboot("1.0.0")
    box.slots.set_state("A", good=True)
    authority.make_bundle(box.root / STICK / "new.raucb", "2.0.0")
    reported = done(box, requests, "install", f"/{STICK}/new.raucb")
    assert "version 2.0.0 fell back here or was rolled back" in texts(reported)[0]
    assert done(box, requests, "mark_good").state == "done"
    assert "rolled back" not in texts(done(box, requests, "install", f"/{STICK}/new.raucb"))[0]


def test_another_running_update_is_reported(box: UpdateBox, requests: Path) -> None:
    with Updater(box.root, RaucClient()).exclusive():
        reported = done(box, requests, "rollback")
    assert texts(reported) == ("another update is running; wait for its end",)


def test_a_second_request_waits_for_its_turn(box: UpdateBox, requests: Path) -> None:
    first = request_file.submit_request(requests, "status", "amina")
    with pytest.raises(FileExistsError):
        request_file.submit_request(requests, "mark_good", "omar")
    request_file.take_request(box.root / FOLDER, request_service.allowed_uids())
    second = request_file.submit_request(requests, "status", "omar")
    assert not request_file.withdraw_request(requests, first)
    assert unit(box) == 0
    reported = request_file.status_file(requests).read()
    assert reported is not None
    assert (reported.id, reported.requester) == (second, "omar")


def test_an_invalid_request_is_dropped_and_changes_nothing(box: UpdateBox, requests: Path) -> None:
    (box.root / FOLDER / "request.json").write_text('{"action": "rollback", "requester": "amina"}')
    assert unit(box) == 1
    assert unit(box) == 0, "nothing is asked for"
    assert request_file.status_file(requests).read() is None
    assert list((box.root / FOLDER).iterdir()) == []


def test_a_request_that_was_killed_has_failed(
    box: UpdateBox, requests: Path, authority: BundleAuthority
) -> None:
    authority.make_bundle(box.root / STICK / "new.raucb", "2.0.0")
    request_file.submit_request(requests, "install", "amina", f"/{STICK}/new.raucb")
    order = [sys.executable, "-P", "-m", "agent.update.request_service", "--root", str(box.root)]
    environ = {**box.environ, "PATH": f"{dying(box)}:{box.environ['PATH']}"}
    ended = subprocess.run(order, env=environ, check=False)
    assert ended.returncode == -signal.SIGKILL
    reported = request_file.status_file(requests).read()
    assert reported is not None
    assert reported.state == "running"
    assert unit(box, "stopped") == 0
    reported = request_file.status_file(requests).read()
    assert reported is not None
    assert (reported.state, texts(reported)) == (
        "failed",
        (str(request_service.INTERRUPTED_MESSAGE),),
    )


def dying(box: UpdateBox) -> Path:
    """A folder with a rauc that kills its caller."""
    folder = box.root / "dying"
    folder.mkdir()
    (folder / "rauc").write_text("#!/bin/sh\nkill -9 $PPID\n")
    (folder / "rauc").chmod(0o755)
    return folder


SLOW_PROGRAM = """#!/bin/sh
case $1 in -c) word=$3 ;; --system) word=$8 ;; *) word=$1 ;; esac
if [ "$(cat {folder}/$word 2>/dev/null | wc -l)" -lt {failures} ]; then
    echo >>{folder}/$word
    echo "Error creating proxy: Error calling StartServiceByName for de.pengutronix.rauc: Timeout was reached" >&2
    exit 1
fi
exec {program} "$@"
"""


@pytest.mark.parametrize("failures", [1, 2])
def test_one_time_out_of_the_bus_ends_no_update(
    box: UpdateBox, requests: Path, authority: BundleAuthority, failures: int
) -> None:
    authority.make_bundle(box.root / STICK / "new.raucb", "2.0.0")
    folder = box.root / "slow"
    folder.mkdir()
    for name in ("rauc", "busctl"):
        program = folder / name
        text = SLOW_PROGRAM.format(folder=folder, failures=failures, program=shutil.which(name))
        program.write_text(text)
        program.chmod(0o755)
    box.environ["PATH"] = f"{folder}:{box.environ['PATH']}"
    reported = done(box, requests, "install", f"/{STICK}/new.raucb")
    if failures == 1:
        assert {"info", "Get", "install"} <= {path.name for path in folder.iterdir()}
    assert any("Timeout was reached" in line for line in texts(reported)) == (failures > 1)


def test_a_machine_without_slots_is_reported(box: UpdateBox, requests: Path) -> None:
    request_file.submit_request(requests, "status", "amina")
    (box.root / "proc/cmdline").write_text("quiet root=/dev/vda4\n")
    assert unit(box) == 0
    reported = request_file.status_file(requests).read()
    assert reported is not None
    assert reported.state == "failed"
    assert "rauc.slot" in texts(reported)[0]


def test_a_missing_request_folder_is_a_system_error(box: UpdateBox, requests: Path) -> None:
    (box.root / FOLDER).rmdir()
    with pytest.raises(FileNotFoundError):
        request_file.submit_request(requests, "status", "amina")
    assert request_file.status_file(requests).read() is None
