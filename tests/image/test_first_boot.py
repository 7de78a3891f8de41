"""From a flashed card to a box that reports; and a card whose settings are missing or wrong."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.image.box_settings import BOX, FILE_NAME, make_authority_pem
from tests.image.built_image import BuiltImage
from tests.image.disk import Disk
from tests.image.first_boot import FirstLife, make_card, write_settings
from tests.image.form import not_short
from tests.image.guest import Guest

pytestmark = pytest.mark.slow

REPORTED_S = 900.0
LOGIN = re.compile(r"login:|Password:")
FAILURE = re.compile(r"FAILED|did not stop|[Ee]rror|not found")


def test_a_flashed_card_becomes_a_box_that_records_and_reports(life: FirstLife) -> None:
    """Everything is waited for in `first_boot`; the remaining check is that no prompt is shown."""
    assert 0 < life.ready_s <= life.good_s
    assert not LOGIN.search(life.boot_output)


def test_the_console_of_a_good_first_boot_shows_no_failure(life: FirstLife) -> None:
    failures = [line for line in life.boot_output.splitlines() if FAILURE.search(line)]
    assert failures == []


def test_the_box_has_a_key_of_its_own_and_its_secrets_are_off_the_card(
    another: Callable[[], Guest], good_settings: str
) -> None:
    guest = another()
    select = guest.extract_fat("select")
    left = (select.read(FILE_NAME) or b"").decode()
    (secret,) = re.findall(r'"console.secret" = "(.+)"', good_settings)
    assert BOX in left
    assert secret not in left
    state = guest.extract_ext("state")
    assert b"PRIVATE KEY" in state.read("/vigie/identity/box.key")
    assert secret in state.read("/config/console.secret").decode()


def test_a_power_cut_right_after_the_setup_loses_neither_settings_nor_key(
    studio: Path, built: BuiltImage, good_settings: str, make_guest: Callable[[Path, Disk], Guest]
) -> None:
    folder = studio / "cut-early"
    folder.mkdir()
    guest = make_guest(folder, make_card(folder, built, good_settings))
    try:
        guest.start()
        guest.wait_for("systemctl is-active --quiet vigie-provision.service")
        guest.cut_power()
        select = guest.extract_fat("select")
        assert select.check_errors() == ""
        assert BOX in (select.read(FILE_NAME) or b"").decode()
        key = guest.extract_ext("state").read("/vigie/identity/box.key")
        assert b"PRIVATE KEY" in key
        guest.start()
        guest.wait_until_recording()
        assert guest.run("cat /var/lib/vigie/identity/box.key").encode() == key
    finally:
        guest.close()


@not_short
def test_a_card_with_missing_or_wrong_settings_reports_the_mistake_until_they_are_valid(
    studio: Path, built: BuiltImage, good_settings: str, make_guest: Callable[[Path, Disk], Guest]
) -> None:
    folder = studio / "unprovisioned"
    folder.mkdir()
    guest = make_guest(folder, make_card(folder, built, None))
    try:
        guest.start()
        guest.machine.kernel.wait_for(re.escape(FILE_NAME), REPORTED_S)
        guest.wait_for("systemctl is-active --quiet multi-user.target")
        assert guest.run("ls -A /etc/vigie") == ""
        guest.switch_off()

        wrong = good_settings.replace("casa-0001", "Casa 1").replace("mqtt://", "http://")
        write_settings(guest.disk, wrong, folder)
        guest.start()
        reported = guest.machine.kernel
        reported.wait_for(r"box\.id = 'Casa 1'", REPORTED_S)
        reported.wait_for(r"broker\.url", REPORTED_S)
        guest.wait_for("systemctl is-active --quiet multi-user.target")
        assert guest.run("ls -A /etc/vigie") == ""
        guest.switch_off()

        write_settings(guest.disk, with_certificate(good_settings), folder)
        guest.start()
        guest.wait_until_recording()
        assert guest.run("hostname").strip() == BOX
        assert "BEGIN CERTIFICATE REQUEST" in guest.run(f"cat /select/{BOX}.csr.pem")
        assert "PRIVATE KEY" in guest.run(f"cat /etc/vigie/{BOX}.key")
    finally:
        guest.close()


def with_certificate(text: str) -> str:
    """The same of a box that is to prove itself to its broker, which it has no certificate for yet."""
    tls = f'ca = "ca.pem"\ncertificate = "{BOX}.pem"\nkey = "{BOX}.key"\n[health]'
    text = text.replace("mqtt://", "mqtts://").replace("[health]", tls)
    return f'{text}[files]\n"ca.pem" = """\n{make_authority_pem()}"""\n'


@not_short
def test_wrong_settings_change_nothing_on_a_box_that_has_good_ones(
    another: Callable[[], Guest], good_settings: str
) -> None:
    guest = another()
    write_settings(guest.disk, good_settings.replace("mqtt://", "http://"), guest.folder)
    guest.start()
    guest.machine.kernel.wait_for(r"broker\.url", REPORTED_S)
    guest.wait_until_good()
    assert "mqtt://" in guest.run("cat /etc/vigie/vigie.toml")
