"""Whether the next opening of a camera gives its sensor a network: recording never waits for one that fails."""

from collections.abc import Callable

import msgspec

from agent.runtime.backoff import Backoff
from drivers.contracts import SensorNetwork, StreamRequest
from drivers.media import NS_PER_S

MAX_TRIES = 2
"""Openings without a single result; after them the camera is opened without the network for a while."""
MIN_PAUSE_S, MAX_PAUSE_S = 600.0, 21_600.0


class SensorNetworkOpenings:
    """`read_network` returns the network, or None if its file is not the configured one.

    One thread opens the camera; another one may report results.
    """

    def __init__(
        self, read_network: Callable[[], SensorNetwork | None], clock_ns: Callable[[], int]
    ) -> None:
        self._read_network = read_network
        self._clock_ns = clock_ns
        self._tries = 0
        self._pause = Backoff(MIN_PAUSE_S, MAX_PAUSE_S)
        self._paused_until_ns = 0

    def apply(self, request: StreamRequest) -> StreamRequest:
        """Return the request of the next opening, with the network or without it."""
        now_ns = self._clock_ns()
        if self._tries >= MAX_TRIES:
            self._tries = 0
            self._paused_until_ns = now_ns + int(self._pause.next_s() * NS_PER_S)
        if now_ns < self._paused_until_ns or not request.frames_fps:
            return request
        network = self._read_network()
        if network is None:
            return request
        self._tries += 1
        return msgspec.structs.replace(request, network=network)

    def on_result(self) -> None:
        """A frame had a result of the network."""
        self._tries = 0
        self._pause.reset()
