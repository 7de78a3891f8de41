"""A mosquitto on a free port, for the duration of a bench."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.base.errors import UserError


@contextmanager
def running_mosquitto(folder: Path) -> Iterator[str]:
    """Run a broker without access control or persistence. Yields its address, `mqtt://…`."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        raise UserError("needs mosquitto: apt-get install mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\n")
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if " running" in line:
                break
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.stderr.read()
        process.stderr.close()
        process.wait()
