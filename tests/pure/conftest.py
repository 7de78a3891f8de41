"""No test of this folder writes a file, connects a socket or starts a program."""

import os
import sys
from collections.abc import Iterator

import pytest

_FORBIDDEN_EVENTS = frozenset(
    (
        *("socket.bind", "socket.connect", "sqlite3.connect"),
        *("os.exec", "os.fork", "os.posix_spawn", "os.system", "subprocess.Popen"),
    )
)
"""Of sys.audit(), https://docs.python.org/3/library/audit_events.html."""
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CACHES = ("__pycache__", ".hypothesis")
_running: list[str] = []


class NotPure(BaseException):
    """A test has side effects: it belongs to tests/parts."""


def _forbid_side_effects(event: str, args: tuple[object, ...]) -> None:
    if not _running:
        return
    if event in _FORBIDDEN_EVENTS or (event == "open" and _is_write(*args)):
        raise NotPure(f"{_running[0]}: {event} {args[0]!r}; allowed in tests/parts")


def _is_write(path: object, _mode: object, flags: object) -> bool:
    if isinstance(path, int) or any(cache in str(path) for cache in _CACHES):
        return False
    return isinstance(flags, int) and bool(flags & _WRITE_FLAGS) and str(path) != os.devnull


# A hook cannot be removed, and costs each event of the process: it is for these tests alone.
sys.addaudithook(_forbid_side_effects)


@pytest.fixture(autouse=True)
def _without_side_effects(request: pytest.FixtureRequest) -> Iterator[None]:
    _running.append(request.node.nodeid)
    yield
    _running.clear()
