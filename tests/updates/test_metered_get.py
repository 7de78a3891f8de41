"""agent.update.model_fetcher: a metered download within the link's budget, from a real server."""

import hashlib
import random
from pathlib import Path

import pytest

from agent.base.http_client import MAX_CHUNK_BYTES
from agent.base.progress import no_progress
from agent.runtime.link_budget import TRANSFER_RATIO, DayUsage, LinkBudget
from agent.update.download import Download, DownloadSpec
from agent.update.errors import UpdateError
from agent.update.https_get import direct_get
from agent.update.model_fetcher import DayUsedUp, MeteredGet
from tests.conftest import ManualClock
from tests.updates.file_server import FileServer

DATA = random.Random(6).randbytes(700_000)


class Link:
    """A download through a budget; waiting moves the clock."""

    def __init__(
        self, server: FileServer, folder: Path, clock: ManualClock, budget: LinkBudget
    ) -> None:
        server.files["/a"], server.tags["/a"] = DATA, '"one"'
        self.clock = clock
        self.waited_s = 0.0
        self.is_stopped = False
        http_get = MeteredGet(direct_get(None), budget, clock, self._wait)
        spec = DownloadSpec(
            suffix=".tflite", url=server.url("/a"), sha256=hashlib.sha256(DATA).hexdigest()
        )
        self._download = Download(spec, folder, http_get)

    def fetch(self) -> bytes:
        return self._download.fetch(no_progress, self._wait).read_bytes()

    def _wait(self, seconds: float) -> bool:
        self.clock.advance_s(seconds)
        self.waited_s += seconds
        return self.is_stopped


def test_it_is_counted(server: FileServer, tmp_path: Path, clock: ManualClock) -> None:
    budget = LinkBudget()
    assert Link(server, tmp_path, clock, budget).fetch() == DATA
    usage = budget.usage()
    assert usage.day == clock.utc(clock.now_ns).toordinal()
    assert len(DATA) <= usage.size_bytes <= len(DATA) + 2 * MAX_CHUNK_BYTES


def test_it_keeps_to_the_rate(server: FileServer, tmp_path: Path, clock: ManualClock) -> None:
    link = Link(server, tmp_path, clock, LinkBudget(rate_kbit_s=1000))
    assert link.fetch() == DATA
    assert len(DATA) / 125_000 - 1 <= link.waited_s <= len(DATA) / 125_000 + 1


def test_it_stops_at_the_bytes_of_the_day_and_continues_on_the_next_one(
    server: FileServer, tmp_path: Path, clock: ManualClock
) -> None:
    bytes_per_day = 500_000
    today = clock.utc(clock.now_ns).toordinal()
    budget = LinkBudget(None, bytes_per_day, DayUsage(day=today, size_bytes=1000))
    link = Link(server, tmp_path, clock, budget)
    for _ in range(2):
        with pytest.raises(DayUsedUp, match=r"bytes of this day are used up \(\[link\] bytes_per"):
            link.fetch()
    assert server.ranges == [None]
    (part,) = tmp_path.glob("*.part")
    part_bytes = part.stat().st_size
    assert 0 < part_bytes <= bytes_per_day * TRANSFER_RATIO
    clock.advance_s(86_400)
    assert link.fetch() == DATA
    assert server.ranges == [None, f"bytes={part_bytes}-"]
    assert budget.usage().size_bytes <= bytes_per_day * TRANSFER_RATIO


def test_it_ends_while_it_waits(server: FileServer, tmp_path: Path, clock: ManualClock) -> None:
    link = Link(server, tmp_path, clock, LinkBudget(rate_kbit_s=16))
    link.is_stopped = True
    with pytest.raises(UpdateError, match="was ended while it waited"):
        link.fetch()
    assert server.ranges == []
