"""The protocol of automatic movers: a tour, a tracker, a panorama scan."""

from typing import Protocol

from agent.commands.requester import CommandRejected, Requester
from agent.ptz.requests import HeadState, MoveRequest


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
