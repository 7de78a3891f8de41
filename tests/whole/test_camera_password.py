"""`camera NAME password`: a real camera decides, by RTSP or ONVIF; the box keeps a password that it accepted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ManualClock
from tests.contracts.conftest import RtspServer, _missing_rtsp_reason
from tests.contracts.onvif_peer import PASSWORD, URL, running_onvif_camera
from tests.parts.console_rig import CONFIG_TEXT, ConsoleRig

OLD, NEW = "winter-2019", "Spring 2026!"
USER = "vigie"


@pytest.fixture(scope="module")
def camera() -> Iterator[RtspServer]:
    """A camera whose password is the new one already."""
    missing = _missing_rtsp_reason()
    if missing:
        pytest.skip(missing)
    server = RtspServer("--auth", "digest", "--password", NEW)
    yield server
    server.kill()


def make_rig(clock: ManualClock, folder: Path, *urls: str) -> ConsoleRig:
    """A box with a camera at each URL: `north`, `south`; all of them have one password file."""
    tables = [
        f"""
[[camera]]
name = "{name}"
driver = "rtsp"
options = {{ url = "{url}", username = "{USER}", password_file = "north.password" }}
detect = {{ enabled = false }}
"""
        for name, url in zip(("north", "south"), urls, strict=False)
    ]
    head = CONFIG_TEXT.partition("[[camera]]")[0]
    (folder / "north.password").touch(0o600)
    (folder / "north.password").write_text(f"{OLD}\n")
    rig = ConsoleRig(clock, folder, config_text=head + "".join(tables))
    rig.is_alive = False
    return rig


def change(rig: ConsoleRig, password: str) -> str:
    return " ".join(rig.run_logged_in("camera north password", password).split())


def kept(folder: Path) -> str:
    file = folder / "north.password"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in folder.iterdir() if "password" in one.name] == [file.name]
    return file.read_text()


def test_a_password_that_the_camera_accepts_is_kept_with_a_receipt_and_shown_nowhere(
    clock: ManualClock, tmp_path: Path, camera: RtspServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    rig = make_rig(clock, tmp_path, camera.url("locked"), camera.url("locked"))
    screen = change(rig, NEW)
    assert "Accepted by north, south, and kept." in screen
    assert kept(tmp_path) == f"{NEW}\n"
    receipts = [action for _, action in rig.receipts]
    assert "camera north: a new password, which north, south accepted" in receipts
    for text in (screen, caplog.text, *receipts):
        assert NEW not in text


def test_a_password_that_the_camera_refuses_changes_nothing(
    clock: ManualClock, tmp_path: Path, camera: RtspServer
) -> None:
    rig = make_rig(clock, tmp_path, camera.url("locked"))
    screen = change(rig, "not-it")
    assert "the server refuses this username and password" in screen
    assert "not-it" not in screen
    assert kept(tmp_path) == f"{OLD}\n"
    assert not any("accepted" in action for _, action in rig.receipts)


def test_a_password_that_one_of_the_cameras_of_the_file_has_not_got_changes_nothing(
    clock: ManualClock, tmp_path: Path, camera: RtspServer
) -> None:
    rig = make_rig(clock, tmp_path, camera.url("locked"), "rtsp://127.0.0.1:1/locked")
    assert "camera 'south'" in change(rig, NEW)
    assert kept(tmp_path) == f"{OLD}\n"


def test_without_a_receipt_nothing_changes(
    clock: ManualClock, tmp_path: Path, camera: RtspServer
) -> None:
    rig = make_rig(clock, tmp_path, camera.url("locked"))
    rig.break_custody_log()
    assert "It is not done without a receipt." in change(rig, NEW)
    assert kept(tmp_path) == f"{OLD}\n"


def test_a_password_in_the_address_is_replaced_in_the_configuration(
    clock: ManualClock, tmp_path: Path, camera: RtspServer
) -> None:
    url = camera.url("locked", f"{USER}:{OLD}@")
    table = f"""
[[camera]]
name = "north"   # the one at the gate
driver = "rtsp"
options = {{ url = "{url}" }}
detect_options = {{ url = "{url}" }}
detect = {{ enabled = false }}
"""
    text = CONFIG_TEXT.partition("[[camera]]")[0] + table
    rig = ConsoleRig(clock, tmp_path, config_text=text)
    rig.config_path.chmod(0o600)
    rig.is_alive = False
    assert "the server refuses this username and password" in change(rig, "not-it")
    assert rig.config_path.read_text() == text
    screen = change(rig, NEW)
    assert "Accepted by north, and kept." in screen
    assert rig.config_path.read_text() == text.replace(f":{OLD}@", ":Spring%202026%21@")
    assert rig.config_path.stat().st_mode & 0o777 == 0o600
    assert rig.context.config_editor.pending() is None
    assert not any("Spring" in text for text in (screen, *(action for _, action in rig.receipts)))


def test_a_password_of_onvif_is_tried_over_onvif(clock: ManualClock, tmp_path: Path) -> None:
    onvif = f'url = "{URL}", username = "{USER}", password_file = "north.password"'
    config = CONFIG_TEXT.replace("options = {}\n", f"options = {{}}\nonvif = {{ {onvif} }}\n", 1)
    (tmp_path / "north.password").touch(0o600)
    (tmp_path / "north.password").write_text(f"{OLD}\n")
    with running_onvif_camera():
        rig = ConsoleRig(clock, tmp_path, config_text=config)
        assert "refuses the password of user 'vigie'" in change(rig, "not-it")
        assert kept(tmp_path) == f"{OLD}\n"
        assert "Accepted by north, and kept." in change(rig, PASSWORD)
    assert kept(tmp_path) == f"{PASSWORD}\n"


@pytest.mark.parametrize("password", ["", "x" * 129])
def test_a_password_of_a_wrong_length_is_refused(
    clock: ManualClock, tmp_path: Path, password: str
) -> None:
    rig = make_rig(clock, tmp_path, "rtsp://127.0.0.1:1/locked")
    assert "password: allowed: 1 to 128 characters" in change(rig, password)
    assert kept(tmp_path) == f"{OLD}\n"


def test_a_camera_without_a_password_is_refused_in_one_line(
    clock: ManualClock, tmp_path: Path
) -> None:
    rig = ConsoleRig(clock, tmp_path)
    screen = " ".join(rig.run_logged_in("camera north password").split())
    assert "camera north: 0 passwords in its configuration; allowed: one" in screen
