"""A serial line of the guest: all that came over it, and what is typed into it."""

import contextlib
import re
import socket
import threading
from pathlib import Path

from tests.image.qmp import connect_when_listening


class GuestLine:
    """Reads from the beginning, so that nothing is missed by a late caller. `log` gets a copy; after the
    guest's end the text stays.
    """

    def __init__(self, path: Path, log: Path, timeout_s: float) -> None:
        self._socket = connect_when_listening(path, timeout_s)
        self._log = log
        self._changed = threading.Condition()
        self._text = ""
        self._is_ended = False
        self._thread = threading.Thread(target=self._read_all, daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """All so far, without carriage returns."""
        return self._text

    @property
    def is_ended(self) -> bool:
        """Whether nothing more can come."""
        return self._is_ended

    def send(self, text: str) -> None:
        """Type it."""
        self._socket.sendall(text.encode())

    def wait_for(self, pattern: str, timeout_s: float, offset: int = 0) -> re.Match[str]:
        """The first match at or after a place in the text, as soon as it is there."""
        found: re.Match[str] | None = None
        compiled = re.compile(pattern, re.MULTILINE)

        def is_found() -> bool:
            nonlocal found
            found = compiled.search(self._text, offset)
            return found is not None or self._is_ended

        with self._changed:
            self._changed.wait_for(is_found, timeout_s)
        if found is None:
            reason = "the guest has ended" if self._is_ended else f"not within {timeout_s:g} s"
            raise AssertionError(f"no {pattern!r}, {reason}; the end of it:\n{self._text[-3000:]}")
        return found

    def close(self) -> None:
        """Let go; what was read stays."""
        with contextlib.suppress(OSError):  # the guest was first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _read_all(self) -> None:
        with self._log.open("ab") as log:
            while True:
                try:
                    data = self._socket.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    break
                log.write(data)
                log.flush()
                with self._changed:
                    self._text += data.decode(errors="replace").replace("\r", "")
                    self._changed.notify_all()
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()
