"""A mosquitto of our own, on a free port, gone after the test."""

import re
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def block(page: str, name: str) -> str:
    """A fenced block of a page in docs/, by the name behind its language."""
    text = (DOCS / page).read_text()
    found = re.search(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no block {name}"
    return found[1]


class Mosquitto:
    """Started with a configuration, and started again on the same port after a stop or a kill."""

    def __init__(self, folder: Path, config: str = "allow_anonymous true\n") -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        if program is None:
            pytest.skip("needs mosquitto: apt-get install mosquitto")
        self.port = free_port()
        self._program = program
        self._file = folder / "mosquitto.conf"
        listener = "" if "listener" in config else f"listener {self.port} 127.0.0.1\n"
        text = listener + config.replace("listener 8883", f"listener {self.port} 127.0.0.1")
        self._file.write_text(f"user {Path.home().owner()}\nlog_dest stderr\n{text}")
        self._process: subprocess.Popen[str] | None = None
        self._drain = threading.Thread()
        self.start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it listens."""
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._file)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        said: list[str] = []
        stderr = self._process.stderr
        assert stderr is not None
        for line in stderr:
            said.append(line)
            if " running" in line:
                # A full pipe would stop it at its next line of log.
                self._drain = threading.Thread(target=stderr.read, daemon=True)
                self._drain.start()
                return
        self._process.wait()
        raise AssertionError("mosquitto did not start:\n" + "".join(said))

    def end(self, how: signal.Signals) -> None:
        """SIGTERM, or SIGKILL as a crash."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        while True:
            try:
                process.wait(1.0)
                break
            except subprocess.TimeoutExpired:
                # Between saying that it runs and doing so it forgets a signal (2.0.21).
                process.send_signal(how)
        self._drain.join()
        assert process.stderr is not None
        process.stderr.close()


class Certificates:
    """Made with the commands of docs/centre.md, in a folder."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs openssl: apt-get install openssl")
        self.folder = folder
        self._script = block("centre.md", "certificates")
        authority, self._function = self._script.split("# A certificate:", 1)
        self._run(authority)

    def make(self, name: str) -> None:
        self._run(f"#{self._function}\ncertificate {name}")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def _run(self, script: str) -> None:
        subprocess.run(
            ["sh", "-eu", "-c", script], cwd=self.folder, check=True, capture_output=True
        )
