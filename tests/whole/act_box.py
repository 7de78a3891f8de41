"""An act server of the page at the pole in its own process, as the console starts it, and a client of it."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.console.act_wire import ReceivedReply, call_act
from agent.console.page_wire import ACTS_SOCKET_NAME
from agent.faults.texts import Language
from tests.whole.rig import TIMEOUT_S


class ActFailed(Exception):
    """An act was answered by an error. `code` is that of `ActError`."""

    def __init__(self, code: str, message: str, fault: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.fault = fault


class ActServer:
    """The act server of the technician amina at a box's folder."""

    def __init__(self, folder: Path, root: Path | None = None) -> None:
        # A path of a test is too long for a socket's address.
        self.socket_dir = Path(tempfile.mkdtemp(prefix="acts-"))
        self.language: Language = "en"
        roots = [] if root is None else ["--root", str(root)]
        self._log = (folder / "acts.log").open("ab")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "agent.console.act_server"),
                *("--config", "vigie.toml", "--socket", str(self.socket_dir / ACTS_SOCKET_NAME)),
                *roots,
            ],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        greeting = {"technician": "amina", "language": self.language}
        self.process.stdin.write(msgspec.json.encode(greeting) + b"\n")
        self.process.stdin.flush()
        self.first_line = self.process.stdout.readline().decode().strip()

    def replies(
        self,
        act: str,
        upload: bytes | None = None,
        upload_bytes: int | None = None,
        **args: Any,
    ) -> Sequence[ReceivedReply]:
        """All replies of an act, with an uploaded file, of which another size may be announced."""
        encoded = msgspec.json.encode(args)
        if upload is None:
            return list(call_act(self.socket_dir, act, encoded, self.language, TIMEOUT_S))
        with tempfile.TemporaryFile() as file:
            file.write(upload)
            file.seek(0)
            fd, size = file.fileno(), len(upload) if upload_bytes is None else upload_bytes
            call = (self.socket_dir, act, encoded, self.language, TIMEOUT_S, fd, size)
            return list(call_act(*call))

    def lines(self, act: str, *upload: Any, **args: Any) -> list[Any]:
        """The values of an act. Raises ActFailed."""
        return [decoded(reply) for reply in self.replies(act, *upload, **args)]

    def value(self, act: str, *upload: Any, **args: Any) -> Any:
        """The one value of an act. Raises ActFailed."""
        (value,) = self.lines(act, *upload, **args)
        return value

    def close(self) -> int:
        """End its input, as a logout does, and return its exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(TIMEOUT_S)
        self.process.stdout.close()
        self._log.close()
        for path in self.socket_dir.iterdir():
            path.unlink()
        self.socket_dir.rmdir()
        return code


def decoded(reply: ReceivedReply) -> Any:
    """The value of a reply. Raises ActFailed."""
    if reply.error is not None:
        raise ActFailed(reply.error.code, reply.error.message, reply.error.fault)
    return msgspec.json.decode(reply.value)
