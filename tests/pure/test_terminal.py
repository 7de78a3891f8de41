"""agent.console.terminal and keystrokes: input becomes keys, and output fits a screen of 80 columns."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.console.keystrokes import MAX_SEQUENCE_BYTES, KeyDecoder
from agent.console.terminal import (
    COLUMNS,
    Cancelled,
    EndOfInput,
    IdleTimeout,
    Terminal,
    sanitize,
    wrap,
)
from tests.conftest import ManualClock
from tests.parts.console_peers import MemoryByteLine

NAMED = {"enter", "backspace", "kill_line", "cancel", "eof", "up", "down", "left", "right"}


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"ab", ["a", "b"]),
        (b"\r", ["enter"]),
        (b"\n", ["enter"]),
        (b"\r\n", ["enter"]),
        (b"\r\r", ["enter", "enter"]),
        (b"\x08\x7f", ["backspace", "backspace"]),
        (b"\x03\x04\x15", ["cancel", "eof", "kill_line"]),
        (b"\x1b[A\x1bOB", ["up", "down"]),
        (b"\x1b[1;5Aq", ["q"]),
        (b"\x1b[200~x\x1b[201~", ["x"]),
        (b"\xc3\xa9\x00\x07\xffz", ["z"]),
        (b"\x1b\r", ["enter"]),
    ],
)
def test_bytes_become_keys_and_other_bytes_are_dropped(typed: bytes, keys: list[str]) -> None:
    assert KeyDecoder().feed(typed) == keys
    piecewise = KeyDecoder()
    assert [key for byte in typed for key in piecewise.feed(bytes([byte]))] == keys


@given(st.lists(st.binary(max_size=50)))
def test_any_input_decodes_into_keys_only(pieces: list[bytes]) -> None:
    keys = KeyDecoder()
    for piece in pieces:
        found = keys.feed(piece)
        assert len(found) <= len(piece)
        assert all(key in NAMED or (len(key) == 1 and " " <= key <= "~") for key in found)


def test_an_unterminated_escape_sequence_swallows_a_bounded_number_of_bytes() -> None:
    assert "enter" in KeyDecoder().feed(b"\x1b[" + b"1" * (MAX_SEQUENCE_BYTES + 5) + b"\r")


@given(st.text(), st.integers(20, 100))
def test_folded_text_fits_the_width_and_loses_nothing(text: str, width: int) -> None:
    lines = wrap(sanitize(text), width)
    assert all(len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(sanitize(text).split())


@given(st.text())
def test_printed_text_rings_no_bell_and_moves_no_cursor(text: str) -> None:
    assert all(" " <= c <= "~" for c in sanitize(text))
    assert all(c.isprintable() or c == "\u00a0" for c in sanitize(text, utf8=True))


def test_letters_lose_their_accents_in_english_only() -> None:
    assert sanitize("Vérifiez l'été\x1b[2J") == "Verifiez l'ete [2J"
    assert sanitize("Vérifiez l'été\u00a0:\x1b[2J", utf8=True) == "Vérifiez l'été\u00a0: [2J"


def terminal(
    clock: ManualClock, *typed: bytes, silence_s: float = 0
) -> tuple[Terminal, MemoryByteLine]:
    wire = MemoryByteLine(clock, typed, silence_s)
    return Terminal(wire, clock.boottime_ns), wire


def test_a_secret_is_neither_shown_nor_stripped(clock: ManualClock) -> None:
    screen, wire = terminal(clock, b" hus\x08sh\x15 hush ", b"\r")
    assert screen.read_line("password: ", is_secret=True) == " hush "
    assert bytes(wire.output) == b"password: \r\n"


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (b"status\r", "status"),
        (b"  status  \r", "status"),
        (b"stu\x08atus\r", "status"),
        (b"\x08\x08\x7fstatus\r", "status"),
        (b"nonsense\x15status\r", "status"),
        (b"\x1b[D\x1b[3~status\xff\r", "status"),
    ],
)
def test_a_line_is_edited_with_the_usual_keys(clock: ManualClock, typed: bytes, line: str) -> None:
    assert terminal(clock, typed)[0].read_line("> ") == line


def test_typed_text_is_echoed_and_deleted_text_disappears(clock: ManualClock) -> None:
    seat, wire = terminal(clock, b"ab\x7fc\r")
    assert seat.read_line("> ") == "ac"
    assert bytes(wire.output) == b"> ab\b \bc\r\n"


def test_a_line_stops_at_its_maximum_length_with_one_bell(clock: ManualClock) -> None:
    seat, wire = terminal(clock, b"x" * 5000 + b"\r")
    assert seat.read_line("> ", max_chars=20) == "x" * 20
    assert wire.output.count(b"\a") == 1
    assert len(wire.output) < 40


def test_the_up_arrow_recalls_earlier_lines(clock: ManualClock) -> None:
    seat, _ = terminal(clock, b"\x1b[A\x1b[A\x1b[A\x1b[B\r")
    assert seat.read_line("> ", ["first", "second"]) == "second"


def test_ctrl_c_and_ctrl_d_are_distinguished(clock: ManualClock) -> None:
    with pytest.raises(Cancelled):
        terminal(clock, b"abc\x03")[0].read_line("> ")
    with pytest.raises(EndOfInput):
        terminal(clock, b"\x04")[0].read_line("> ")
    assert terminal(clock, b"a\x04b\r")[0].read_line("> ") == "ab"


def test_a_terminal_without_input_is_idle_after_the_timeout(clock: ManualClock) -> None:
    seat, _ = terminal(clock, silence_s=1000)
    seat.idle_timeout_s = 60
    began_ns = clock.now_ns
    with pytest.raises(IdleTimeout):
        seat.read_line("> ")
    assert 60e9 < clock.now_ns - began_ns < 63e9


def test_long_output_pauses_at_each_page_and_continues_by_page_or_line(clock: ManualClock) -> None:
    seat, wire = terminal(clock, b" ", b"\r", b"q")
    with pytest.raises(Cancelled):
        seat.print(*(f"line {number}" for number in range(100)))
    shown = [line for line in wire.screen.replace("\r", "\n").splitlines() if "line" in line]
    assert [line for line in shown if line.startswith("line")][-1] == "line 46"
    assert sum(line.startswith("-- more") for line in shown) == 3


def test_output_never_pauses_with_paging_off(clock: ManualClock) -> None:
    seat, wire = terminal(clock)
    seat.paging = False
    seat.print(*(f"line {number}" for number in range(100)))
    assert "more" not in wire.screen
    assert wire.screen.endswith("line 99\n")


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=300)), max_size=10))
def test_tables_stay_within_the_screen(rows: list[tuple[str, str]]) -> None:
    seat, wire = terminal(ManualClock())
    seat.paging = False
    seat.table(rows)
    assert all(len(line) < COLUMNS for line in wire.screen.splitlines())


def test_no_escape_sequence_is_ever_sent(clock: ManualClock) -> None:
    rng = random.Random(5)
    seat, wire = terminal(clock)
    seat.paging = False
    for _ in range(200):
        seat.print(rng.randbytes(60).decode("latin-1"))
        seat.overwrite_line(rng.randbytes(200).decode("latin-1"))
    assert b"\x1b" not in wire.output
    assert all(byte in b"\r\n" or 0x20 <= byte < 0x7F for byte in wire.output)
