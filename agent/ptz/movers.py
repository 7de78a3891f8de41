"""Automatic movers of one head, and the pause of automatic motion after a stop."""

import threading
from typing import Protocol

from agent.commands.requester import ROLES, CommandRejected, Requester
from agent.ptz.requests import HeadState, MoveRequest
from agent.runtime.pause import Pause


class AutoMover(Protocol):
    """Moves a head by itself. Called on the head's thread while no stronger lease is held.

    A mover that wants nothing returns None, and may be called often. Its lease is like any other:
    acquired by each request, and over if it has requested nothing for too long.
    """

    @property
    def requester(self) -> Requester:
        """The requester of its moves; the role decides which mover is stronger."""
        ...

    @property
    def tour(self) -> str | None:
        """The name of the running tour, None if it is no tour or none runs."""
        ...

    def step(self, t_ns: int, state: HeadState) -> MoveRequest | None:
        """Return the next move, or None to leave the head as it is. Does no I/O."""
        ...

    def on_rejected(self, t_ns: int, request: MoveRequest, rejection: CommandRejected) -> None:
        """Note that the last move was rejected.

        The same move is rejected again, except after `expired`: then the head was acquired, moved
        or stopped by a request since `step`.
        """
        ...


class Movers:
    """The movers of one head. Thread-safe. `wake` is set if the head's stage has something to do."""

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._pause = Pause()
        self.all: tuple[AutoMover, ...] = ()
        """The strongest first."""

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
