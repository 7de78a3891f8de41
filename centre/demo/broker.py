"""An MQTT 5 broker on the loopback address, as long as the demo runs.

The package `iotcore` contains rumqttd, which has the features that the agent needs: QoS 1 in order, retained
messages, the will, user properties. It keeps no sessions, which the agent does not rely on. If the
package is not installed, the demo runs mosquitto.
"""

import importlib.util
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from agent.base.errors import UserError

HOST = "127.0.0.1"
START_TIMEOUT_S = 10.0
_POLL_S = 0.05
_STOP_TIMEOUT_S = 5.0

_RUMQTTD = """
id = 0

[router]
id = 0
max_connections = 64
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "demo"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 10000
max_payload_size = 1048576
max_inflight_count = 100
"""

_MOSQUITTO = """
listener {port} {host}
allow_anonymous true
persistence false
log_dest none
"""


@contextmanager
def run_broker(folder: Path) -> Iterator[str]:
    """Run a broker. Yield its URL, such as `mqtt://127.0.0.1:40123`.

    Its configuration is written to `folder`. Raises: UserError if no broker is installed, or if it
    does not start.
    """
    port = find_free_port()
    if importlib.util.find_spec("iotcore") is not None:
        with _run_iotcore(folder, port):
            yield f"mqtt://{HOST}:{port}"
    elif program := shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin"):
        with _run_mosquitto(program, folder, port):
            yield f"mqtt://{HOST}:{port}"
    else:
        raise UserError(
            "the demo needs a broker: pip install iotcore, or apt-get install mosquitto"
        )


def find_free_port() -> int:
    """Return a TCP port that is free now."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _run_iotcore(folder: Path, port: int) -> Iterator[None]:
    from iotcore import Broker  # noqa: PLC0415 - only where it is installed

    path = folder / "broker.toml"
    path.write_text(_RUMQTTD.format(host=HOST, port=port))
    broker = Broker(config_path=str(path))
    try:
        broker.start(START_TIMEOUT_S)
    except (OSError, RuntimeError) as error:
        raise UserError(f"the demo's broker did not start: {error}") from error
    try:
        yield
    finally:
        broker.stop(_STOP_TIMEOUT_S)


@contextmanager
def _run_mosquitto(program: str, folder: Path, port: int) -> Iterator[None]:
    path = folder / "broker.conf"
    path.write_text(_MOSQUITTO.format(host=HOST, port=port))
    process = subprocess.Popen([program, "-c", str(path)])  # noqa: S603 - found in fixed folders
    try:
        if not _wait_until_ready(port, process):
            raise UserError(f"the demo's broker did not start: {program} -c {path}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(port: int, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until the broker accepts connections. Return False if it ended or on a timeout."""
    tick = threading.Event()
    for _ in range(round(START_TIMEOUT_S / _POLL_S)):
        if process.poll() is not None:
            return False
        try:
            socket.create_connection((HOST, port), timeout=1.0).close()
        except OSError:
            tick.wait(_POLL_S)
        else:
            return True
    return False
