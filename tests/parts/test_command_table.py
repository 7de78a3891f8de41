"""agent.console.commands on a real state folder, with their output and their effects."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.base.model import CommandRefused
from agent.config.commit_confirm import CommitConfirm
from agent.config.desired_store import DESIRED_DIR, ConfigLayer, Decision, DesiredStore
from agent.console.acts.heads import JOG_S
from agent.console.checks import CHECKS, LINK_CHECKS
from agent.console.commands.camera import WATCH_TIMEOUT_S
from agent.diagnostics.commissioning.certificate import InstallationRecord
from agent.diagnostics.commissioning.session import format_comparison
from agent.faults.texts import load_texts
from agent.ptz.ptz_args import PtzMoveArgs, PtzStopArgs
from agent.recording.archive import FootageArchive
from tests.conftest import ManualClock
from tests.parts.console_peers import RecordingAgent, make_picture
from tests.parts.console_rig import BOX, CONFIG_TEXT, STICK, ConsoleRig
from tests.vectors.street import BOOT_UTC, StreetBox


@pytest.fixture
def rig(clock: ManualClock, tmp_path: Path) -> ConsoleRig:
    return ConsoleRig(clock, tmp_path)


@pytest.fixture
def agent(rig: ConsoleRig) -> Iterator[RecordingAgent]:
    agent = RecordingAgent(rig.state_dir, rig.clock)
    with agent.running():
        yield agent


def test_a_restart_requires_the_name_of_the_box(rig: ConsoleRig) -> None:
    assert "Nothing is restarted." in rig.run_logged_in("reboot", "yes")
    assert not rig.reboot_requested
    assert "The box restarts within seconds." in rig.run_logged_in("reboot", "casa-0001")
    assert rig.reboot_requested


def test_the_checks_have_stable_numbers() -> None:
    assert [(one.number, str(one.name)) for one in CHECKS] == [
        (1, "power, heat, memory"),
        (2, "disk"),
        (3, "clock"),
        (4, "configuration"),
        (5, "agent"),
        (6, "cameras"),
        (7, "recording"),
        (8, "receipts"),
        (9, "pan-tilt heads"),
        (10, "pins"),
        (11, "network"),
        (12, "names (DNS)"),
        (13, "certificates"),
        (14, "broker"),
        (15, "centre"),
        (16, "updates"),
    ]
    assert [one.number for one in LINK_CHECKS] == [11, 12, 13, 14, 3]


@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("number", [one.number for one in CHECKS])
def test_each_check_works_separately(rig: ConsoleRig, number: int, alive: bool) -> None:
    rig.is_alive = alive
    screen = rig.run_logged_in(f"check {number}")
    assert f"\n{number:>2} " in screen
    assert any(verdict in screen for verdict in ("pass", "FAIL", " -  "))


def test_a_failed_check_shows_its_code_and_the_remedy(rig: ConsoleRig) -> None:
    rig.faults = ("NET-01",)
    screen = rig.run_logged_in("check 14")
    assert "14 FAIL NET-01 connection: the device is not there" in screen
    assert "FAIL NET-01 TCP: " in screen
    assert f"> {load_texts('en').faults['NET-01'].at_box[:30]}" in screen
    assert "Failed: check 14." in screen


@pytest.mark.parametrize(
    ("listens", "faults", "said"),
    [
        (True, (), "15 pass centre: listens; 0 messages wait"),
        (True, ("NET-03",), "15 FAIL NET-03 centre: the device is not there; 0 messages wait"),
        (False, ("NET-03",), "15 FAIL NET-03 centre: the device is not there; 0 messages wait"),
        (False, ("CAM-02",), "15  -   centre: none listens, and the box does not wait for one"),
    ],
)
def test_an_absent_centre_is_an_error_if_the_box_waits_for_one(
    rig: ConsoleRig, *, listens: bool, faults: tuple[str, ...], said: str
) -> None:
    rig.centre_listening, rig.faults = listens, faults
    screen = rig.run_logged_in("check 15")
    assert said in screen
    assert ("Failed: check 15." in screen) == ("FAIL" in said)


def test_a_dead_agent_is_reported_and_the_console_opens_its_cameras(rig: ConsoleRig) -> None:
    rig.kill_agent()
    screen = rig.run_logged_in("check 5 6 7")
    assert "FAIL agent: DEAD (last heard 1 min ago): nothing is recorded" in screen
    assert "pass camera north: gives pictures (320 x 180), tried here" in screen
    assert len(rig.previews) == 1
    assert all(preview.closed for preview in rig.previews)


@pytest.mark.parametrize(
    ("picture", "line"),
    [
        (np.full((180, 320), 16, np.uint8), "FAIL CAM-07 camera north: the picture is dark"),
        (np.full((180, 320), 90, np.uint8), "FAIL CAM-07 camera north: the view is covered"),
        (
            np.asarray(cv2.GaussianBlur(make_picture(), (0, 0), 3), np.uint8),
            "FAIL CAM-07 camera north: the picture is blurred",
        ),
    ],
)
def test_a_covered_or_blurred_camera_fails_its_check_with_the_agent_dead(
    rig: ConsoleRig, picture: np.ndarray, line: str
) -> None:
    rig.kill_agent()
    rig.views = [picture]
    assert line in rig.run_logged_in("check 6")


def test_an_agent_that_listens_but_reports_nothing_counts_as_hung(
    rig: ConsoleRig, agent: RecordingAgent
) -> None:
    rig.kill_agent()
    screen = " ".join(rig.run_logged_in("check 5 6 7").split())
    assert "FAIL agent: HANGS: its process listens, but reports nothing" in screen
    assert " - camera north: the agent has it and reports nothing: see check 5" in screen
    assert "CAM-01" not in screen
    assert agent.commands == []


def test_faults_show_the_remedy(rig: ConsoleRig) -> None:
    rig.faults = ("CAM-02",)
    screen = rig.run_logged_in("faults", "faults cam-02")
    text = load_texts("en").faults["CAM-02"]
    assert "CAM-02 error: no frames (north), for 1.0 s" in screen
    assert screen.count(f"> {text.at_box[:40]}") == 2
    assert f"Centre: {text.at_centre[:40]}" in screen


def test_the_report_of_a_dead_agent_is_shown_as_old(rig: ConsoleRig) -> None:
    rig.faults = ("CAM-02",)
    rig.kill_agent()
    screen = rig.run_logged_in("status", "faults")
    assert "DEAD (last heard 1 min ago): nothing is recorded" in screen
    assert "Faults in its last report: 1" in screen
    assert "Agent: DEAD (last heard 1 min ago): nothing is recorded. Its last report:" in screen


def test_the_level_follows_the_camera_as_it_is_turned(rig: ConsoleRig) -> None:
    posts = np.full((720, 1280), 90, np.uint8)
    for x in range(60, 1280, 130):
        posts[:, x : x + 40] = 200
    leaning = [
        cv2.warpAffine(
            posts,
            cv2.getRotationMatrix2D((640, 360), -degrees, 1.0),
            (1280, 720),
            borderMode=cv2.BORDER_REPLICATE,
        )
        for degrees in (6, -6, 0)
    ]
    rig.views = [np.asarray(picture, np.uint8) for picture in leaning]
    screen = rig.run_logged_in("camera level", silence_s=3)
    said = [line for line in screen.split("\r") if line.startswith("level")]
    marks = [line.index("#") - line.index("[") for line in said[:3]]
    assert marks[1] < marks[2] < marks[0]
    ends = [line.partition("] ")[2].strip() for line in said[:3]]
    assert ends == ["turn it clockwise", "turn it counter-clockwise", "good"]


def test_a_camera_without_frames_is_reported(rig: ConsoleRig) -> None:
    rig.views = []
    assert "No picture came within 10 s" in rig.run_logged_in("camera north")


@pytest.mark.parametrize("mode", ["focus", "level", "live"])
def test_a_silent_camera_does_not_delay_q(rig: ConsoleRig, mode: str) -> None:
    rig.views = []
    began_ns = rig.clock.now_ns
    screen = rig.run_logged_in(f"camera {mode}", keys=b"q")
    assert "no picture for 1 s" in screen
    assert rig.clock.now_ns - began_ns == WATCH_TIMEOUT_S * 1e9
    assert screen.rstrip().endswith("casa-0001>")


def test_a_picture_fits_a_screen(rig: ConsoleRig) -> None:
    screen = rig.run_logged_in("camera")
    assert "-- more --" not in screen
    assert all(len(line) < 80 for line in screen.splitlines())
    assert all(word in screen for word in ("focus", "light", "level", "glass"))


def test_keys_turn_a_head_and_leaving_the_command_stops_it(
    rig: ConsoleRig, agent: RecordingAgent
) -> None:
    rig.run_logged_in("ptz", keys=b"9\x1b[C\x1b[A+q")
    commands = [args for _, args in agent.commands]
    assert PtzMoveArgs(head="mast", pan=1.0, for_s=JOG_S) in commands
    assert PtzMoveArgs(head="mast", tilt=1.0, for_s=JOG_S) in commands
    assert commands[-1] == PtzStopArgs(head="mast")


def test_a_moving_head_stops_when_the_cable_is_unplugged(
    rig: ConsoleRig, agent: RecordingAgent
) -> None:
    rig.run_logged_in("ptz", keys=b"d")
    assert agent.commands[-1] == ("ptz", PtzStopArgs(head="mast"))


@pytest.mark.usefixtures("agent")
def test_a_rejection_by_the_agent_is_shown_with_its_reason(rig: ConsoleRig) -> None:
    refusal = CommandRefused(command="1", verb="gpio", code="forbidden", message="nobody may")
    said = f"refused ({refusal.code}): {refusal.message}"
    assert said in rig.run_logged_in("gpio siren on 3")


def test_without_an_agent_a_command_is_refused(rig: ConsoleRig) -> None:
    assert "the agent does not run: see check 5" in rig.run_logged_in("gpio siren on 3")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("log 0", "log 0: allowed: log, or log with 1 to 500"),
        ("log 501", "log 501: allowed"),
        ("log 0050000", "log 0050000: allowed"),
        ("mqtt ping 0", "mqtt ping 0: allowed: 1 to 20 times"),
        ("mqtt ping 0209", "mqtt ping 0209: allowed: 1 to 20 times"),
        ("config set box.site x for 0", "for 0: allowed: 1 to 60 minutes"),
        ("config set box.site x for 00601", "for 00601: allowed: 1 to 60 minutes"),
        ("gpio siren on 0", "gpio siren on 0: allowed: NAME on [SECONDS, 1 to 86400]"),
        ("gpio siren on 100000", "gpio siren on 100000: allowed: NAME on [SECONDS, 1 to 86400]"),
    ],
)
def test_a_number_out_of_range_is_refused_and_never_clamped(
    rig: ConsoleRig, agent: RecordingAgent, line: str, said: str
) -> None:
    assert said in " ".join(rig.run_logged_in(line).split())
    assert agent.commands == []
    assert rig.config_path.read_text() == CONFIG_TEXT


@pytest.mark.parametrize(("typed", "seconds"), [("", 5.0), (" 0030", 30.0), (" 86400", 86_400.0)])
def test_a_pin_is_switched_on_for_its_seconds(
    rig: ConsoleRig, agent: RecordingAgent, typed: str, seconds: float
) -> None:
    rig.run_logged_in(f"gpio siren on{typed}")
    assert agent.commands == [("gpio", {"pin": "siren", "active": True, "for_s": seconds})]


ENROLLED = CONFIG_TEXT.replace(
    'url = "mqtt://127.0.0.1:1"',
    'url = "mqtts://127.0.0.1:1"\nca = "ca.pem"\ncertificate = "box.pem"\nkey = "box.key"',
)


def sign(request_pem: str, ca_file: Path, clock: ManualClock) -> str:
    """Make an authority, write its certificate, and sign a request."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    now = clock.utc(clock.boottime_ns())

    def issue(subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> bytes:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(name)
        builder = builder.public_key(public_key).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1))
        builder = builder.not_valid_after(now + timedelta(days=9))
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca_file.write_bytes(issue(name, key.public_key()))
    request = x509.load_pem_x509_csr(request_pem.encode())
    public_key = request.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    return issue(request.subject, public_key).decode()


def test_a_certificate_is_pasted_line_by_line(clock: ManualClock, tmp_path: Path) -> None:
    rig = ConsoleRig(clock, tmp_path, config_text=ENROLLED)
    request = re.search(
        r"-----BEGIN CERTIFICATE REQUEST-----.*?-----END CERTIFICATE REQUEST-----\n",
        rig.run_logged_in("enrol request"),
        re.DOTALL,
    )
    assert request
    pem = sign(request[0], tmp_path / "ca.pem", clock)
    screen = rig.run_logged_in("enrol certificate", "", "junk", *pem.splitlines())
    assert (tmp_path / "box.pem").read_text() == pem
    assert "Certificate of casa-0001, valid until" in screen


def test_an_endless_paste_is_given_up(rig: ConsoleRig) -> None:
    assert "no end of a certificate" in rig.run_logged_in("enrol certificate", *["A" * 64] * 250)


def test_a_changed_key_shows_both_values_and_stays_after_confirmation(
    rig: ConsoleRig,
) -> None:
    screen = rig.run_logged_in(
        "pages off", 'config set box.site "Place Maarif"', "config", "config confirm"
    )
    assert "box.site: Bd Mohammed V -> Place Maarif" in screen
    assert "On trial for 5 minutes." in screen
    assert "ON TRIAL by amina: box.site." in screen
    assert "Kept: box.site." in screen
    assert 'site = "Place Maarif"   # where it stands' in rig.config_path.read_text()
    assert rig.receipts[2] == ("amina", "config set box.site Place Maarif")


def test_a_change_on_trial_can_be_rolled_back_at_once(rig: ConsoleRig) -> None:
    screen = rig.run_logged_in(
        "config set box.site x broker.url mqtt://127.0.0.2 for 9", "config undo"
    )
    assert "On trial for 9 minutes." in screen
    assert "Undone: box.site, broker.url; the configuration is the previous one again." in (
        " ".join(screen.split())
    )
    assert rig.config_path.read_text() == CONFIG_TEXT


def test_a_rollback_reports_a_file_that_was_changed_meanwhile(rig: ConsoleRig) -> None:
    rig.run_logged_in("config set box.site x")
    other = CONFIG_TEXT.replace("Bd Mohammed V", "by the centre")
    rig.config_path.write_text(other)
    screen = " ".join(rig.run_logged_in("config undo").split())
    assert "Undone: box.site; the file was changed meanwhile, and stays as it is." in screen
    assert rig.config_path.read_text() == other


def test_a_technician_logging_in_meanwhile_sees_the_change_on_trial(rig: ConsoleRig) -> None:
    rig.run_logged_in("config set box.site x", "logout")
    assert "ON TRIAL by amina: box.site." in rig.run_logged_in()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("config set box.id x", "box.id: may not be set here; allowed: box.site"),
        ("config set box.site", "allowed: KEY VALUE in pairs"),
        ("config set box.site x for 99", "for 99: allowed: 1 to 60 minutes"),
        ("config confirm", "nothing is on trial"),
        ("config undo", "nothing is on trial"),
        ("config sat", "config sat: allowed: show, check, set, confirm, undo"),
    ],
)
def test_a_setting_that_cannot_be_changed_is_refused_in_one_line(
    rig: ConsoleRig, line: str, said: str
) -> None:
    assert said in " ".join(rig.run_logged_in(line).split())
    assert rig.config_path.read_text() == CONFIG_TEXT


def test_a_password_in_an_address_is_neither_accepted_nor_logged(rig: ConsoleRig) -> None:
    rig.run_logged_in("config set broker.url mqtt://u:hunter2@h/x?token=hunter2")
    assert rig.receipts[-2] == ("amina", "config set broker.url mqtt://h/(left out)")
    assert CommitConfirm(rig.config_path).pending() is None


def begin_change(rig: ConsoleRig, seconds: float) -> None:
    """Put a change on trial for this time."""
    text = CONFIG_TEXT.replace("Bd Mohammed V", "x")
    until_ns = rig.clock.now_ns + int(seconds * 1e9)
    CommitConfirm(rig.config_path).begin(text, "box.site", "amina", rig.boot, until_ns)


NOTICE = "box.site: not confirmed in time; the configuration is the previous one again."


def test_a_rollback_while_a_line_is_typed_is_shown_and_the_line_stays(rig: ConsoleRig) -> None:
    begin_change(rig, 2)
    screen = rig.run_logged_in(keys=b"stat", silence_s=5)
    assert f"casa-0001> stat\n{NOTICE}\ncasa-0001> stat" in screen


def test_before_the_login_a_change_is_rolled_back_silently(rig: ConsoleRig) -> None:
    begin_change(rig, 0)
    assert "not confirmed" not in rig.type_lines(silence_s=3)
    assert CommitConfirm(rig.config_path).pending() is None
    assert rig.config_path.read_text() == CONFIG_TEXT


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("confirm", "box.site: confirmed by another process."),
        ("undo", "box.site: undone by another process."),
    ],
)
def test_a_change_confirmed_by_another_console_is_not_reported_as_rolled_back(
    rig: ConsoleRig, ending: str, said: str
) -> None:
    editor = rig.context.config_editor
    text = CONFIG_TEXT.replace("Bd Mohammed V", "x")
    other = CommitConfirm(rig.config_path)
    other.begin(text, "box.site", "omar", rig.boot, int(1e15))
    assert editor.undo_if_expired() is None
    if ending == "confirm":
        other.confirm(0, rig.boot)
    else:
        other.undo()
    assert str(editor.undo_if_expired()) == said
    assert editor.undo_if_expired() is None


@pytest.fixture
def recorded(clock: ManualClock, tmp_path: Path) -> ConsoleRig:
    """A box with 14 s of footage of `north`, and the clock behind it."""
    StreetBox(tmp_path / "state", BOX).record("north", 1, 14)
    clock.boot_utc = BOOT_UTC
    clock.now_ns = 20_000_000_000
    return ConsoleRig(clock, tmp_path)


def test_footage_is_listed_held_and_exported_in_the_technicians_name(recorded: ConsoleRig) -> None:
    screen = recorded.run_logged_in(
        "footage",
        'footage hold north -15s now "a crash"',
        "footage holds",
        'footage export north -15s now "for the police"',
    )
    assert "north  2026-11-25 01:00:00Z" in screen
    held = re.search(r"Held until (\S+) as\s+(\S+)\.", screen)
    assert held
    assert f"{held[2]}  north  by amina" in screen
    (folder,) = (recorded.root / STICK).iterdir()
    # A line is folded at the terminal's width, wherever the path of the machine's temporary folder ends.
    assert folder.name in "".join(screen.split())
    assert "segments," in screen
    assert (folder / "verify.html").exists()


def test_a_hold_is_released_with_a_reason(recorded: ConsoleRig) -> None:
    held = re.search(
        r"as\s+(\S+)\.", recorded.run_logged_in('footage hold north -15s now "a crash"')
    )
    assert held
    hold = held[1]
    screen = recorded.run_logged_in(
        f"footage release {hold}", f'footage release {hold} "  "', f"footage release {hold} no"
    )
    assert 'release needs two arguments: HOLD "WHY"; see footage holds' in screen
    assert "WHY: allowed: a few words" in screen
    assert "It may be evicted now." in screen
    assert FootageArchive.from_state_dir(recorded.state_dir, recorded.clock).list_holds() == ()
    assert ("amina", f"footage release {hold} no") in recorded.receipts


def records(rig: ConsoleRig) -> list[InstallationRecord]:
    return [
        msgspec.json.decode(file.read_bytes(), type=InstallationRecord)
        for file in sorted((rig.state_dir / "commissioned").glob("*/record.json"))
    ]


ANSWERS = ("perhaps", "n no motor yet", "y", "n no time server here")


def test_a_box_is_commissioned_part_by_part(rig: ConsoleRig) -> None:
    rig.clock.synced = False
    screen = rig.run_logged_in("commission", *ANSWERS)
    assert "aim of north: no picture" in screen
    assert "allowed: y, or n and a reason" in screen
    assert "Written:" in screen
    assert "NOT GOOD: clock: no time server here" in screen
    (record,) = records(rig)
    assert [(str(item.title), item.good, item.note) for item in record.answers] == [
        ("aim of north", False, None),
        ("head of mast", False, "no motor yet"),
        ("link", True, None),
        ("clock", False, "no time server here"),
    ]


def test_a_commissioning_that_is_aborted_records_nothing(rig: ConsoleRig) -> None:
    screen = rig.run_logged_in("commission", "y", keys=b"\x03")
    assert "Written:" not in screen
    assert records(rig) == []


def test_changes_since_the_commissioning_are_reported(rig: ConsoleRig) -> None:
    rig.run_logged_in("commission", "y", "y", "y", "y")
    assert "  clock: " not in rig.run_logged_in("commission compare")
    rig.clock.synced = False
    screen = rig.run_logged_in("commission compare")
    assert "commissioned 2026-11-25T00:00:01.000Z by amina" in screen
    assert "  clock: " in screen
    (record,) = records(rig)
    assert [str(line) for line in format_comparison(record, ())[1:]] == ["  no drift"]


def test_an_export_prints_its_size_and_the_free_space_before_it_begins(
    recorded: ConsoleRig,
) -> None:
    screen = recorded.run_logged_in("footage export north -10s now why")
    shown = re.search(
        r"\d\.\d [kM]B of footage; \d+\.\d [GT]B are free on the disk\.\s+Exporting to", screen
    )
    assert shown is not None, screen


def test_an_export_without_a_usb_disk_is_refused(recorded: ConsoleRig) -> None:
    (recorded.root / "proc/self/mounts").write_text("")
    assert "no USB disk that can be written" in recorded.run_logged_in(
        "footage export north -10s now why"
    )


def test_a_log_cannot_move_the_cursor(rig: ConsoleRig) -> None:
    screen = rig.run_logged_in("pages off", "log 5")
    assert "line 4  [31m of the journal" in screen
    assert "\x1b" not in screen


def test_ctrl_c_ends_the_running_command_and_nothing_else(rig: ConsoleRig) -> None:
    screen = rig.run_logged_in("log 100", keys=b"q\x03status\r")
    assert "-- more --" in screen
    assert "Box casa-0001" in screen


def test_footage_list_is_not_taken_for_a_camera(rig: ConsoleRig) -> None:
    screen = rig.run_logged_in("footage list", "footage list north", "footage", "footage north")
    assert screen.count("No footage.") == 4
    assert "no such camera" not in screen
    screen = rig.run_logged_in("footage elsewhere", "footage list elsewhere")
    assert screen.count("camera 'elsewhere': no such camera; allowed: north") == 2


def test_the_console_names_the_state_disk_and_that_of_the_footage(rig: ConsoleRig) -> None:
    assert "20.0 GB of disk free" in rig.run_logged_in("status")
    rig.state_free_bytes = 994_000_000
    screen = " ".join(rig.run_logged_in("status").split())
    assert "20.0 GB free for footage, 994.0 MB for the rest of the state" in screen


def put_in_force(rig: ConsoleRig, version: int) -> DesiredStore:
    store = DesiredStore(rig.state_dir)
    layer = ConfigLayer(version=version, by="brahim", scenes={"north": "x"})
    store.begin(layer, "keys", "brahim", rig.boot, 2**62)
    store.confirm(0, rig.boot)
    store.write_decision(Decision(version=version, digest="d"))
    return store


def test_a_technician_resets_the_centres_version_with_a_receipt(rig: ConsoleRig) -> None:
    store = put_in_force(rig, 8)
    screen = rig.run_logged_in("config reset", "no")
    assert "version 8 by brahim: scenes.north" in " ".join(screen.split())
    assert "Nothing is changed." in screen
    assert store.layer().version == 8
    screen = rig.run_logged_in("config reset", BOX)
    assert "The box's own file alone is in force." in screen
    assert store.layer() == ConfigLayer()
    assert store.decision().version == 0
    assert store.decision().reasons == ("reset at the box by amina",)
    assert ("amina", "config reset confirmed: version 8") in rig.receipts
    assert "No version of the centre is in force." in rig.run_logged_in("config reset")


def test_a_damaged_version_is_reset_too(rig: ConsoleRig) -> None:
    store = put_in_force(rig, 8)
    path = rig.state_dir / DESIRED_DIR / "layer.json"
    path.write_bytes(path.read_bytes()[:-20])
    assert "is damaged" in rig.run_logged_in("config reset", BOX)
    assert store.layer() == ConfigLayer()
    assert ("amina", "config reset confirmed: version damaged") in rig.receipts


def test_without_a_receipt_no_version_is_reset(rig: ConsoleRig) -> None:
    store = put_in_force(rig, 8)
    rig.break_custody_log()
    assert "It is not done without a receipt." in rig.run_logged_in("config reset", BOX)
    assert store.layer().version == 8


def test_the_centres_version_on_top_of_the_file_is_named(rig: ConsoleRig) -> None:
    store = DesiredStore(rig.state_dir)
    settings = {"record": {"max_age_h": 24}}
    store.begin(ConfigLayer(version=8, by="brahim", settings=settings), "keys", "brahim", "boot", 0)
    screen = " ".join(rig.run_logged_in("config").split())
    assert "On top of the file, from the centre: version 8 by brahim: record.max_age_h" in screen
    path = rig.state_dir / DESIRED_DIR / "layer.json"
    path.write_bytes(path.read_bytes()[:-20])
    assert "The centre's configuration on top of the file is damaged." in rig.run_logged_in(
        "config"
    )
