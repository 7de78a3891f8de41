"""Automatic movers of one head, and the pause of automatic motion after a stop."""

import threading
from collections.abc import Sequence

from agent.commands.requester import ROLES
from agent.ptz.automation.auto_mover import AutoMover
from agent.runtime.pause import Pause


class Movers:
    """The movers of one head. Thread-safe. `wake` is set if the head's stage has something to do."""

    def __init__(self, movers: Sequence[AutoMover], wake: threading.Event) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._pause = Pause()
        self.all: tuple[AutoMover, ...] = ()
        """The strongest first."""
        for mover in movers:
            self.add(mover)

    def add(self, mover: AutoMover) -> None:
        """Add a mover; of two that are equally strong the later one comes first.

        For one that a person has started call `resume` too.
        """
        with self._lock:
            self.all = tuple(
                sorted((mover, *self.all), key=lambda each: ROLES.index(each.requester.role))
            )
        self._wake.set()

    def remove(self, mover: AutoMover) -> None:
        """Remove a mover; a motion that it has begun continues."""
        with self._lock:
            self.all = tuple(each for each in self.all if each is not mover)

    def pause(self, t_ns: int, duration_s: float) -> None:
        """Pause automatic motion: the head was stopped."""
        self._pause.begin(t_ns, duration_s)

    def resume(self) -> None:
        """End the pause of automatic motion."""
        self._pause.end()
        self._wake.set()

    def is_paused(self, t_ns: int) -> bool:
        """Return whether automatic motion is paused because the head was just stopped."""
        return not self._pause.is_over(t_ns)
