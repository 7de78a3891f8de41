"""How much is tried: a taste in every run of the tests, all of it in `make test-crash`."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

MIN_FREE_BYTES = 400_000_000


class CrashTestSize(msgspec.Struct, frozen=True):
    """How often each thing is tried."""

    states: int
    control_states: int
    lives: int
    packets: int
    kills: int


@pytest.fixture(scope="session")
def effort() -> CrashTestSize:
    if os.environ.get("VIGIE_CRASH") == "long":
        return CrashTestSize(states=1000, control_states=60, lives=6, packets=600, kills=200)
    return CrashTestSize(states=40, control_states=10, lives=3, packets=200, kills=20)


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder on a tmpfs where there is one: a crash state is a whole disk, read once."""
    shm = Path("/dev/shm")  # noqa: S108 - no name in it is known before
    has_room = os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > MIN_FREE_BYTES
    with tempfile.TemporaryDirectory(dir=shm if has_room else None) as folder:
        yield Path(folder)
