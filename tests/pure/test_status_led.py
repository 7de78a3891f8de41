"""agent.gpio.status_led: each fault code has its own blinks, and they can be counted."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.faults.registry import FAULTS
from agent.gpio import status_led
from agent.gpio.status_led import Flash, StatusLed

CODES = sorted(FAULTS)


def lights(codes: list[str], span_s: float, late_s: float = 0.0) -> list[Flash]:
    """Return the flashes of the LED in a time span with these codes active, stepped when it is due."""
    blinker, t_ns, found = StatusLed(), 0, []
    while t_ns < span_s * 1e9:
        on = blinker.step(t_ns, codes)
        after_ns = max(blinker.due_ns, t_ns + 1) + round(late_s * 1e9)
        found.append(Flash(is_on=on, duration_s=(after_ns - t_ns) / 1e9))
        t_ns = after_ns
    return found


def read(flashes: list[Flash]) -> list[tuple[int, int]]:
    """The counts of long and short blinks, as a person counts them."""
    found, long, short = [], 0, 0
    for flash in flashes:
        if flash.is_on:
            long, short = (long + 1, short) if flash.duration_s > 0.5 else (long, short + 1)
        elif flash.duration_s > 2:
            found.append((long, short))
            long = short = 0
    return found


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_its_blinks(code: str) -> None:
    family, number = code.split("-")
    assert status_led.blink_counts(code) == (status_led.FAMILY_BLINKS[family], int(number))
    assert min(status_led.blink_counts(code)) >= 1
    assert read(list(status_led.blink_pattern(code))) == [status_led.blink_counts(code)]


def test_no_two_codes_blink_the_same() -> None:
    assert len({status_led.blink_pattern(code) for code in CODES}) == len(CODES)
    assert len(set(status_led.FAMILY_BLINKS.values())) == len(status_led.FAMILY_BLINKS)


def test_no_family_is_without_codes() -> None:
    assert set(status_led.FAMILY_BLINKS) == {code.split("-")[0] for code in CODES}


def test_a_code_can_be_watched_in_half_a_minute() -> None:
    assert all(
        sum(flash.duration_s for flash in status_led.blink_pattern(code)) < 30 for code in CODES
    )


def test_a_blink_code_is_described_in_words() -> None:
    assert status_led.blink_text("CAM-02") == "1 long, 2 short"
    assert status_led.blink_text("GPI-05") == "5 long, 5 short"


def test_a_pattern_is_shown_flash_by_flash() -> None:
    on, off = True, False
    assert status_led.blink_pattern("STO-02") == (
        Flash(on, 0.8),
        Flash(off, 0.4),
        Flash(on, 0.8),
        Flash(off, 1.2),
        Flash(on, 0.2),
        Flash(off, 0.4),
        Flash(on, 0.2),
        Flash(off, 3.0),
    )


def test_a_box_that_is_well_has_a_heartbeat() -> None:
    beats = lights([], 9)
    assert beats == [Flash(is_on=True, duration_s=0.1), Flash(is_on=False, duration_s=2.9)] * 3


def test_one_code_is_shown_again_and_again() -> None:
    assert read(lights(["CAM-02"], 30))[:3] == [(1, 2)] * 3


def test_several_codes_are_shown_in_turn_with_a_longer_dark_after_the_last() -> None:
    flashes = lights(["STO-02", "CAM-02", "SYS-01"], 80)
    assert read(flashes)[:6] == [(2, 2), (1, 2), (6, 1)] * 2
    darks = [flash.duration_s for flash in flashes if not flash.is_on and flash.duration_s > 2]
    assert darks[:6] == [3.0, 3.0, 6.0] * 2


def test_a_code_is_shown_to_its_end_before_a_worse_one() -> None:
    blinker, t_ns, seen = StatusLed(), 0, []
    codes = ["CAM-02", "SYS-01"]
    for _ in range(40):
        on = blinker.step(t_ns, codes)
        seen.append(Flash(is_on=on, duration_s=(blinker.due_ns - t_ns) / 1e9))
        t_ns = blinker.due_ns
        codes = ["STO-02", "CAM-02", "SYS-01"]
    assert read(seen)[:3] == [(1, 2), (2, 2), (6, 1)]


def test_a_cleared_fault_returns_to_the_heartbeat() -> None:
    blinker, t_ns = StatusLed(), 0
    blinker.step(t_ns, ["CAM-02"])
    flashes = []
    for _ in range(20):
        t_ns = blinker.due_ns
        flashes.append(
            Flash(is_on=blinker.step(t_ns, []), duration_s=(blinker.due_ns - t_ns) / 1e9)
        )
    assert flashes[-2:] in ([*status_led.HEARTBEAT], [*reversed(status_led.HEARTBEAT)])


@given(st.lists(st.sampled_from(CODES), min_size=1, max_size=3, unique=True), st.floats(0, 0.15))
def test_a_late_viewer_counts_every_blink(codes: list[str], late_s: float) -> None:
    flashes = lights(codes, 120, late_s)
    shown = [status_led.blink_counts(code) for code in codes]
    found = read(flashes)
    assert found[: len(shown)] == shown[: len(found)]
    assert all(a.is_on != b.is_on for a, b in pairwise(flashes))
