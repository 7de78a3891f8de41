"""A technician's time at the console: what he may do before and after he has logged in, and that each
thing he does stands in the chain.
"""

import random
import tracemalloc
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.base.health_model import HealthReport
from agent.console.checks import CHECKS
from agent.console.command_table import COMMANDS
from agent.console.results import ItemVerdict
from agent.console.session import tokenize
from agent.console.terminal import HungUp
from tests.conftest import ManualClock
from tests.pure.console_rig import (
    CONFIG_TEXT,
    SECRET,
    ConsoleRig,
    MemoryByteLine,
    make_picture,
    make_unwritable,
)

NAMES = [command.name for command in COMMANDS]
BEFORE = ("help", "about", "login")


@pytest.fixture
def desk(clock: ManualClock) -> ConsoleRig:
    return ConsoleRig(clock)


def test_the_first_screen_tells_how_to_begin(desk: ConsoleRig) -> None:
    screen = desk.type_lines()
    assert "Vigie 1.0 - box casa-0001 - Bd Mohammed V" in screen
    assert "Type login and enter." in screen


@pytest.mark.parametrize("name", NAMES)
def test_before_the_login_no_command_is_done(desk: ConsoleRig, name: str) -> None:
    screen = desk.type_lines(name, f"{name} now", f"{name[:3]}")
    assert screen.count("Only help, about and login before you are logged in.") >= 2
    assert desk.box.receipts == []
    assert desk.box.commands == []


def test_help_before_the_login_names_what_there_is(desk: ConsoleRig) -> None:
    screen = desk.type_lines("help", "about")
    assert all(word in screen for word in BEFORE)
    assert "signed chain" in screen


def test_the_answer_to_the_challenge_lets_him_in(desk: ConsoleRig) -> None:
    screen = desk.type_lines("login amina", desk.login_code(), "logout")
    assert "Challenge:  casa-0001 amina 0000-0000" in screen
    assert "Welcome, amina." in screen
    assert desk.box.receipts == [("amina", "login by code"), ("amina", "logout")]


def test_a_wrong_answer_does_not_and_is_written_down(desk: ConsoleRig) -> None:
    screen = desk.type_lines("login amina", "12345678", "status")
    assert "That is not the answer to this challenge." in screen
    assert "Only help, about and login" in screen
    assert desk.box.receipts == [("amina", "login refused, wrong answers in a row: 1")]


def test_after_three_wrong_answers_the_console_is_locked_for_a_while(desk: ConsoleRig) -> None:
    wrong = ("login amina", "12345678") * 3
    screen = desk.type_lines(*wrong, "login amina", desk.login_code())
    assert "SVC-01: locked after 3 wrong answers in a row. Try again in 30 s." in screen
    assert "Welcome" not in screen
    desk.clock.advance_s(31)
    assert "Welcome" in desk.type_lines("login amina", desk.login_code())
    assert desk.lockout.failures == 0


def test_the_lock_outlives_the_console(clock: ManualClock, tmp_path: Path) -> None:
    ConsoleRig(clock, tmp_path).type_lines(*("login amina", "12345678") * 3)
    again = ConsoleRig(clock, tmp_path)
    assert "locked after 3 wrong answers" in again.type_lines("login amina", again.login_code())


@pytest.mark.parametrize("read_only", [False, True])
def test_a_lock_over_a_reboot_ends_for_who_tries_every_few_seconds(
    clock: ManualClock, tmp_path: Path, *, read_only: bool
) -> None:
    ConsoleRig(clock, tmp_path).type_lines(*("login amina", "12345678") * 3)
    if read_only:
        make_unwritable(tmp_path)
    clock.now_ns = 10_000_000_000
    desk = ConsoleRig(clock, tmp_path, boot="boot-2")
    told = []
    for _ in range(4):
        told += desk.type_lines("login amina").splitlines()
        clock.advance_s(5)
    locked = [line for line in told if line.startswith("SVC-01")]
    said = "SVC-01: locked after 3 wrong answers in a row. Try again in {} s."
    assert locked == [said.format(left) for left in (20, 15, 10, 5)]
    assert "Welcome, amina." in desk.type_lines("login amina", desk.login_code(), "logout")
    # After a logout the console begins anew, by what the disk has.
    again = ConsoleRig(clock, tmp_path, boot="boot-2")
    assert "Welcome, amina." in again.type_lines("login amina", again.login_code())


def test_an_answer_counts_before_it_is_judged(clock: ManualClock, tmp_path: Path) -> None:
    desk = ConsoleRig(clock, tmp_path)
    desk.box.can_write_receipts = False
    desk.type_lines("login amina", "12345678")
    assert (tmp_path / "console" / "lockout.json").exists()


def test_a_console_without_a_secret_lets_nobody_in_and_tells_how_to_make_one(
    clock: ManualClock,
) -> None:
    desk = ConsoleRig(clock, secret=None)
    screen = desk.type_lines("login amina", "status", "about")
    assert "Nobody can log in yet" in screen
    assert "vigie console-code --new FILE" in screen
    assert "Answer" not in screen


def test_a_name_is_a_name(desk: ConsoleRig) -> None:
    screen = desk.type_lines("login Robert;drop", "login", "amina", desk.login_code())
    assert "A name has up to 32" in screen
    assert "Welcome, amina." in screen


def test_who_presses_nothing_is_logged_out(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in("status", silence_s=700)
    assert "Nobody pressed a key for 600 s." in screen
    assert desk.box.receipts[-1] == ("amina", "idle logout")
    assert screen.rstrip().endswith("casa-0001 (not logged in)>")


def test_a_line_that_hangs_up_is_logged_out(desk: ConsoleRig) -> None:
    desk.run_logged_in("status")
    assert desk.box.receipts[-1] == ("amina", "the line hung up")
    assert "Only help, about" in desk.type_lines("status")


def test_each_command_is_in_the_chain_before_it_is_done(desk: ConsoleRig) -> None:
    desk.run_logged_in("check 3", "faults", "status", "help", "nonsense", "logout")
    assert [what for _, what in desk.box.receipts] == [
        "login by code",
        "check 3",
        "faults",
        "status",
        "logout",
    ]


@pytest.mark.parametrize(
    "line", ["camera", "ptz stop", "gpio siren on", "enrol request", "config set box.site x"]
)
def test_what_needs_a_receipt_is_not_done_without_one(desk: ConsoleRig, line: str) -> None:
    desk.box.can_write_receipts = False
    screen = desk.run_logged_in(line)
    assert "CUS-01: no receipt of this could be written: the disk is gone" in screen
    assert "It is not done without a receipt." in screen
    assert desk.box.commands == []
    assert desk.box.previews == []
    assert desk.box.config_editor.pending_change is None


def test_a_box_without_a_disk_can_still_be_looked_at_and_restarted(desk: ConsoleRig) -> None:
    desk.box.can_write_receipts = False
    assert "Agent" in desk.run_logged_in("status")
    assert "pass supply" in desk.run_logged_in("check 1")
    assert "The box restarts" in desk.run_logged_in("reboot", "casa-0001")
    assert desk.box.reboot_count == 1


@pytest.mark.parametrize(
    ("typed", "does"),
    [("stat", "Box casa-0001"), ("STATUS", "Box casa-0001"), ("foot", "plain"), ("cam", "focus")],
)
def test_the_beginning_of_a_name_is_enough(desk: ConsoleRig, typed: str, does: str) -> None:
    assert does in desk.run_logged_in(typed)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("reb", "reb: no such command"),
        ("statsu", "statsu: no such command. Did you mean status?"),
        ("xyzzy", "xyzzy: no such command. help lists them."),
        ("se", "Did you mean serial or selftest?"),
        ("$(reboot)", "no such command"),
        ("status; reboot", "status;: no such command. Did you mean status?"),
        ("`sh`", "no such command"),
        ("| sh", "no such command"),
    ],
)
def test_an_unknown_word_is_told_in_a_line(desk: ConsoleRig, typed: str, said: str) -> None:
    screen = desk.run_logged_in(typed)
    assert said in screen
    assert desk.box.reboot_count == 0


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("logout", "pages")])
def test_each_command_answers_nonsense_with_a_line(desk: ConsoleRig, name: str) -> None:
    screen = desk.run_logged_in(f"{name} n0nsense n0nsense n0nsense n0nsense n0nsense")
    assert "allowed:" in screen or "see help" in screen or "no such" in screen
    assert len(screen.splitlines()) < 14


@pytest.mark.parametrize("name", NAMES)
def test_help_tells_how_each_is_used(desk: ConsoleRig, name: str) -> None:
    assert f"{name}: " in desk.run_logged_in(f"help {name}")


def test_a_restart_wants_the_name_of_the_box(desk: ConsoleRig) -> None:
    assert "Nothing is restarted." in desk.run_logged_in("reboot", "yes")
    assert desk.box.reboot_count == 0
    assert "The box restarts within seconds." in desk.run_logged_in("reboot", "casa-0001")
    assert desk.box.reboot_count == 1


def test_the_checks_have_numbers_that_stay() -> None:
    assert [(one.number, one.name) for one in CHECKS] == [
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
    ]


@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("number", [one.number for one in CHECKS])
def test_each_check_works_alone(desk: ConsoleRig, number: int, alive: bool) -> None:
    desk.box.is_alive = alive
    screen = desk.run_logged_in(f"check {number}")
    assert f"\n{number:>2} " in screen
    assert any(verdict in screen for verdict in ("pass", "FAIL", " -  "))


def test_a_failed_check_tells_its_code_and_what_to_do(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in("check 14")
    assert "14 FAIL NET-01 TCP: no answer" in screen
    assert "Failed: check 14." in screen


@pytest.mark.parametrize(
    ("listens", "faults", "said"),
    [
        (True, (), "15 pass centre: listens; 0 messages wait"),
        (True, ("NET-03",), "15 FAIL NET-03 centre: the device is not there; 0 messages wait"),
        (False, ("NET-03",), "15 FAIL NET-03 centre: the device is not there; 0 messages wait"),
        (False, ("CAM-02",), "15  -   centre: none listens; where there is none to wait for,"),
    ],
)
def test_that_no_centre_listens_is_bad_where_the_box_waits_for_one(
    desk: ConsoleRig, *, listens: bool, faults: tuple[str, ...], said: str
) -> None:
    desk.box.centre_listening, desk.box.faults = listens, faults
    screen = desk.run_logged_in("check 15")
    assert said in screen
    assert ("Failed: check 15." in screen) == ("FAIL" in said)


def test_a_dead_agent_is_told_and_its_cameras_are_tried_here(desk: ConsoleRig) -> None:
    desk.box.is_alive = False
    screen = desk.run_logged_in("check 5 6 7")
    assert "FAIL agent: is dead, last heard 1 min ago" in screen
    assert "pass camera north: gives pictures (320 x 180), tried here" in screen
    assert all(eye.closed for eye in desk.box.previews)


def test_faults_tell_what_to_do(desk: ConsoleRig) -> None:
    desk.box.faults = ("CAM-02",)
    screen = desk.run_logged_in("faults", "faults cam-02")
    assert "CAM-02 error: no frames (north), for 1.0 s" in screen
    assert screen.count("> Mend it.") == 2
    assert "Centre: Wait." in screen


def test_the_bar_climbs_as_the_lens_is_turned(desk: ConsoleRig) -> None:
    sharp = make_picture(1, 720, 1280)
    steps = [sharp[::k, ::k].repeat(k, 0).repeat(k, 1)[:720, :1280] for k in (16, 8, 4, 1)]
    desk.box.views = [*reversed(steps[-1:]), *steps]
    screen = desk.run_logged_in("camera focus", silence_s=2)
    bars = [line.count("#") for line in screen.split("\r") if line.startswith("focus")]
    assert len(bars) >= 4
    assert "\x1b" not in screen


def test_the_level_follows_the_camera_as_it_is_turned(desk: ConsoleRig) -> None:
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
    desk.box.views = [np.asarray(picture, np.uint8) for picture in leaning]
    screen = desk.run_logged_in("camera level", silence_s=3)
    said = [line for line in screen.split("\r") if line.startswith("level")]
    marks = [line.index("#") - line.index("[") for line in said[:3]]
    assert marks[1] < marks[2] < marks[0]
    ends = [line.partition("] ")[2].strip() for line in said[:3]]
    assert ends == ["turn it clockwise", "turn it counter-clockwise", "good"]


def test_a_camera_that_gives_nothing_says_so(desk: ConsoleRig) -> None:
    desk.box.views = []
    assert "No picture came within 10 s" in desk.run_logged_in("camera north")


def test_a_picture_fits_a_screen(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in("camera")
    assert "-- more --" not in screen
    assert all(len(line) < 80 for line in screen.splitlines())
    assert all(word in screen for word in ("focus", "light", "level", "glass"))


def test_keys_turn_a_head_and_leaving_stops_it(desk: ConsoleRig) -> None:
    desk.run_logged_in("ptz", keys=b"9\x1b[C\x1b[A+q")
    moves = [args for _, args in desk.box.commands]
    assert {"do": "move", "head": "mast", "pan": 1.0, "for_s": 0.5} in moves
    assert {"do": "move", "head": "mast", "tilt": 1.0, "for_s": 0.5} in moves
    assert moves[-1] == {"do": "stop", "head": "mast"}


def test_a_head_that_is_turned_stops_when_the_cable_comes_off(desk: ConsoleRig) -> None:
    desk.run_logged_in("ptz", keys=b"d")
    assert desk.box.commands[-1] == ("ptz", {"do": "stop", "head": "mast"})


def test_what_the_agent_refuses_is_told_with_its_reason(desk: ConsoleRig) -> None:
    assert "not done (forbidden): nobody may" in desk.run_logged_in("gpio siren on 3")


def test_a_certificate_is_pasted_line_by_line(desk: ConsoleRig) -> None:
    pem = ["-----BEGIN CERTIFICATE-----", "MIIB" * 16, "AAAA", "-----END CERTIFICATE-----"]
    screen = desk.run_logged_in("enrol certificate", "", "junk", *pem)
    assert desk.box.pasted_certificates == ["\n".join(pem) + "\n"]
    assert "Certificate of casa-0001." in screen


def test_an_endless_paste_is_given_up(desk: ConsoleRig) -> None:
    assert "no end of a certificate" in desk.run_logged_in("enrol certificate", *["A" * 64] * 250)


def test_a_key_is_shown_as_it_was_and_as_it_is_and_stays_once_it_is_confirmed(
    desk: ConsoleRig,
) -> None:
    screen = desk.run_logged_in('config set box.site "Place Maarif"', "config", "config confirm")
    assert "box.site: Bd Mohammed V -> Place Maarif" in screen
    assert "On trial for 5 minutes." in screen
    assert "ON TRIAL by amina: box.site." in screen
    assert "Kept: box.site." in screen
    assert 'site = "Place Maarif"   # where it stands' in desk.box.config_editor.text
    assert desk.box.receipts[1] == ("amina", "config set box.site Place Maarif")


def test_what_is_on_trial_can_be_undone_at_once(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in("config set box.site x broker.url mqtt://h for 9", "config undo")
    assert "On trial for 9 minutes." in screen
    assert "Undone: box.site, broker.url." in screen
    assert desk.box.config_editor.text == CONFIG_TEXT


def test_who_logs_in_meanwhile_is_told_what_is_on_trial(desk: ConsoleRig) -> None:
    desk.run_logged_in("config set box.site x", "logout")
    assert "ON TRIAL by amina: box.site." in desk.run_logged_in()


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
def test_what_cannot_be_set_is_told_in_a_line(desk: ConsoleRig, line: str, said: str) -> None:
    assert said in " ".join(desk.run_logged_in(line).split())
    assert desk.box.config_editor.text == CONFIG_TEXT


def test_a_password_in_an_address_is_neither_taken_nor_written_down(desk: ConsoleRig) -> None:
    desk.run_logged_in("config set broker.url mqtt://u:hunter2@h/x?token=hunter2")
    assert desk.box.receipts[-2] == ("amina", "config set broker.url mqtt://h/(left out)")
    assert desk.box.config_editor.pending_change is None


def test_what_is_undone_while_he_types_is_told_and_his_line_stays(desk: ConsoleRig) -> None:
    desk.box.config_editor.notice = "box.site: nobody has confirmed it."
    desk.line.max_output_bytes = 1 << 20
    screen = desk.run_logged_in(keys=b"stat", silence_s=3)
    assert "casa-0001> stat\nbox.site: nobody has confirmed it.\ncasa-0001> stat" in screen


def test_before_the_login_it_is_watched_and_nothing_told(desk: ConsoleRig) -> None:
    desk.box.config_editor.notice = "box.site: nobody has confirmed it."
    assert "nobody has confirmed" not in desk.type_lines(silence_s=3)
    assert desk.box.config_editor.polls > 0


def test_footage_is_held_and_exported_in_his_name(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in(
        'footage hold north -10m now "a crash"', 'footage export north -10m now "for the police"'
    )
    assert "Kept until 2026-12-25T00:00:00.000Z as h1." in screen
    assert "/media/stick: 3 segments" in screen


def test_what_is_held_is_let_go_of_with_a_reason(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in(
        "footage release h1", 'footage release h1 "  "', "footage release h1 no"
    )
    assert 'release needs two words: HOLD "WHY"; see footage holds' in screen
    assert "WHY: allowed: a few words" in screen
    assert "It may be evicted now." in screen
    assert desk.box.released == [("h1", "no")]
    assert ("amina", "footage release h1 no") in desk.box.receipts


def test_a_box_is_commissioned_part_by_part(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in("commission", "y", "perhaps", "n no time server here")
    assert "aim of north: exposure good" in screen
    assert "Allowed: y, n, or n and a few words." in screen
    assert "Written and signed: /var/lib/vigie/commissioned/1" in screen
    assert desk.box.verdicts == [
        ItemVerdict(ok=True, note=None),
        ItemVerdict(ok=False, note="no time server here"),
    ]


def test_who_stops_in_the_middle_has_commissioned_nothing(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in("commission", "y", keys=b"\x03")
    assert "Written and signed" not in screen
    assert desk.box.verdicts == []


def test_what_has_changed_since_is_told(desk: ConsoleRig) -> None:
    assert "All is as it was." in desk.run_logged_in("commission compare")
    desk.box.changes = [("moved north", "by 5 %")]
    assert "moved north  by 5 %" in desk.run_logged_in("commission compare")


def test_without_a_usb_disk_nothing_is_exported(desk: ConsoleRig) -> None:
    desk.box.usb_mounts = ()
    assert "no USB disk is mounted" in desk.run_logged_in("footage export north -10m now why")


def test_a_log_cannot_move_the_cursor(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in("pages off", "log 5")
    assert "line 4  [31m of the journal" in screen
    assert "\x1b" not in screen


def test_ctrl_c_ends_what_goes_on_and_nothing_else(desk: ConsoleRig) -> None:
    screen = desk.run_logged_in("log 100", keys=b"q\x03status\r")
    assert "-- more --" in screen
    assert "Box casa-0001" in screen


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("a b", ["a", "b"]),
        ('a "b c" d', ["a", "b c", "d"]),
        ("a 'b c'", ["a", "b c"]),
        ('a "b', ["a", '"b']),
    ],
)
def test_what_stands_in_quotation_marks_is_one_word(line: str, words: list[str]) -> None:
    assert tokenize(line) == words


def hostile(rng: random.Random, count: int, *, stays: bool = False) -> bytes:
    """Lines of commands, halves of them, controls, escapes, other alphabets, long runs; with `stays`
    nothing that logs out.
    """
    words = [*NAMES, *BEFORE, "all", "ping", "focus", "live", "on", "off", "north", "mast", "-10m"]
    words += ["xmodem", "certificate", "set", "confirm", "undo", "box.site"]
    out = bytearray()
    while len(out) < count:
        match rng.randrange(9):
            case 0 | 1 | 2:
                line = " ".join(rng.choice(words) for _ in range(rng.randrange(1, 5)))
                out += line.encode() + rng.choice((b"\r", b"\n", b"\r\n", b""))
            case 3:
                out += rng.randbytes(rng.randrange(1, 40))
            case 4:
                out += b"\x1b" + rng.choice((b"[", b"O", b"]0;", b"P", b"")) + rng.randbytes(6)
            case 5:
                out += rng.choice((b"$(sh)", b"`id`", b"; sh\r", b"| sh\r", b"../../x", b"%s%n"))
            case 6:
                out += rng.choice((b"q", b" ", b"\r", b"\x03", b"\x04", b"\x15", b"\x08")) * 9
            case 7:
                out += "café ☎ ".encode() * rng.randrange(1, 4)
            case _:
                out += rng.choice((b"A", b"\x00", b"\xff", b'"')) * rng.randrange(1, 500)
    typed = bytes(out[:count])
    return typed.replace(b"\x04", b"\x05").replace(b"logout", b"status") if stays else typed


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    """As a line gives them: some at a time."""
    found = []
    at = 0
    while at < len(data):
        size = rng.randrange(1, 4000)
        found.append(data[at : at + size])
        at += size
    return found


class Counted(ConsoleRig):
    """A desk at which a code is never right."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock, secret=SECRET)

    def serve(self, typed: list[bytes]) -> None:
        self.line = MemoryByteLine(self.clock, typed)
        self.line.max_output_bytes = 10_000
        while self.line.input_chunks:
            try:
                self.new_session().run(ignore_eof=True)
            except HungUp:
                return


def test_a_million_hostile_bytes_before_the_login_do_nothing(clock: ManualClock) -> None:
    rng = random.Random(20261125)
    desk = Counted(clock)
    desk.serve(pieces(rng, hostile(rng, 50_000)))
    tracemalloc.start()
    desk.serve(pieces(rng, hostile(rng, 475_000)))
    before = tracemalloc.get_traced_memory()[0]
    desk.serve(pieces(rng, hostile(rng, 475_000)))
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 100_000
    assert desk.box.commands == []
    assert desk.box.reboot_count == 0
    assert desk.box.previews == []
    assert all(what.startswith("login refused") for _, what in desk.box.receipts)


@pytest.mark.slow
def test_a_million_hostile_bytes_after_the_login_break_nothing(clock: ManualClock) -> None:
    rng = random.Random(5)
    desk = Counted(clock)
    done = Counter[str]()

    def note(what: str) -> None:
        done[what.split(maxsplit=1)[0]] += 1

    desk.box.write_receipt = note  # type: ignore[method-assign] # a list of all of them would grow
    growth = []
    tracemalloc.start()
    for _ in range(20):
        typed = pieces(rng, hostile(rng, 50_000, stays=True))
        desk.serve([b"login amina\r", f"{desk.login_code()}\r".encode(), *typed])
        for kept in (desk.box.commands, desk.box.previews, desk.box.pasted_certificates):
            kept.clear()
        growth.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert set(NAMES) - {"logout"} <= set(done)
    assert min(done[name] for name in NAMES if name != "logout") > 10
    assert growth[-1] - growth[len(growth) // 2] < 200_000
    assert desk.box.reboot_count == 0
    assert "\x1b" not in desk.line.screen


@settings(max_examples=100)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([b"check\r", b"camera\r"]))))
def test_whatever_is_typed_after_the_login_ends_in_a_prompt_or_a_question(
    typed: list[bytes],
) -> None:
    desk = Counted(ManualClock())
    desk.serve([b"login amina\r", f"{desk.login_code()}\r".encode(), *typed])
    assert desk.box.reboot_count == 0
    assert all(byte in b"\r\n\b\a" or 0x20 <= byte < 0x7F for byte in desk.line.output)


def test_the_report_of_a_dead_agent_is_shown_as_old(desk: ConsoleRig) -> None:
    desk.box.is_alive = False
    desk.box.faults = ("CAM-02",)
    life = desk.box.agent_state()
    assert isinstance(life.report, HealthReport)
    screen = desk.run_logged_in("status", "faults")
    assert "DEAD (last heard 1 min ago): nothing is recorded" in screen
    assert "Faults, when it was last heard: 1" in screen
    assert "The agent is dead. It reported these 1 min ago:" in screen
