"""agent.console.login and agent.base.lockout: codes from the box's secret, tokens, and wrong answers."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.base.lockout import FREE_ATTEMPTS, MAX_WAIT_S, Lockout, wait_s
from agent.base.secret_file import read_secret
from agent.console.login import (
    DIGITS,
    Authenticator,
    compute_code,
    generate_challenge,
    is_signature_valid,
    parse_challenge,
    write_secret,
)
from tests.conftest import ManualClock
from tests.parts.console_rig import make_unwritable

SECRET = bytes(range(32))


def test_the_code_matches_the_documentation() -> None:
    challenge = parse_challenge("casa-0001 amina 7K2M-9QXD")
    message = b"vigie console 1\ncasa-0001 amina 7K2M9QXD"
    assert challenge.message == message
    digest = hmac.new(SECRET, message, hashlib.sha256).digest()
    at = digest[31] & 15
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFFFFFF
    assert compute_code(SECRET, challenge) == str(number % 100_000_000).zfill(8)
    page = (Path(__file__).parents[2] / "docs" / "console.md").read_text()
    assert f"`{compute_code(SECRET, challenge)}`" in page


@pytest.mark.parametrize(
    "typed",
    [
        "casa-0001 amina 7K2M-9QXD",
        "CASA-0001 Amina 7k2m9qxd",
        "  casa-0001   amina  7K2M 9QXD ",
    ],
)
def test_a_challenge_is_accepted_as_people_write_it(typed: str) -> None:
    assert parse_challenge(typed).text == "casa-0001 amina 7K2M-9QXD"


def test_letters_that_look_alike_are_treated_as_the_same() -> None:
    assert parse_challenge("b n OIL0-1234").nonce == parse_challenge("b n 0110-1234").nonce


@pytest.mark.parametrize(
    "typed", ["", "casa-0001", "casa-0001 amina 7K2M", "casa-0001 amina 7K2M-9QXU", "a b\nc d e"]
)
def test_an_invalid_challenge_is_refused_in_one_line(typed: str) -> None:
    with pytest.raises(UserError, match="allowed: BOX NAME XXXX-XXXX"):
        parse_challenge(typed)


@given(st.binary(min_size=5, max_size=5))
def test_every_challenge_survives_dictation(random: bytes) -> None:
    challenge = generate_challenge("casa-0001", "amina", lambda _count: random)
    assert parse_challenge(challenge.text) == challenge


def gate(secret: bytes | None = SECRET, technicians: dict[str, str] | None = None) -> Authenticator:
    numbers = iter(range(1000))
    return Authenticator(
        "casa-0001", secret, technicians or {}, lambda _n: bytes([0, 0, 0, 0, next(numbers)])
    )


def test_the_right_code_logs_in_once() -> None:
    door = gate()
    code = compute_code(SECRET, door.issue_challenge("amina"))
    assert door.verify_code(f"{code[:4]} {code[4:]}")
    assert not door.verify_code(code)


def test_a_code_is_invalid_for_another_challenge_or_name() -> None:
    door = gate()
    code = compute_code(SECRET, door.issue_challenge("amina"))
    door.issue_challenge("amina")
    assert not door.verify_code(code)
    for_amina = compute_code(SECRET, door.issue_challenge("amina"))
    assert compute_code(SECRET, door.issue_challenge("brahim")) != for_amina


def test_a_challenge_accepts_one_answer() -> None:
    door = gate()
    code = compute_code(SECRET, door.issue_challenge("amina"))
    assert not door.verify_code("00000000")
    assert not door.verify_code(code)


def test_a_token_signs_its_own_challenges_and_no_others() -> None:
    token = Ed25519PrivateKey.generate()
    public = base64.b64encode(token.public_key().public_bytes_raw()).decode()
    door = gate(None, {"amina": public})
    assert door.can_authenticate("amina")
    assert not door.can_authenticate("brahim")
    challenge = door.issue_challenge("amina")
    answer = base64.b64encode(token.sign(challenge.message)).decode()
    assert is_signature_valid(public, challenge, answer)
    assert door.verify_token(answer)
    assert not door.verify_token(answer)
    door.issue_challenge("brahim")
    assert not door.verify_token(answer)


def test_without_a_secret_or_token_no_login_succeeds() -> None:
    door = gate(None)
    assert not door.is_provisioned
    door.issue_challenge("amina")
    assert not door.verify_code(compute_code(b"", parse_challenge("casa-0001 amina 0000-0000")))


@given(st.text(max_size=300))
def test_no_answer_crashes_the_login(answer: str) -> None:
    token = base64.b64encode(bytes(32)).decode()
    door = gate(SECRET, {"amina": token})
    door.issue_challenge("amina")
    assert not door.verify_token(answer)
    assert not door.verify_code(answer)


def test_a_new_secret_is_readable_by_its_owner_only_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "console.secret"
    write_secret(file, lambda count: bytes(range(count)))
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_secret(file) == bytes(range(32))
    with pytest.raises(FileExistsError):
        write_secret(file, bytes)


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (b"AAAA", 0o600, "3 bytes; allowed: 16 or more"),
        (b"not base64!", 0o600, "not base64"),
        (base64.b64encode(SECRET), 0o644, "mode 644; allowed: 600 or 640"),
    ],
)
def test_a_bad_secret_is_refused_and_not_shown(
    tmp_path: Path, content: bytes, mode: int, why: str
) -> None:
    file = tmp_path / "console.secret"
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(UserError) as error:
        read_secret(file)
    assert why in str(error.value)
    assert content.decode() not in str(error.value)


def test_each_wrong_answer_doubles_the_delay_up_to_5_minutes() -> None:
    waits = [wait_s(failures) for failures in range(200)]
    assert waits[:FREE_ATTEMPTS] == [0, 0, 0]
    assert waits[FREE_ATTEMPTS : FREE_ATTEMPTS + 4] == [30, 60, 120, 240]
    assert waits == sorted(waits)
    assert waits[-1] == MAX_WAIT_S == 300
    # The chance to guess one of 10^8 codes in a year at the cable: agent/base/lockout.py.
    assert round(365.25 * 86_400 / MAX_WAIT_S / 10**DIGITS * 100, 2) == 0.11


def test_the_lockout_count_survives_a_restart_of_the_console(
    tmp_path: Path, clock: ManualClock
) -> None:
    lockout = Lockout(tmp_path, clock, "boot-1")
    for _ in range(4):
        lockout.record_attempt()
    assert lockout.remaining_s() == 60
    clock.advance_s(20)
    again = Lockout(tmp_path, clock, "boot-1")
    assert again.failures == 4
    assert again.remaining_s() == 40


def four_were_wrong(folder: Path, clock: ManualClock) -> None:
    lockout = Lockout(folder, clock, "boot-1")
    for _ in range(4):
        lockout.record_attempt()


def test_after_a_reboot_the_lockout_starts_again(tmp_path: Path, clock: ManualClock) -> None:
    four_were_wrong(tmp_path, clock)
    clock.now_ns = 5_000_000_000
    assert Lockout(tmp_path, clock, "boot-2").remaining_s() == 55


@pytest.mark.parametrize("read_only", [False, True])
def test_after_a_reboot_the_lockout_ends_however_often_it_is_checked(
    tmp_path: Path, clock: ManualClock, *, read_only: bool
) -> None:
    four_were_wrong(tmp_path, clock)
    if read_only:
        make_unwritable(tmp_path)
    clock.now_ns = 20_000_000_000
    after = Lockout(tmp_path, clock, "boot-2")
    left = []
    for _ in range(60):
        after.reload()
        left.append(after.remaining_s())
        clock.advance_s(1)
    assert left == [max(0.0, 40.0 - second) for second in range(60)]
    # The console reads the file again after each logout, and when the cable is plugged in.
    assert Lockout(tmp_path, clock, "boot-2").remaining_s() == 0
    assert after.failures == 4


@pytest.mark.parametrize("read_only", [False, True])
def test_a_wrong_answer_after_a_reboot_counts_all_earlier_ones(
    tmp_path: Path, clock: ManualClock, *, read_only: bool
) -> None:
    four_were_wrong(tmp_path, clock)
    if read_only:
        make_unwritable(tmp_path)
    clock.now_ns = 90_000_000_000
    after = Lockout(tmp_path, clock, "boot-2")
    after.record_attempt()
    after.reload()
    assert (after.failures, after.remaining_s()) == (5, 120)
    clock.advance_s(120)
    after.reload()
    assert after.remaining_s() == 0


def test_the_right_answer_clears_the_lockout(tmp_path: Path, clock: ManualClock) -> None:
    lockout = Lockout(tmp_path, clock, "boot-1")
    for _ in range(4):
        lockout.record_attempt()
    lockout.reset()
    assert Lockout(tmp_path, clock, "boot-1").failures == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"failures": "x"}', b"\xff"])
def test_a_damaged_lockout_count_is_ignored(
    tmp_path: Path, clock: ManualClock, content: bytes
) -> None:
    (tmp_path / "console").mkdir()
    (tmp_path / "console" / "lockout.json").write_bytes(content)
    assert Lockout(tmp_path, clock, "boot-1").failures == 0


def test_without_a_disk_the_lockout_counts_in_memory(clock: ManualClock) -> None:
    lockout = Lockout(Path("/proc/nowhere"), clock, "boot-1")
    for _ in range(4):
        lockout.record_attempt()
    lockout.reload()
    assert lockout.remaining_s() == 60
