"""The agent's side of a child that waits after each of its messages until it may continue."""

import logging
from collections import deque
from typing import Generic, TypeVar

import msgspec

from drivers.child.connection import KILL_TIMEOUT_S, ChildConnection
from drivers.child.messages import Failed
from drivers.child.process import ChildStarter

log = logging.getLogger(__name__)

M = TypeVar("M")


class Continue(msgspec.Struct, frozen=True, kw_only=True, tag="continue"):
    """The agent's answer to each message of a child."""


class AnsweredChild(Generic[M]):
    """The running child. Used by one thread."""

    def __init__(
        self,
        name: str,
        task: msgspec.Struct,
        start_process: ChildStarter,
        decoder: msgspec.msgpack.Decoder[M | Failed],
    ) -> None:
        self._messages: deque[M] = deque()
        self._connection: ChildConnection[M] = ChildConnection(
            name, task, start_process, decoder, self._messages.append
        )

    @property
    def pid(self) -> int | None:
        """The child's process id, None before it is started."""
        return self._connection.pid

    def read(self, timeout_s: float) -> M | None:
        """Return the next message, or None if none has come. Raises: DriverError if the child has failed."""
        self._connection.wait_for(lambda: bool(self._messages), timeout_s)
        if self._messages:
            return self._messages.popleft()
        if self._connection.error is not None:
            raise self._connection.error
        return None

    def let_continue(self) -> None:
        """Answer the last message. `read` finds a child that has just ended."""
        self._connection.send(Continue())

    def end(self) -> None:
        """End the child, whatever it does."""
        if not self._connection.end(graceful=False, kill_timeout_s=KILL_TIMEOUT_S):
            log.error("%s", self._connection.describe_child())
