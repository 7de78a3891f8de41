"""The process of the child that makes and uploads a clip, as the agent sees it."""

import os
import select
import subprocess
import sys

import msgspec

from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.clips.clip_task import ChildMessage, ClipTask

CHILD_MODULE = "agent.clips.clip_child"
MAX_LINE_BYTES = 1 << 18
EXIT_TIMEOUT_S = 5.0
_DECODER: JsonDecoder[ChildMessage] = JsonDecoder(ChildMessage)


class ChildEnded(Exception):
    """The child has ended without a last message, or has sent what is none."""


class ClipProcess:
    """One running child. Used by one thread."""

    def __init__(self, task: ClipTask) -> None:
        # A session of its own: a terminal's Ctrl-C is for the agent, which then ends the child.
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
            [sys.executable, "-P", "-m", CHILD_MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._buffer = bytearray()
        self._unwritten = msgspec.json.encode(task) + b"\n"
        os.set_blocking(self._stdin_fd(), False)
        os.set_blocking(self._stdout_fd(), False)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def read(self, timeout_s: float) -> ChildMessage | None:
        """Return the next message, or None if none has come. Raises: ChildEnded."""
        if (message := self._pop_message()) is not None:
            return message
        writers = [self._stdin_fd()] if self._unwritten else []
        readable, writable, _ = select.select([self._stdout_fd()], writers, [], timeout_s)
        if writable:
            self._write_rest()
        if readable:
            data = os.read(self._stdout_fd(), 65_536)
            if not data:
                raise ChildEnded(f"the process of the clip ended with {self._process.poll()}")
            self._buffer += data
        return self._pop_message()

    def let_go_on(self) -> None:
        """Answer the last message, so that the child continues. `read` finds a child that has just ended."""
        self._unwritten += b"\n"
        self._write_rest()

    def end(self) -> None:
        """End the child, whatever it does."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(EXIT_TIMEOUT_S)

    def _write_rest(self) -> None:
        try:
            count = os.write(self._stdin_fd(), self._unwritten)
        except BlockingIOError:
            return
        except BrokenPipeError:
            count = len(self._unwritten)
        self._unwritten = self._unwritten[count:]

    def _pop_message(self) -> ChildMessage | None:
        line, newline, rest = self._buffer.partition(b"\n")
        if not newline:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise ChildEnded("the process of the clip sends a line without an end")
            return None
        self._buffer = rest
        try:
            return _DECODER.decode(line)
        except MalformedJson as error:
            raise ChildEnded(f"the process of the clip sends no message: {error}") from error

    def _stdin_fd(self) -> int:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        return self._process.stdin.fileno()

    def _stdout_fd(self) -> int:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return self._process.stdout.fileno()
