"""Lanes of acts: those of one lane run one after the other, each with a console's context of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from agent.base.file_read import read_stamp
from agent.config.desired_store import layer_file
from agent.console.context import ConsoleContext
from agent.pole_page.act import Lane


class LaneBusy(Exception):
    """Another act of the lane takes too long."""


class _Lane:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.context: ConsoleContext | None = None
        self.stamp: object = None


class Lanes:
    """All lanes. Thread-safe.

    `make_context` reads the configuration in force, again after each change of the file `config` and of the version
    on top of it.
    """

    def __init__(self, config: Path, make_context: Callable[[], ConsoleContext]) -> None:
        self._config = config
        self._make_context = make_context
        self._lanes: dict[Lane, _Lane] = {name: _Lane() for name in get_args(Lane)}

    @contextmanager
    def enter(self, name: Lane, timeout_s: float) -> Iterator[ConsoleContext]:
        """Yield the context of a lane, which belongs to the caller until the end. Raises LaneBusy."""
        lane = self._lanes[name]
        if not lane.lock.acquire(timeout=timeout_s):
            raise LaneBusy
        try:
            if lane.context is None or lane.stamp != self._read_stamp(lane.context.state_dir):
                lane.context = self._make_context()
                lane.stamp = self._read_stamp(lane.context.state_dir)
            yield lane.context
        finally:
            lane.lock.release()

    @contextmanager
    def hold(self, name: Lane) -> Iterator[None]:
        """Wait for a lane, and keep its acts out until the end."""
        with self._lanes[name].lock:
            yield

    def _read_stamp(self, state_dir: Path) -> object:
        """Return a value that differs after a change of the configuration or of the version on top of it."""
        return tuple(map(read_stamp, (self._config, layer_file(state_dir))))
