"""`vigie provision` on a first boot with a card, and on every boot after."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from agent.__main__ import main
from agent.base import slot_state
from agent.base.sha256 import sha256_hex
from agent.base.slot_state import FailedTrial, SlotState
from agent.config import configuration
from agent.config.commit_confirm import CommitConfirm
from agent.reporting.mqtt import tls
from agent.update import overlay_sector
from tests.parts.test_slots import write_build_time
from tests.settings_files import (
    BOX,
    CENTRE_AUTHORITY,
    CONSOLE_SECRET,
    GOOD_SETTINGS,
    PASSWORD,
    changed_settings,
    make_key,
    to_private_pem,
)
from tests.whole.provision_tree import CHECKOUT, USER, BoxTree, temporary_tree

SECRETS = (PASSWORD, CONSOLE_SECRET)


@pytest.fixture
def tree() -> Iterator[BoxTree]:
    with temporary_tree() as tree:
        yield tree


@pytest.fixture
def box(tree: BoxTree) -> BoxTree:
    """One that is set up."""
    tree.insert_card()
    tree.run_provision()
    return tree


def request_on(card: Path) -> x509.CertificateSigningRequest:
    return x509.load_pem_x509_csr((card / f"{BOX}.csr.pem").read_bytes())


def test_a_box_without_settings_reports_it_and_has_a_network(tree: BoxTree) -> None:
    assert "VIGIE: NO SETTINGS" in tree.run_provision()
    assert tree.led_state == ("timer", "1000")
    assert tree.contents() == {}
    assert "DHCP=yes" in (tree.root / "run/systemd/network/50-vigie.network").read_text()


def test_a_file_with_nearly_the_right_name_is_named(tree: BoxTree) -> None:
    (tree.card / "vigie-settings.toml.txt").write_text(GOOD_SETTINGS)
    assert "there is vigie-settings.toml.txt: is it that?" in tree.run_provision()


def test_a_card_provisions_a_box(tree: BoxTree) -> None:
    tree.insert_card()
    reported = tree.run_provision()
    assert "VIGIE: box casa-0001 is set up" in reported
    assert "have casa-0001.csr.pem on the card signed by the centre" in reported
    loaded = configuration.load(tree.config / "vigie.toml")
    assert loaded.box.id == BOX
    assert (tree.config / "north.password").read_text() == PASSWORD
    assert (tree.config / "console.secret").read_text() == CONSOLE_SECRET
    assert (tree.root / "proc/sys/kernel/hostname").read_text() == BOX
    chrony = tree.root / "run/vigie-time/chrony.conf"
    assert "\nserver pool.ntp.org iburst\n" in chrony.read_text()
    assert chrony.stat().st_mode & 0o777 == 0o644
    assert tree.led_state == ("none [mmc0] timer", "")


def test_the_agent_starts_before_its_certificate_is_signed(
    box: BoxTree,
) -> None:
    assert tls.load_ssl_context(configuration.load(box.config / "vigie.toml").broker) is not None
    shown = x509.load_pem_x509_certificate((box.config / "box.pem").read_bytes())
    assert shown.issuer == shown.subject


def test_only_the_agents_user_reads_a_secret(box: BoxTree) -> None:
    user = pwd.getpwnam(USER)
    secret = {"box.key", "console.secret", "north.password"}
    for path in box.config.iterdir():
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (user.pw_uid, user.pw_gid)
        assert stat.S_IMODE(found.st_mode) == (0o600 if path.name in secret else 0o640), path.name
    for path in (box.state / "identity/box.key", box.state / "enrol/request.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_uid == user.pw_uid


def test_the_secrets_are_on_the_box_only(box: BoxTree) -> None:
    reported = box.all_output()
    for secret in (*SECRETS, "PRIVATE KEY"):
        assert secret not in reported
    left = tomllib.loads((box.card / "vigie-settings.toml").read_text())
    assert left["secrets"] == {"console.secret": "", "north.password": ""}
    assert left["camera"] == tomllib.loads(GOOD_SETTINGS)["camera"]


def test_the_old_bytes_of_the_secrets_are_overwritten(tree: BoxTree) -> None:
    tree.insert_card()
    with (tree.card / "vigie-settings.toml").open("rb") as as_it_was:
        tree.run_provision()
        assert as_it_was.read() == bytes(len(GOOD_SETTINGS.encode()))


def test_the_request_on_the_card_is_for_the_key_that_the_box_keeps(box: BoxTree) -> None:
    request = request_on(box.card)
    assert request.is_signature_valid
    (name,) = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == BOX
    mine = serialization.load_pem_private_key((box.config / "box.key").read_bytes(), None)
    assert request.public_key() == mine.public_key()


def test_a_boot_with_the_same_card_changes_and_reports_nothing(box: BoxTree) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in (*box.config.iterdir(), *box.card.iterdir())
    }
    shutil.rmtree(box.root / "run/systemd")
    shutil.rmtree(box.root / "run/vigie-time")
    assert box.run_provision() == ""
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "DHCP=yes" in (box.root / "run/systemd/network/50-vigie.network").read_text()
    assert "pool.ntp.org" in (box.root / "run/vigie-time/chrony.conf").read_text()


def test_authenticated_time_servers_have_the_settings_authority(tree: BoxTree) -> None:
    time = {"servers": ["nts.example"], "nts": True, "ca": "time.pem"}
    tree.insert_card(changed_settings(time=time, files={"time.pem": CENTRE_AUTHORITY.pem}))
    tree.run_provision()
    runtime = tree.root / "run/vigie-time"
    assert "server nts.example iburst nts" in (runtime / "chrony.conf").read_text()
    assert (runtime / "ca.pem").read_text() == CENTRE_AUTHORITY.pem
    assert (runtime / "ca.pem").stat().st_mode & 0o777 == 0o644
    assert (runtime / "source").read_text() == "nts\n"
    tree.insert_card(changed_settings(time={"servers": []}))
    tree.run_provision()
    assert list(runtime.iterdir()) == []


def test_a_lost_authority_leaves_the_clock_alone_and_is_reported(tree: BoxTree) -> None:
    time = {"servers": ["nts.example"], "nts": True, "ca": "time.pem"}
    tree.insert_card(changed_settings(time=time, files={"time.pem": CENTRE_AUTHORITY.pem}))
    tree.run_provision()
    (tree.config / "time.pem").unlink()
    tree.run_provision()
    assert "time.ca = 'time.pem'" in tree.output
    assert list((tree.root / "run/vigie-time").iterdir()) == []


WANTED = {"overlays": ["i2c-rtc,ds3231", "uart3"]}


@pytest.fixture
def pi_tree(tree: BoxTree) -> BoxTree:
    """A Raspberry Pi with a boot loader of 2026."""
    names = tree.root / "usr/share/vigie/overlays"
    names.parent.mkdir(parents=True)
    names.write_text("i2c-rtc\nimx708\nuart3\n")
    write_build_time(tree.root / "proc/device-tree", datetime(2026, 9, 1, tzinfo=UTC))
    return tree


def test_overlays_are_handed_to_the_unit_that_tries_them(pi_tree: BoxTree) -> None:
    pi_tree.insert_card(changed_settings(board=WANTED))
    assert "box casa-0001 is set up" in pi_tree.run_provision()
    wanted = pi_tree.root / "run/vigie-board/overlays"
    assert wanted.read_text() == "i2c-rtc,ds3231\nuart3\n"
    pi_tree.insert_card()
    pi_tree.run_provision()
    assert wanted.read_text() == ""


def test_overlays_that_the_image_lacks_are_refused(pi_tree: BoxTree) -> None:
    pi_tree.insert_card(changed_settings(board={"overlays": ["imx9999"]}))
    reported = pi_tree.run_provision(expected_code=2)
    assert "board.overlays[0] = 'imx9999': is not in this image" in reported


def test_overlays_are_refused_by_an_image_without_any(tree: BoxTree) -> None:
    tree.insert_card(changed_settings(board=WANTED))
    assert "this image has no overlays" in tree.run_provision(expected_code=2)
    assert not (tree.root / "run/vigie-board").exists()


def test_a_boot_loader_that_is_too_old_is_reported_at_the_first_boot(pi_tree: BoxTree) -> None:
    write_build_time(pi_tree.root / "proc/device-tree", datetime(2024, 9, 23, tzinfo=UTC))
    pi_tree.insert_card()
    reported = pi_tree.run_provision()
    assert "the board's boot loader is of 2024-09-23; two slots need one of 2025-03-10" in reported
    assert "until then the box takes no update and no overlays" in reported


def test_overlays_that_did_not_come_good_are_reported_at_each_boot(pi_tree: BoxTree) -> None:
    pi_tree.insert_card(changed_settings(board=WANTED))
    pi_tree.run_provision()
    sector = overlay_sector.encode_sector(WANTED["overlays"])
    tried = overlay_sector.OverlayRecord(tried_sha256=sha256_hex(sector))
    overlay_sector.record_file(pi_tree.root).write(tried)
    assert pi_tree.run_provision() == "", "they are on trial"
    failed = FailedTrial(version="1", slot="B", time="2026-11-25T02:00:00Z", reason="not good")
    slot_state.write(pi_tree.root / "state/rauc", SlotState(failed_trial=failed))
    for _ in range(2):
        assert "the overlays of [board] were tried, and the box was not found good" in (
            pi_tree.run_provision()
        )


def test_a_boot_without_the_settings_file_keeps_the_box(box: BoxTree) -> None:
    (box.card / "vigie-settings.toml").unlink()
    before = box.contents()
    assert box.run_provision() == ""
    assert box.contents() == before


def test_wrong_settings_provision_no_box(tree: BoxTree) -> None:
    tree.insert_card(GOOD_SETTINGS.replace("rtsp:", "http:").replace('"casa-0001"', '"Casa"'))
    reported = tree.run_provision(expected_code=2)
    assert "VIGIE: THE SETTINGS ARE WRONG" in reported
    assert "this box has no settings, and records nothing" in reported
    assert "vigie-settings.toml: box.id = 'Casa': allowed: lower case letters" in reported
    assert "vigie-settings.toml: camera[0].options.url = 'http://10.0.0.21/main'" in reported
    assert tree.led_state == ("timer", "100")
    assert tree.contents() == {}
    assert "THE SETTINGS ARE WRONG" in (tree.card / "vigie-result.txt").read_text()
    (tree.root / "sys/class/leds/ACT/trigger").write_text("none mmc0 [timer]\n")  # as a kernel
    tree.insert_card()
    assert "is set up" in tree.run_provision()
    assert tree.led_state == ("mmc0", "100")
    assert "WRONG" not in (tree.card / "vigie-result.txt").read_text()


def test_wrong_settings_change_nothing_of_a_box(box: BoxTree) -> None:
    before = box.contents()
    box.insert_card(GOOD_SETTINGS.replace("mqtts:", "http:"))
    reported = box.run_provision(expected_code=2)
    assert "the box keeps running as casa-0001, with its current settings" in reported
    assert "broker.url = 'http://centre.example:8883': not a broker's address" in reported
    assert box.contents() == before
    assert PASSWORD in (box.card / "vigie-settings.toml").read_text(), "they are his to mend"


@pytest.mark.parametrize("secrets", ['"x"', "[1]", "1979-05-27"])
def test_secrets_that_are_no_table_are_reported_in_one_line(box: BoxTree, secrets: str) -> None:
    before = box.contents()
    box.insert_card(f"secrets = {secrets}\n" + GOOD_SETTINGS.split("[secrets]")[0])
    assert "vigie-settings.toml: secrets: not a table; allowed: [secrets]" in box.run_provision(
        expected_code=2
    )
    assert box.contents() == before


def test_a_box_does_not_become_another(box: BoxTree) -> None:
    before = box.contents()
    box.insert_card(GOOD_SETTINGS.replace(BOX, "casa-0002"))
    assert "this box is 'casa-0001', and has signed receipts as that" in box.run_provision(
        expected_code=2
    )
    assert box.contents() == before


def test_new_settings_are_applied_and_the_rest_is_kept(box: BoxTree) -> None:
    signing = (box.state / "identity/box.key").read_bytes()
    shown, own = (box.config / "box.pem").read_bytes(), (box.config / "box.key").read_bytes()
    left = (box.card / "vigie-settings.toml").read_text()
    assert '"north.password" = ""' in left
    left = left.replace("10.0.0.21", "10.0.0.99").replace("north.scene.toml", "gate.toml")
    box.insert_card(left)
    assert "VIGIE: box casa-0001 has new settings" in box.run_provision()
    loaded = configuration.load(box.config / "vigie.toml")
    assert loaded.camera[0].options["url"] == "rtsp://10.0.0.99/main"
    assert (box.config / "gate.toml").exists()
    assert not (box.config / "north.scene.toml").exists(), "nothing names it any more"
    assert (box.config / "north.password").read_text() == PASSWORD
    assert (box.config / "console.secret").read_text() == CONSOLE_SECRET
    assert (box.state / "identity/box.key").read_bytes() == signing
    assert (box.config / "box.pem").read_bytes() == shown
    assert (box.config / "box.key").read_bytes() == own


def test_new_settings_end_a_change_on_trial_and_no_boot_rolls_them_back(box: BoxTree) -> None:
    file = box.config / "vigie.toml"
    moved = file.read_text().replace("10.0.0.21", "10.0.0.99")
    CommitConfirm(file).begin(moved, "camera.north.options.url", "amina", "boot-1", 2**62)
    box.insert_card(GOOD_SETTINGS.replace("10.0.0.21", "10.0.0.99"))
    assert "VIGIE: box casa-0001 has new settings" in box.run_provision()
    assert file.read_text() == moved, "the settings and the change are the same"
    assert CommitConfirm(file).on_agent_start(0, "boot-2") is None
    assert file.read_text() == moved


def test_a_new_password_replaces_the_old_one(box: BoxTree) -> None:
    left = (box.card / "vigie-settings.toml").read_text()
    box.insert_card(left.replace('"north.password" = ""', '"north.password" = "quite another one"'))
    box.run_provision()
    assert (box.config / "north.password").read_text() == "quite another one"
    assert "quite another one" not in box.all_output()


def test_a_box_without_its_state_is_provisioned_again_from_its_card(box: BoxTree) -> None:
    before = request_on(box.card).public_key()
    signing = (box.state / "identity/box.key").read_bytes()
    for folder in (box.config, box.state):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (box.root / "run/vigie-state-lost").touch()
    reported = box.run_provision()
    assert "VIGIE: box casa-0001 is set up" in reported
    assert "the partition of the box's state was lost" in reported
    assert (
        "the box has no 'console.secret': no code opens its console until it is given" in reported
    )
    assert (
        "the box has no 'north.password': what needs it does not work until it is given" in reported
    )
    assert (box.state / "identity/box.key").read_bytes() != signing
    assert request_on(box.card).public_key() != before
    assert not (box.config / "console.secret").exists()
    loaded = configuration.load(box.config / "vigie.toml")
    assert tls.load_ssl_context(loaded.broker) is not None, "the agent starts"


def test_a_missing_secret_is_reported_until_it_is_provided(box: BoxTree) -> None:
    reported = "the box has no 'north.password'"
    for name in ("north.password", "console.secret"):
        (box.config / name).unlink()
    left = (box.card / "vigie-settings.toml").read_text()
    for host in ("10.0.0.31", "10.0.0.32"):
        box.insert_card(left.replace("10.0.0.21", host))
        assert reported in box.run_provision()
    box.insert_card(left.replace('"north.password" = ""', f'"north.password" = "{PASSWORD}"'))
    assert reported not in box.run_provision()


def test_the_console_secret_may_have_an_absolute_path(tree: BoxTree) -> None:
    path = {"secret_file": "/etc/vigie/console.secret"}
    tree.insert_card(changed_settings(console=path, secrets={"console.secret": ""}))
    assert "no code opens its console until it is given" in tree.run_provision()
    assert not (tree.config / "console.secret").exists()


def test_a_signed_certificate_may_come_back_on_the_card(box: BoxTree) -> None:
    signed = CENTRE_AUTHORITY.sign_request((box.card / f"{BOX}.csr.pem").read_text())
    box.insert_card(changed_settings(files={"box.pem": signed}))
    reported = box.run_provision()
    assert "VIGIE: box casa-0001 has new settings" in reported
    assert "signed by the centre" not in reported
    assert (box.config / "box.pem").read_text() == signed
    assert tls.load_ssl_context(configuration.load(box.config / "vigie.toml").broker) is not None
    assert not (box.state / "enrol/request.key").exists()
    box.insert_card(changed_settings(files={"box.pem": signed}, health={"interval_s": 60}))
    assert "for another key" not in box.run_provision()
    assert (box.config / "box.pem").read_text() == signed


def test_a_certificate_for_another_key_is_reported_and_not_used(box: BoxTree) -> None:
    before = box.contents()["box.pem"]
    box.insert_card(
        changed_settings(files={"box.pem": CENTRE_AUTHORITY.sign(BOX, make_key().public_key())})
    )
    assert "'box.pem' is not for this box's key, and is not used" in box.run_provision()
    assert box.contents()["box.pem"] == before


def test_a_key_pair_made_by_the_centre_is_used_unchanged(tree: BoxTree) -> None:
    mine = make_key()
    signed = CENTRE_AUTHORITY.sign(BOX, mine.public_key())
    tree.insert_card(
        changed_settings(files={"box.pem": signed}, secrets={"box.key": to_private_pem(mine)})
    )
    assert "signed by the centre" not in tree.run_provision()
    assert (tree.config / "box.key").read_text() == to_private_pem(mine)
    assert not (tree.card / f"{BOX}.csr.pem").exists()
    assert to_private_pem(mine) not in tree.all_output()


def test_a_certificate_entered_at_the_console_stays(box: BoxTree) -> None:
    signed = CENTRE_AUTHORITY.sign_request((box.card / f"{BOX}.csr.pem").read_text())
    # What `enrol certificate` does, see test_enrolment.py.
    (box.config / "box.pem").write_text(signed)
    (box.state / "enrol/request.key").unlink()
    box.insert_card(changed_settings(health={"interval_s": 60}))
    box.run_provision()
    assert (box.config / "box.pem").read_text() == signed


def test_a_box_with_a_read_only_card_starts_and_reports_that_the_secrets_stay(
    tree: BoxTree,
) -> None:
    tree.insert_card()
    (tree.card / f"{BOX}.csr.pem").mkdir()
    reported = tree.run_provision(expected_code=1)
    assert "casa-0001.csr.pem" in reported
    assert configuration.load(tree.config / "vigie.toml").box.id == BOX
    assert PASSWORD in (tree.card / "vigie-settings.toml").read_text()
    (tree.card / f"{BOX}.csr.pem").rmdir()
    tree.run_provision()
    assert request_on(tree.card).is_signature_valid
    assert PASSWORD not in tree.all_output()


def test_an_unreadable_card_leaves_the_box_unchanged_and_interrupted_work_is_completed(
    box: BoxTree,
) -> None:
    (box.card / "vigie-settings.toml").unlink()
    (box.card / "vigie-settings.toml").mkdir()
    inside = box.config / ".provisioning"
    (inside / "new").mkdir(parents=True)
    (inside / "new" / "ca.pem").write_text(CENTRE_AUTHORITY.pem + "\n")
    (inside / "commit.json").write_text('{"install": ["ca.pem"], "remove": []}')
    for path in (inside, inside / "new", inside / "commit.json"):
        shutil.chown(path, USER)
    assert "not a regular file" in box.run_provision(expected_code=1)
    assert (box.config / "ca.pem").read_text() == CENTRE_AUTHORITY.pem + "\n"
    assert not inside.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to be another user")
def test_the_provisioning_writes_only_where_the_agents_user_may_write(tree: BoxTree) -> None:
    """A link in its folder leads root nowhere."""
    target = tree.root / "root-only"
    target.mkdir(mode=0o700)
    (target / "commit.json").write_text("{}")
    (tree.config / ".provisioning").symlink_to(target)
    tree.insert_card()
    (tree.root / "dev/console").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "agent", *tree.command_args],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert [path.name for path in target.iterdir()] == ["commit.json"]
    assert "VIGIE: THE SETTINGS COULD NOT BE TAKEN IN" in tree.console
    assert not (tree.config / "vigie.toml").exists()


def test_check_validates_a_settings_file_on_any_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD_SETTINGS)
    assert main(["provision", "--check", str(file)]) == 0
    message = capsys.readouterr().out
    assert message.endswith("good; box casa-0001 reports to mqtts://centre.example:8883\n")
    file.write_text(GOOD_SETTINGS.replace("rtsp:", "http:").replace('site = "', 'sight = "'))
    assert main(["provision", "--check", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"vigie: {file}: ") for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]
