"""agent.console.session: the commands before and after the login, and the receipt of each."""

import gc
import os
import random
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent import __version__
from agent.base import file_lock
from agent.config.commit_confirm import CommitConfirm
from agent.console.context import ConsoleContext
from agent.console.serve import COMMANDS
from agent.console.session import tokenize
from agent.console.terminal import HungUp, Terminal
from agent.provisioning.enrolment import ENROL_DIR
from tests.conftest import ManualClock
from tests.parts.console_peers import MemoryByteLine, RecordingAgent
from tests.parts.console_rig import ConsoleRig
from tests.stopped_lock_holder import stopped_lock_holder

NAMES = [command.name for command in COMMANDS]
BEFORE = ("help", "about", "language", "login")


@pytest.fixture
def rig(clock: ManualClock, tmp_path: Path) -> ConsoleRig:
    return ConsoleRig(clock, tmp_path)


@pytest.fixture
def agent(rig: ConsoleRig) -> Iterator[RecordingAgent]:
    agent = RecordingAgent(rig.state_dir, rig.clock)
    with agent.running():
        yield agent


def test_the_first_screen_explains_how_to_begin(rig: ConsoleRig) -> None:
    screen = rig.type_lines()
    assert f"Vigie {__version__} - box casa-0001 - Bd Mohammed V" in screen
    assert "Type login and press enter." in screen


@pytest.mark.parametrize("name", [name for name in NAMES if name not in BEFORE])
def test_no_command_is_executed_before_the_login(rig: ConsoleRig, name: str) -> None:
    screen = rig.type_lines(name, f"{name} now", f"{name[:3]}")
    assert screen.count("Allowed before the login: help, about, language, login.") >= 2
    assert rig.receipts == []


def test_help_before_the_login_lists_the_available_commands(rig: ConsoleRig) -> None:
    screen = rig.type_lines("help", "about")
    assert all(word in screen for word in BEFORE)
    assert "signed custody log" in screen


def test_the_right_answer_to_the_challenge_logs_the_technician_in(rig: ConsoleRig) -> None:
    screen = rig.type_lines("login amina", rig.login_code(), "logout")
    assert "Challenge:  casa-0001 amina 0000-0000" in screen
    assert "Welcome, amina." in screen
    assert rig.receipts == [("amina", "login by code"), ("amina", "logout")]


def test_a_wrong_answer_is_refused_and_recorded(rig: ConsoleRig) -> None:
    screen = rig.type_lines("login amina", "12345678", "status")
    assert "That is not the answer to this challenge." in screen
    assert "Allowed before the login" in screen
    assert rig.receipts == [("amina", "login refused, wrong answers in a row: 1")]


def test_an_answer_is_counted_before_it_is_checked(clock: ManualClock, tmp_path: Path) -> None:
    rig = ConsoleRig(clock, tmp_path)
    rig.break_custody_log()
    rig.type_lines("login amina", "12345678")
    assert (rig.state_dir / "console" / "lockout.json").exists()


def test_a_console_without_a_secret_refuses_logins_and_explains_how_to_make_one(
    clock: ManualClock, tmp_path: Path
) -> None:
    rig = ConsoleRig(clock, tmp_path, secret=None)
    screen = rig.type_lines("login amina", "status", "about")
    assert "Nobody can log in yet" in screen
    assert "vigie console-code --new FILE" in screen
    assert "Answer" not in screen


def test_a_login_needs_a_valid_name(rig: ConsoleRig) -> None:
    screen = rig.type_lines("login Robert;drop", "login", "amina", rig.login_code())
    assert "A name has up to 32" in screen
    assert "Welcome, amina." in screen


def test_an_idle_technician_is_logged_out(rig: ConsoleRig) -> None:
    screen = rig.run_logged_in("status", silence_s=700)
    assert "No key was pressed for 600 s." in screen
    assert rig.receipts[-1] == ("amina", "idle logout")
    assert screen.rstrip().endswith("casa-0001 (not logged in)>")


def test_a_line_that_hangs_up_ends_the_login(rig: ConsoleRig) -> None:
    rig.run_logged_in("status")
    assert rig.receipts[-1] == ("amina", "the line hung up")
    assert "Allowed before the login" in rig.type_lines("status")


def test_each_command_is_in_the_custody_log_before_it_is_executed(rig: ConsoleRig) -> None:
    rig.run_logged_in("check 3", "faults", "status", "help", "nonsense", "logout")
    assert [what for _, what in rig.receipts] == [
        "login by code",
        "check 3",
        "faults",
        "status",
        "logout",
    ]


@pytest.mark.parametrize(
    "line", ["camera", "ptz stop", "gpio siren on", "enrol request", "config set box.site x"]
)
def test_a_command_that_needs_a_receipt_is_refused_without_one(
    rig: ConsoleRig, agent: RecordingAgent, line: str
) -> None:
    rig.break_custody_log()
    screen = rig.run_logged_in(line)
    assert "CUS-01: no receipt of this could be written: File exists" in screen
    assert "It is not done without a receipt." in screen
    assert agent.commands == []
    assert rig.previews == []
    assert not (rig.state_dir / ENROL_DIR).exists()
    assert CommitConfirm(rig.config_path).pending() is None


@pytest.mark.parametrize("locked", ["custody/lock", "identity"])
def test_a_lock_of_a_stopped_process_ends_no_session(
    clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: str
) -> None:
    ConsoleRig(clock, tmp_path).run_logged_in("status")
    rig = ConsoleRig(clock, tmp_path)
    receipts = rig.receipts
    monkeypatch.setattr(file_lock, "LOCK_TIMEOUT_S", 0.1)
    with stopped_lock_holder(rig.state_dir / locked):
        screen = rig.run_logged_in("status", "camera")
        assert "CUS-01: no receipt of this could be written" in screen
        assert "another process has held the lock for 0.1 s" in " ".join(screen.split())
        assert "Agent          runs for" in screen
        assert "It is not done without a receipt." in screen
        assert rig.previews == []
        assert rig.receipts == receipts
        rig.type_lines("language fr", "login amina", rig.login_code(), "status")
        assert "un autre processus tient le verrou depuis 0.1 s" in " ".join(
            rig.line.screen.split()
        )
    rig.run_logged_in("status")
    assert rig.receipts[len(receipts) :] == [
        ("amina", action) for action in ("login by code", "status", "the line hung up")
    ]


def test_a_box_without_a_disk_can_still_be_inspected_and_restarted(rig: ConsoleRig) -> None:
    rig.break_custody_log()
    assert "Agent" in rig.run_logged_in("status")
    assert "pass memory" in rig.run_logged_in("check 1")
    assert "The box restarts" in rig.run_logged_in("reboot", "casa-0001")
    assert rig.reboot_requested


@pytest.mark.parametrize(
    ("typed", "does"),
    [
        ("stat", "Box casa-0001"),
        ("STATUS", "Box casa-0001"),
        ("foot", "No footage."),
        ("cam", "focus"),
    ],
)
def test_a_prefix_of_a_command_name_is_enough(rig: ConsoleRig, typed: str, does: str) -> None:
    assert does in rig.run_logged_in(typed)


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
def test_an_unknown_word_is_named_in_one_line(rig: ConsoleRig, typed: str, said: str) -> None:
    screen = rig.run_logged_in(typed)
    assert said in screen
    assert not rig.reboot_requested


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("logout", "pages")])
def test_each_command_answers_invalid_arguments_with_one_line(rig: ConsoleRig, name: str) -> None:
    screen = rig.run_logged_in(f"{name} n0nsense n0nsense n0nsense n0nsense n0nsense")
    assert "allowed:" in screen or "see help" in screen or "no such" in screen
    assert len(screen.splitlines()) < 14


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_how_each_command_is_used(rig: ConsoleRig, name: str) -> None:
    assert f"{name}: " in rig.run_logged_in(f"help {name}")


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
def test_quoted_text_is_one_word(line: str, words: list[str]) -> None:
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


def serve(rig: ConsoleRig, typed: list[bytes]) -> None:
    """Serve sessions until the input ends, with the end of the output kept."""
    rig.line = MemoryByteLine(rig.clock, typed)
    rig.line.max_output_bytes = 10_000
    while rig.line.input_chunks:
        try:
            rig.new_session().run(ignore_eof=True)
        except HungUp:
            return


def console_memory_bytes() -> int:
    """Memory that the console has allocated and holds: other threads of this process count not."""
    gc.collect()
    console = tracemalloc.Filter(inclusive=True, filename_pattern="*/agent/console/*")
    snapshot = tracemalloc.take_snapshot().filter_traces([console])
    return sum(trace.size for trace in snapshot.traces)


def test_a_million_hostile_bytes_before_the_login_do_nothing(rig: ConsoleRig) -> None:
    rng = random.Random(20261125)
    serve(rig, pieces(rng, hostile(rng, 50_000)))
    tracemalloc.start()
    serve(rig, pieces(rng, hostile(rng, 475_000)))
    before = console_memory_bytes()
    serve(rig, pieces(rng, hostile(rng, 475_000)))
    after = console_memory_bytes()
    tracemalloc.stop()
    assert after - before < 100_000
    assert not rig.reboot_requested
    assert rig.previews == []
    assert all(what.startswith("login refused") for _, what in rig.receipts)


def print_page(terminal: Terminal, _context: ConsoleContext, _argv: Sequence[str]) -> None:
    """Print instead of a command that takes seconds; those have tests of their own."""
    terminal.print(*["a line"] * 30)


QUICK_COMMANDS = tuple(
    msgspec.structs.replace(command, run=print_page)
    if command.name in ("check", "net", "mqtt", "selftest", "commission", "bundle")
    else command
    for command in COMMANDS
)


# A million bytes in the long form.
HOSTILE_TURNS = 20 if os.environ.get("VIGIE_CRASH") == "long" else 6


@pytest.mark.slow
def test_hostile_bytes_after_the_login_break_nothing(clock: ManualClock, tmp_path: Path) -> None:
    rng = random.Random(5)
    rig = ConsoleRig(clock, tmp_path, commands=QUICK_COMMANDS)
    growth = []
    for turn in range(HOSTILE_TURNS):
        if turn == HOSTILE_TURNS - 5:
            tracemalloc.start()
        typed = pieces(rng, hostile(rng, 50_000, stays=True))
        serve(rig, [b"login amina\r", f"{rig.login_code()}\r".encode(), *typed])
        rig.previews.clear()
        if tracemalloc.is_tracing():
            growth.append(console_memory_bytes())
    tracemalloc.stop()
    done = Counter(what.split(maxsplit=1)[0] for _, what in rig.receipts)
    assert set(NAMES) - {"logout"} <= set(done)
    assert min(done[name] for name in NAMES if name != "logout") > HOSTILE_TURNS / 2
    assert growth[-1] - growth[0] < 100_000
    assert not rig.reboot_requested
    assert "\x1b" not in rig.line.screen


@settings(max_examples=100)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([b"check 2\r", b"camera\r"]))))
@example([b"camera north picture\r"])
def test_any_input_after_the_login_ends_in_a_prompt_or_a_question(
    tmp_path_factory: pytest.TempPathFactory, typed: list[bytes]
) -> None:
    rig = ConsoleRig(ManualClock(), tmp_path_factory.mktemp("box"))
    serve(rig, [b"login amina\r", f"{rig.login_code()}\r".encode(), *typed])
    assert not rig.reboot_requested
    # `camera north picture` asks the terminal program for its graphics; no other sequence is sent unasked.
    output = re.sub(rb"\x1b_Gi=31,[^\x1b]*\x1b\\|\x1b\[c", b"", rig.line.output)
    assert all(byte in b"\r\n\b\a" or 0x20 <= byte < 0x7F for byte in output)
