"""Bound on the connections of each sender, from accept(2) on, so that a flood does not keep other phones out. Pure."""

from collections.abc import Callable
from typing import Generic, TypeVar

MAX_CONNECTIONS = 32
MAX_OF_SESSION, MAX_OF_STRANGER = MAX_CONNECTIONS // 4, 6
"""Of one sender with a session, and of one without. A browser opens six."""
ConnectionT = TypeVar("ConnectionT")


class ConnectionLimit(Generic[ConnectionT]):
    """The open connections of each sender. Used by one thread.

    If all places are taken, the oldest connection of the stranger with the most of them is closed with `close`, for a
    sender with a session, or for a stranger that has fewer even with one more.
    """

    def __init__(
        self, has_session: Callable[[str], bool], close: Callable[[ConnectionT], None]
    ) -> None:
        self._has_session = has_session
        self._close = close
        self._by_sender: dict[str, list[ConnectionT]] = {}

    def enter(self, sender: str, connection: ConnectionT) -> bool:
        """Count a connection; False if it is one too many."""
        own = len(self._by_sender.get(sender, ()))
        has_session = self._has_session(sender)
        if own >= (MAX_OF_SESSION if has_session else MAX_OF_STRANGER):
            return False
        if sum(map(len, self._by_sender.values())) >= MAX_CONNECTIONS:
            most = self._find_most_of_a_stranger()
            if not most or not (has_session or len(most) > own + 1):
                return False
            self._close(most.pop(0))
        self._by_sender.setdefault(sender, []).append(connection)
        return True

    def leave(self, sender: str, connection: ConnectionT) -> None:
        """Count the end of a connection, if it was not closed for another one."""
        open_connections = self._by_sender.get(sender, [])
        if connection in open_connections:
            open_connections.remove(connection)
        if not open_connections:
            self._by_sender.pop(sender, None)

    def _find_most_of_a_stranger(self) -> list[ConnectionT]:
        strangers = (
            open_connections
            for sender, open_connections in self._by_sender.items()
            if not self._has_session(sender)
        )
        return max(strangers, key=len, default=[])
