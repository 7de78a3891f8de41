"""Requests for a camera's next frame: of snapshots, previews and panoramas."""

import threading
from collections.abc import Callable

import msgspec

from drivers.media import Frame


class _FrameRequest(msgspec.Struct, frozen=True, kw_only=True):
    since_ns: int
    deadline_ns: int
    on_frame: Callable[[Frame], None]


class NextFrame:
    """The requests that wait for the next frame of one camera. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[_FrameRequest] = []

    def request(
        self,
        on_frame: Callable[[Frame], None],
        *,
        now_ns: int,
        timeout_s: float,
        since_ns: int = 0,
    ) -> None:
        """Call `on_frame` once, on the camera's detect thread, with the first frame from `since_ns` on.

        A request that is older than `timeout_s` is forgotten.
        """
        request = _FrameRequest(
            since_ns=since_ns, deadline_ns=now_ns + int(timeout_s * 1e9), on_frame=on_frame
        )
        with self._lock:
            self._forget_expired(now_ns)
            self._requests.append(request)

    def count_waiting(self, now_ns: int) -> int:
        """Return the number of requests that still wait."""
        with self._lock:
            self._forget_expired(now_ns)
            return len(self._requests)

    def offer(self, frame: Frame) -> None:
        """Answer the requests with a frame. Costs nothing while there is none."""
        if not self._requests:
            return
        with self._lock:
            answered = [one for one in self._requests if one.since_ns <= frame.t_ns]
            self._requests = [one for one in self._requests if one.since_ns > frame.t_ns]
        for request in answered:
            request.on_frame(frame)

    def _forget_expired(self, now_ns: int) -> None:
        self._requests = [one for one in self._requests if one.deadline_ns > now_ns]
