"""agent.console.session after wrong answers: guesses cost a bounded delay, and lock nobody out."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.console.login import parse_challenge
from tests.conftest import ManualClock
from tests.parts.console_rig import ConsoleRig, make_unwritable

WRONG = ("login amina", "12345678")
DELAYED = "SVC-01: 3 wrong answers in a row. A code is checked in {} s at the earliest, a"
"""The first line: the console has 80 columns."""


@pytest.fixture
def rig(clock: ManualClock, tmp_path: Path) -> ConsoleRig:
    return ConsoleRig(clock, tmp_path)


def wait_for_the_delay(rig: ConsoleRig) -> None:
    """No key is pressed while the console waits before it checks an answer."""
    rig.line.on_read = lambda: (
        rig.lockout.remaining_s() > 0 and rig.line.screen.rstrip().endswith("Ctrl-C cancels.")
    )


def test_the_right_answer_after_three_wrong_ones_is_checked_after_a_delay(rig: ConsoleRig) -> None:
    wait_for_the_delay(rig)
    begin_ns = rig.clock.now_ns
    screen = rig.type_lines(*WRONG * 3, "login amina", rig.login_code())
    assert DELAYED.format(30) in screen
    assert "Your answer is checked in 30 s. Ctrl-C cancels." in screen
    assert "Welcome, amina." in screen
    assert rig.clock.now_ns - begin_ns == 30_000_000_000
    assert rig.lockout.failures == 0


def test_after_any_number_of_wrong_answers_the_right_one_waits_five_minutes_at_most(
    rig: ConsoleRig,
) -> None:
    wait_for_the_delay(rig)
    rig.type_lines(*WRONG * 50)
    assert rig.lockout.failures == 50
    begin_ns = rig.clock.now_ns
    assert "Welcome, amina." in rig.type_lines("login amina", rig.login_code())
    assert rig.clock.now_ns - begin_ns == 300_000_000_000


def test_a_guess_costs_its_delay_and_a_cancelled_one_is_not_checked(rig: ConsoleRig) -> None:
    rig.type_lines(*WRONG * 3)
    screen = rig.type_lines("login amina", rig.login_code(), keys=b"\x03")
    assert "Welcome" not in screen
    assert rig.lockout.failures == 3
    # A key shows how long it still takes.
    screen = rig.type_lines("login amina", rig.login_code(), keys=b"\r\x03")
    assert screen.count("Your answer is checked in 30 s.") == 2


def test_a_token_does_not_wait_for_wrong_codes(rig: ConsoleRig) -> None:
    token = Ed25519PrivateKey.generate()
    public = base64.b64encode(token.public_key().public_bytes_raw()).decode()
    rig.type_lines(*WRONG * 3)
    rig.technicians = {"amina": public}
    challenge = parse_challenge("casa-0001 amina 0000-0000")
    answer = base64.b64encode(token.sign(challenge.message)).decode()
    assert "Welcome, amina." in rig.type_lines("login amina", answer)
    # Garbage in a token's place waits as a code does: each answer has a receipt.
    rig.type_lines(*WRONG * 3)
    garbage = base64.b64encode(bytes(64)).decode()
    assert "Your answer is checked in" in rig.type_lines("login amina", garbage)


def test_the_delay_outlives_the_console_process(clock: ManualClock, tmp_path: Path) -> None:
    ConsoleRig(clock, tmp_path).type_lines(*WRONG * 3)
    again = ConsoleRig(clock, tmp_path)
    assert "SVC-01: 3 wrong answers" in again.type_lines("login amina", again.login_code())


@pytest.mark.parametrize("read_only", [False, True])
def test_a_delay_across_a_reboot_ends_despite_retries_every_few_seconds(
    clock: ManualClock, tmp_path: Path, *, read_only: bool
) -> None:
    ConsoleRig(clock, tmp_path).type_lines(*WRONG * 3)
    if read_only:
        make_unwritable(tmp_path / "state")
    clock.now_ns = 10_000_000_000
    rig = ConsoleRig(clock, tmp_path, boot="boot-2")
    told = []
    for _ in range(4):
        told += rig.type_lines("login amina").splitlines()
        clock.advance_s(5)
    delayed = [line for line in told if line.startswith("SVC-01")]
    assert delayed == [DELAYED.format(left) for left in (20, 15, 10, 5)]
    assert "Welcome, amina." in rig.type_lines("login amina", rig.login_code(), "logout")
    # After a logout the console reads the delay from the disk again.
    again = ConsoleRig(clock, tmp_path, boot="boot-2")
    assert "Welcome, amina." in again.type_lines("login amina", again.login_code())
