"""Who moves a head by himself, without a person's wish: a tour, a tracker."""

from typing import Protocol

from agent.commands.requester import CommandRejected, Requester
from agent.ptz.requests import HeadState, MoveRequest


class AutoMover(Protocol):
    """Asked by the head's stage, in its thread, while nobody stronger than `asker` has the head.

    A mover that has nothing to do returns None, and may be called often. Its lease is like any
    other: taken at each wish, over when it has wished for nothing for too long.
    """

    @property
    def requester(self) -> Requester:
        """In whose name it moves; its role says who is stronger."""
        ...

    @property
    def tour(self) -> str | None:
        """The name of the tour that runs, None where it is none or stands still."""
        ...

    def step(self, t_ns: int, state: HeadState) -> MoveRequest | None:
        """What it wants now, None where the head is to go on with what it does. Pure but for the
        mover's own memory of where it is.
        """
        ...

    def on_rejected(self, t_ns: int, request: MoveRequest, rejection: CommandRejected) -> None:
        """Its last wish was not done, and why. A wish for the same again is refused again, but
        after `expired`: somebody has taken, moved or stopped the head since the mover was asked.
        """
        ...
