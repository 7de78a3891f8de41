"""`vigie update` on a box of files: status, install, mark, rollback; every refusal is one line."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from agent.update import custody_receipts, update_log
from agent.update.rauc import RaucClient
from agent.update.updater import Updater
from tests.updates.conftest import COMPATIBLE, BundleAuthority, UpdateBox, can_mount_verity
from tests.updates.file_server import FileServer
from tests.updates.test_rauc import tamper

NOT_MOUNTED = "Failed mounting bundle: "
"""RAUC's words, after all checks, if the kernel has no dm-verity."""
CONFIG = """
[box]
id = "casa-0001"
site = "x"
state = "state"
[broker]
url = "mqtt://127.0.0.1"
[[camera]]
name = "north"
driver = "fake"
options = {{}}
"""


@pytest.fixture
def newer(tmp_path: Path, authority: BundleAuthority) -> Path:
    return authority.make_bundle(tmp_path / "newer.raucb", "2.0.0")


def was_installed(box: UpdateBox, code: int, message: str) -> None:
    """It passed all checks; the kernel has dm-verity, or not, and then reports so itself."""
    if can_mount_verity():
        assert code == 0, message
        assert box.contains_version("B", "2.0.0")
        assert box.slots.read_selection().pending == "B"
    else:
        assert code == 1
        assert message.splitlines()[-1].startswith(f"vigie: not installed: {NOT_MOUNTED}")
        assert box.is_empty("B")


def was_refused(box: UpdateBox, code: int, message: str, why: str, wanted_code: int = 1) -> None:
    assert code == wanted_code, message
    (line,) = [line for line in message.splitlines() if line.startswith("vigie: ")]
    assert why in line
    assert "Traceback" not in message
    assert box.is_empty("B")
    assert box.slots.read_selection().pending is None
    assert not list((box.root / "data/update").glob("*.raucb"))


def test_the_status_is_printed_as_text_and_as_json(box: UpdateBox) -> None:
    box.slots.record_boot("1.0.0", "2026-11-25T02:00:00Z")
    done = box.run_vigie_update("status")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"version 1.0.0 runs, from slot A; bundles for it: {COMPATIBLE}",
        "  A  1.0.0             good  (runs, default)",
        "  B  (unknown)         no working system",
    ]
    reported = json.loads(box.run_vigie_update("status", "--json").stdout)
    assert (reported["booted"], reported["default"], reported["pending"]) == ("A", "A", None)
    assert reported["compatible"] == COMPATIBLE
    assert reported["slots"]["A"] == {"state": "good", "version": "1.0.0", "booted": True}
    assert reported["slots"]["B"] == {"state": "bad", "version": None, "booted": False}


def test_a_good_bundle_is_installed_from_a_file(box: UpdateBox, newer: Path) -> None:
    done = box.run_vigie_update("install", newer)
    was_installed(box, done.returncode, done.stdout + done.stderr)


def test_a_good_bundle_is_installed_from_an_address(
    box: UpdateBox, newer: Path, server: FileServer
) -> None:
    server.files["/new.raucb"] = newer.read_bytes()
    digest = hashlib.sha256(newer.read_bytes()).hexdigest()
    done = box.run_vigie_update("install", server.url("/new.raucb"), "--sha256", digest)
    was_installed(box, done.returncode, done.stdout + done.stderr)
    assert not list((box.root / "data/update").iterdir())


def test_a_good_bundle_is_installed_from_a_usb_disk(box: UpdateBox, newer: Path) -> None:
    stick = box.root / "run/media/stick"
    stick.mkdir(parents=True)
    newer.rename(stick / "vigie-2.0.0.raucb")
    done = box.run_vigie_update("install", "usb")
    was_installed(box, done.returncode, done.stdout + done.stderr)


@pytest.mark.parametrize("count", [0, 2])
def test_a_usb_disk_without_a_bundle_or_with_two_is_reported(
    box: UpdateBox, newer: Path, count: int
) -> None:
    for number in range(count):
        stick = box.root / f"mnt/stick{number}"
        stick.mkdir(parents=True)
        shutil.copy(newer, stick / "x.raucb")
    done = box.run_vigie_update("install", "usb")
    was_refused(box, done.returncode, done.stderr, "usb: ", 2)


@pytest.mark.parametrize(
    ("version", "compatible", "why"),
    [
        ("0.9.0", COMPATIBLE, "version 0.9.0 is older than 1.0.0, which runs"),
        ("2.0.0", "vigie-pi-arm64", f"for vigie-pi-arm64; this box is {COMPATIBLE}"),
        ("next", COMPATIBLE, "version next is older than 1.0.0"),
    ],
)
def test_a_bundle_for_another_box_is_refused_before_anything_is_written(
    box: UpdateBox,
    tmp_path: Path,
    authority: BundleAuthority,
    version: str,
    compatible: str,
    why: str,
) -> None:
    bad = authority.make_bundle(tmp_path / "bad.raucb", version, compatible=compatible)
    done = box.run_vigie_update("install", bad)
    was_refused(box, done.returncode, done.stderr, why)


def test_an_older_version_signed_as_a_downgrade_is_installed(
    box: UpdateBox, tmp_path: Path, authority: BundleAuthority
) -> None:
    meta = "[meta.vigie]\ndowngrade=yes\n"
    older = authority.make_bundle(tmp_path / "old.raucb", "0.9.0", meta=meta)
    done = box.run_vigie_update("install", older)
    assert "is older" not in done.stderr
    assert done.returncode == 0 or NOT_MOUNTED in done.stderr


def test_a_payload_that_was_tampered_with_is_found_though_its_signature_is_good(
    box: UpdateBox, newer: Path
) -> None:
    tamper(newer)
    assert box.run_rauc("info", newer).returncode == 0
    done = box.run_vigie_update("install", newer)
    was_refused(box, done.returncode, done.stderr, "the payload is not the one that was signed")


def test_another_signer_is_refused(box: UpdateBox, tmp_path: Path) -> None:
    bad = BundleAuthority(tmp_path / "other").make_bundle(tmp_path / "bad.raucb", "2.0.0")
    done = box.run_vigie_update("install", bad)
    was_refused(box, done.returncode, done.stderr, "signature verification failed")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["/nowhere.raucb"], "/nowhere.raucb: no such file"),
        (["ftp://host/x.raucb"], "'ftp://host/x.raucb': not a URL; allowed: https://"),
        (["https:///x.raucb"], "not a URL"),
        (["http://[::1"], "'http://[::1': not a URL; allowed: https://"),
        (["http://127.0.0.1:99999/x"], "'http://127.0.0.1:99999/x': not a URL"),
        (["x.raucb", "--sha256", "12"], "--sha256 '12': allowed: 64 hexadecimal digits"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(
    box: UpdateBox, words: list[str], why: str
) -> None:
    done = box.run_vigie_update("install", *words)
    was_refused(box, done.returncode, done.stderr, why, 2)


def test_a_file_that_is_not_a_bundle_is_refused(box: UpdateBox, tmp_path: Path) -> None:
    path = tmp_path / "x.raucb"
    path.write_bytes(bytes(9000))
    done = box.run_vigie_update("install", path)
    was_refused(box, done.returncode, done.stderr, "not installed: ")


def test_the_hash_of_a_file_is_compared(box: UpdateBox, newer: Path) -> None:
    done = box.run_vigie_update("install", newer, "--sha256", "0" * 64)
    was_refused(box, done.returncode, done.stderr, "its SHA-256 is ")


def installed(box: UpdateBox, version: str = "2.0.0") -> None:
    """As RAUC leaves it, without a kernel that mounts."""
    box.slots.begin_install(version)
    box.slots.set_state("B", good=False)
    box.slots.set_primary("B")


def test_an_installed_update_can_be_cancelled(box: UpdateBox) -> None:
    installed(box)
    assert "tried at the next reboot" in box.run_vigie_update("status").stdout
    done = box.run_vigie_update("rollback")
    assert (done.returncode, done.stdout) == (0, "slot B is not tried; slot A stays\n")
    assert box.slots.read_selection().pending is None


def test_a_trial_is_reported_marked_good_and_rolled_back(box: UpdateBox, newer: Path) -> None:
    box.slots.record_boot("1.0.0", "2026-11-25T02:00:00Z")
    installed(box)
    box.reboot("2.0.0")
    assert "on trial: back to slot A" in box.run_vigie_update("status").stdout
    done = box.run_vigie_update("install", newer)
    assert "this system is on trial" in done.stderr
    assert box.run_vigie_update("mark", "good").returncode == 0
    assert box.slots.read_selection().default == "B"
    done = box.run_vigie_update("rollback")
    assert done.stdout == (
        "version 1.0.0 in slot A is tried at the next reboot, and stays if it is found good\n"
    )
    box.reboot("1.0.0")
    assert box.slots.booted == "A"
    assert box.slots.is_on_trial()
    assert [entry.action for entry in update_log.read_entries(box.root / "state/rauc")] == [
        "update: the booted slot was marked good",
        f"update: rollback: {done.stdout.strip()}",
    ]


def test_a_mark_starts_the_boot_backend_once(box: UpdateBox) -> None:
    calls = box.root / "calls"
    box.write_handlers(shell_prefix=f'echo "$*" >>{calls}')
    assert box.run_vigie_update("mark", "good").stdout == "marked slot rootfs.0 as good\n"
    assert calls.read_text() == "set-state A good\n"


def test_a_rolled_back_trial_ends_with_the_next_boot(box: UpdateBox) -> None:
    installed(box)
    box.reboot("2.0.0")
    done = box.run_vigie_update("rollback")
    assert "the next boot is slot A again" in done.stdout
    box.reboot("1.0.0")
    assert box.slots.booted == "A"
    reported = box.run_vigie_update("status").stdout
    assert "version 2.0.0 fell back" in reported
    assert all(len(line) < 80 for line in reported.splitlines())


def test_a_box_without_a_previous_version_refuses_a_rollback(box: UpdateBox) -> None:
    done = box.run_vigie_update("rollback")
    was_refused(box, done.returncode, done.stderr, "nothing to roll back to")


def test_a_version_that_fell_back_is_installed_on_request(box: UpdateBox, newer: Path) -> None:
    installed(box)
    box.reboot("2.0.0")
    box.reboot("1.0.0")
    done = box.run_vigie_update("install", newer)
    was_refused(box, done.returncode, done.stderr, "allowed: --again")
    done = box.run_vigie_update("install", newer, "--again")
    was_installed(box, done.returncode, done.stdout + done.stderr)


def test_two_updates_at_once_are_refused(box: UpdateBox, newer: Path) -> None:
    with Updater(box.root, RaucClient()).exclusive():
        done = box.run_vigie_update("install", newer)
    was_refused(box, done.returncode, done.stderr, "another update is running", 2)


def test_each_update_action_becomes_one_receipt(tmp_path: Path) -> None:
    config, folder = tmp_path / "vigie.toml", tmp_path / "rauc"
    config.write_text(CONFIG.format())
    (tmp_path / "state").mkdir()
    assert custody_receipts.main(config, folder) == 0
    update_log.append_entry(folder, "amina", "update: version 2.0.0 installed into slot B")
    update_log.append_entry(folder, "feed", "update: reboot into version 2.0.0")
    assert custody_receipts.write_receipts(config, folder) == 2
    assert custody_receipts.write_receipts(config, folder) == 0
    update_log.append_entry(folder, "amina", "update: the booted slot was marked good")
    assert custody_receipts.write_receipts(config, folder) == 1
    chain = (tmp_path / "state/custody/0000000001.chain").read_text()
    assert [what in chain for what in ("slot B", "reboot into", "marked good")] == [True] * 3
    assert chain.count("\n") == 3
    assert custody_receipts.main(tmp_path / "none.toml", folder) == 1
