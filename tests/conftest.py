"""What every test may ask for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from agent.clock import ClockTrust

# No test depends on how fast the machine is.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

SHARED = Path(__file__).parents[2] / "shared"


class HeldClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000
        self.boot_utc = datetime(2026, 11, 25, tzinfo=UTC)
        self.synced = True

    def boottime_ns(self) -> int:
        return self.now_ns

    def utc(self, t_ns: int) -> datetime:
        return self.boot_utc + timedelta(microseconds=t_ns // 1000)

    def trust(self) -> ClockTrust:
        return ClockTrust(
            synced=self.synced,
            source="ntp" if self.synced else "none",
            error_s=0.01 if self.synced else None,
        )

    def pass_s(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real footage, labels and models that lies beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED.name}/ beside the project: real footage and labels")
    return SHARED
