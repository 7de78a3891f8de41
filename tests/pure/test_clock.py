"""The machine's clocks."""

import time
from datetime import UTC, datetime

from agent.base.clock import SystemClock, boot_id


def test_boot_time_only_goes_forward() -> None:
    clock = SystemClock()
    times = [clock.boottime_ns() for _ in range(100)]
    assert times == sorted(times)


def test_utc_of_now_is_the_systems() -> None:
    clock = SystemClock()
    before = datetime.fromtimestamp(time.time() - 0.001, UTC)
    now = clock.utc(clock.boottime_ns())
    after = datetime.fromtimestamp(time.time() + 0.001, UTC)
    assert before <= now <= after
    assert (now - clock.utc(clock.boottime_ns() - 60 * 10**9)).total_seconds() > 59


def test_trust_has_a_bound_only_where_the_kernel_vouches() -> None:
    trust = SystemClock().trust()
    assert (trust.error_s is not None) == trust.synced
    assert trust.source == ("ntp" if trust.synced else "none")


def test_a_boot_has_one_name() -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36
