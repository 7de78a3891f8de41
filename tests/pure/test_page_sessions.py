"""agent.pole_page.page_sessions and token_bucket: links, sessions, guesses, rates."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.token_bucket import TokenBucket
from agent.pole_page.page_sessions import (
    LINK_LIFETIME_S,
    MAX_SENDERS,
    MAX_SESSIONS,
    MAX_WRONG_TOKENS,
    REQUEST_BURST,
    REQUESTS_PER_S,
    LinkRefused,
    PageSessions,
    sender_of,
)
from tests.conftest import ManualClock

PHONE, STRANGER = "192.168.4.20", "192.168.4.66"


@pytest.fixture
def sessions(clock: ManualClock) -> PageSessions:
    return PageSessions(clock, random.Random(7).randbytes)


def refusal(sessions: PageSessions, token: str, sender: str = STRANGER) -> LinkRefused:
    with pytest.raises(LinkRefused) as caught:
        sessions.log_in(token, sender)
    return caught.value


def test_a_link_has_128_bits_and_logs_one_phone_in(sessions: PageSessions) -> None:
    token = sessions.new_link()
    assert len(token) == 26
    key = sessions.log_in(token, PHONE)
    assert sessions.find(key) is not None
    assert sessions.count == 1
    assert len(key) == 26
    assert key != token


def test_a_link_is_used_once(sessions: PageSessions) -> None:
    token = sessions.new_link()
    sessions.log_in(token, PHONE)
    refusal(sessions, token, PHONE)
    assert sessions.count == 1


def test_a_link_expires(sessions: PageSessions, clock: ManualClock) -> None:
    token = sessions.new_link()
    clock.advance_s(LINK_LIFETIME_S)
    refusal(sessions, token, PHONE)


def test_a_new_link_ends_the_unused_one_before_it(sessions: PageSessions) -> None:
    before, after = sessions.new_link(), sessions.new_link()
    refusal(sessions, before, PHONE)
    assert sessions.find(sessions.log_in(after, PHONE)) is not None


def test_without_a_link_nobody_logs_in(sessions: PageSessions) -> None:
    refusal(sessions, "")
    assert sessions.find("") is None


def test_wrong_used_and_expired_links_look_the_same(
    sessions: PageSessions, clock: ManualClock
) -> None:
    used = sessions.new_link()
    sessions.log_in(used, PHONE)
    expired = sessions.new_link()
    clock.advance_s(LINK_LIFETIME_S)
    said = {str(refusal(sessions, token, PHONE)) for token in ("guess", used, expired)}
    assert len(said) == 1


def test_wrong_tokens_delay_their_sender_and_not_the_technicians_phone(
    sessions: PageSessions, clock: ManualClock
) -> None:
    token = sessions.new_link()
    waits = [refusal(sessions, f"guess {number}").wait_s for number in range(4)]
    assert waits == [0, 0, 30, 30]
    clock.advance_s(30)
    assert refusal(sessions, "another guess").wait_s == 60
    assert sessions.find(sessions.log_in(token, PHONE)) is not None


def test_a_right_token_is_accepted_after_wrong_ones_of_the_same_phone(
    sessions: PageSessions,
) -> None:
    token = sessions.new_link()
    for number in range(5):
        refusal(sessions, f"guess {number}", PHONE)
    assert sessions.find(sessions.log_in(token, PHONE)) is not None


def test_many_wrong_tokens_of_many_senders_end_the_link(sessions: PageSessions) -> None:
    token = sessions.new_link()
    for number in range(MAX_WRONG_TOKENS):
        refusal(sessions, "guess", f"10.0.{number // 250}.{number % 250}")
    refusal(sessions, token, PHONE)
    assert len(sessions._lockouts) <= MAX_SENDERS
    assert sessions.find(sessions.log_in(sessions.new_link(), PHONE)) is not None


def test_one_phone_too_many_ends_the_oldest_session(sessions: PageSessions) -> None:
    keys = [sessions.log_in(sessions.new_link(), PHONE) for _ in range(MAX_SESSIONS + 1)]
    assert [sessions.find(key) is not None for key in keys] == [False, *[True] * MAX_SESSIONS]
    assert sessions.count == MAX_SESSIONS


def test_a_logout_ends_its_own_session_only(sessions: PageSessions) -> None:
    ended, other = (sessions.log_in(sessions.new_link(), PHONE) for _ in range(2))
    sessions.log_out(ended)
    sessions.log_out("no such key")
    assert sessions.find(ended) is None
    assert sessions.find(other) is not None


@given(st.text(max_size=40))
def test_no_other_text_logs_in(text: str) -> None:
    sessions = PageSessions(ManualClock(), random.Random(7).randbytes)
    token = sessions.new_link()
    if text != token:
        refusal(sessions, text)
        assert sessions.find(text) is None


@pytest.mark.parametrize(
    ("address", "sender"),
    [
        ("192.168.4.20", "192.168.4.20"),
        ("::ffff:192.168.4.20", "192.168.4.20"),
        ("fd00:1:2:3:4:5:6:7", "fd00:1:2:3::/64"),
        ("fd00:1:2:3:ffff::9", "fd00:1:2:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_phone_counts_by_its_address_or_its_ipv6_network(address: str, sender: str) -> None:
    assert sender_of(address) == sender


@given(st.lists(st.floats(0, 5), max_size=200))
def test_requests_never_pass_faster_than_the_rate(pauses_s: list[float]) -> None:
    clock = ManualClock()
    bucket = TokenBucket(REQUESTS_PER_S, REQUEST_BURST, clock.boottime_ns())
    passed = 0
    for pause_s in pauses_s:
        clock.advance_s(pause_s)
        passed += bucket.take(clock.boottime_ns()) == 0
        elapsed_s = (clock.boottime_ns() - 1_000_000_000) / 1e9
        assert passed <= REQUEST_BURST + REQUESTS_PER_S * elapsed_s + 1e-6


def test_a_request_is_allowed_after_the_wait_that_was_named(clock: ManualClock) -> None:
    bucket = TokenBucket(2.0, 1.0, clock.boottime_ns())
    assert bucket.take(clock.boottime_ns()) == 0
    wait_s = bucket.take(clock.boottime_ns())
    assert wait_s == 0.5
    clock.advance_s(wait_s)
    assert bucket.take(clock.boottime_ns()) == 0


def test_a_sender_has_a_session_from_its_login_to_its_logout(sessions: PageSessions) -> None:
    assert not sessions.has_session(PHONE)
    key = sessions.log_in(sessions.new_link(), PHONE)
    assert sessions.has_session(PHONE)
    assert not sessions.has_session(STRANGER)
    sessions.log_out(key)
    assert not sessions.has_session(PHONE)
