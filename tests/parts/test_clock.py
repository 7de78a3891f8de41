"""agent.base.clock: the machine's clocks."""

import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.base import clock as clock_module
from agent.base.clock import (
    SystemClock,
    boot_id,
    read_time_source,
    rfc3339,
    trusted_local_time,
    unix_ms,
    unix_ns,
    utc_from_unix_ns,
)
from tests.conftest import ManualClock


def test_boot_time_is_monotonic() -> None:
    clock = SystemClock()
    times = [clock.boottime_ns() for _ in range(100)]
    assert times == sorted(times)


def test_utc_comes_from_the_system_clock() -> None:
    clock = SystemClock()
    before = datetime.fromtimestamp(time.time() - 0.001, UTC)
    now = clock.utc(clock.boottime_ns())
    after = datetime.fromtimestamp(time.time() + 0.001, UTC)
    assert before <= now <= after
    assert (now - clock.utc(clock.boottime_ns() - 60 * 10**9)).total_seconds() > 59


def test_clock_trust_has_an_error_bound_only_if_the_kernel_gives_one() -> None:
    trust = SystemClock().trust()
    assert (trust.error_s is not None) == trust.synced
    assert trust.source == ("ntp" if trust.synced else "none")


@pytest.mark.parametrize(
    ("text", "source"), [("nts\n", "nts"), ("ntp\n", "ntp"), ("", "ntp"), (None, "ntp")]
)
def test_only_provisioning_claims_authenticated_servers(
    text: str | None, source: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "source").write_text(text)
    assert read_time_source(tmp_path / "source") == source
    trust = SystemClock(tmp_path / "source").trust()
    assert trust.source == (source if trust.synced else "none")


def test_a_bench_trusts_a_clock_that_is_not_synchronised_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for synced in (False, True):
        timex = clock_module._Timex(maxerror=2000)
        monkeypatch.setattr(
            clock_module, "_adjtimex", lambda timex=timex, synced=synced: (timex, synced)
        )
        assert SystemClock().trust().synced == synced
        trust = SystemClock(is_bench=True).trust()
        assert trust.synced
        assert (trust.source, trust.error_s) == (("ntp", 0.002) if synced else ("bench", None))


def test_unsteered_time_passes_like_boot_time() -> None:
    clock = SystemClock()
    boot_ns, unsteered_ns, boot_after_ns = (
        clock.boottime_ns(),
        clock.unsteered_ns(),
        clock.boottime_ns(),
    )
    while clock.boottime_ns() - boot_after_ns < 50_000_000:
        pass
    later_boot_ns = clock.boottime_ns()
    passed_ns = clock.unsteered_ns() - unsteered_ns
    assert later_boot_ns - boot_after_ns - 1_000_000 < passed_ns
    assert passed_ns < clock.boottime_ns() - boot_ns + 1_000_000


def test_a_boot_has_one_id() -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC), "2026-01-02T03:04:05.999Z"),
        (
            datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1))),
            "2026-01-02T02:04:05.000Z",
        ),
    ],
)
def test_rfc3339_is_utc_with_milliseconds_cut_off(when: datetime, text: str) -> None:
    assert rfc3339(when) == text


def test_unix_times_are_exact_to_the_microsecond() -> None:
    utc = datetime(2026, 11, 25, 1, 32, 15, 250_999, tzinfo=UTC)
    assert unix_ns(utc) == 1795570335250999000
    assert utc_from_unix_ns(unix_ns(utc) + 999) == utc
    assert unix_ms(utc) == 1795570335251
    assert unix_ms(datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)) == -1


def test_the_wall_clock_is_that_of_the_time_zone_and_unknown_without_trust() -> None:
    clock = ManualClock()
    local = trusted_local_time(clock, ZoneInfo("Asia/Kathmandu"), 0)
    assert local is not None
    assert (local.hour, local.minute) == (5, 45)
    clock.synced = False
    assert trusted_local_time(clock, ZoneInfo("Asia/Kathmandu"), 0) is None
