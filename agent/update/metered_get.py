"""A GET that is counted towards the link's budget, and waits for it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from agent.base.clock import Clock
from agent.runtime.link_budget import DAY_USED_UP, LinkBudget
from agent.update.download import WaitOrStop
from agent.update.errors import UpdateError
from agent.update.https_get import MAX_CHUNK_BYTES, HttpGet, HttpResponse


class DayUsedUp(UpdateError):
    """No more bytes may be fetched on this day."""


class MeteredGet:
    """A GET within a budget, for one thread.

    Bytes are counted before they are read, so the budget is never exceeded. Up to MAX_CHUNK_BYTES more than the body are
    counted of each file: about as much as the handshake and the headers take.
    """

    def __init__(
        self, http_get: HttpGet, budget: LinkBudget, clock: Clock, wait_or_stop: WaitOrStop
    ) -> None:
        self._http_get = http_get
        self._budget = budget
        self._clock = clock
        self._wait_or_stop = wait_or_stop
        self._counted_bytes = 0

    @contextmanager
    def __call__(self, url: str, headers: Mapping[str, str]) -> Iterator[HttpResponse]:
        """Send the GET. Raises: HttpError, DayUsedUp, UpdateError if it is to stop."""
        self._count_next_chunk()
        with self._http_get(url, headers) as response:
            body = self._iter_body(response)
            yield HttpResponse(response.status, response.reason, response.headers, body)

    def _iter_body(self, response: HttpResponse) -> Iterator[bytes]:
        for chunk in response.iter_body():
            self._counted_bytes -= len(chunk)
            yield chunk
            self._count_next_chunk()

    def _count_next_chunk(self) -> None:
        while self._counted_bytes < MAX_CHUNK_BYTES:
            now_ns = self._clock.boottime_ns()
            day = self._clock.utc(now_ns).toordinal()
            piece_bytes = self._budget.piece_bytes
            wait_s = self._budget.take(piece_bytes, "transfer", now_ns, day)
            if wait_s is None:
                raise DayUsedUp(DAY_USED_UP)
            if wait_s == 0:
                self._counted_bytes += piece_bytes
            elif self._wait_or_stop(wait_s):
                raise UpdateError("the download was ended while it waited for the link's budget")
