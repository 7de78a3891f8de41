"""Processes to be killed, from a fork server that has loaded all of their code: one starts in milliseconds."""

import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.custody_child", "tests.faults.outbox_child"])


class ForkedChild:
    """One process, which runs `main(write_line, *arguments)`; `on_line` is called with each line that it writes."""

    def __init__(
        self,
        main: Callable[..., None],
        arguments: tuple[Any, ...],
        on_line: Callable[[str], None],
    ) -> None:
        self._lines, child_end = _CONTEXT.Pipe(duplex=False)
        self._on_line = on_line
        self._process = _CONTEXT.Process(target=main, args=(child_end.send, *arguments))
        self._process.start()
        child_end.close()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def kill(self) -> None:
        """Send SIGKILL, and return after the last line."""
        self._process.kill()
        self._process.join()
        self._reader.join()
        self._lines.close()

    def _read(self) -> None:
        try:
            while True:
                self._on_line(self._lines.recv())
        except (EOFError, OSError):
            pass  # killed, perhaps within a line
