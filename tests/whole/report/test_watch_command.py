"""`vigie watch` as an operator starts it."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from agent.base.sha256 import sha256_hex
from agent.config.broker import BrokerConfig
from agent.reporting import topics
from centre.store import CentreStore
from tests.whole.report.broker import Mosquitto, free_port
from tests.whole.report.conftest import event_number, make_event
from tests.whole.report.reporting_box import ReportingBox, wait_until


def watch(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "agent", "watch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )


def test_each_message_is_one_line_and_acknowledged_messages_are_stored(
    broker: Mosquitto, tmp_path: Path
) -> None:
    store = tmp_path / "centre.db"
    process = watch("--broker", broker.url, "--json", "--ack", "--store", str(store))
    assert process.stdout is not None
    assert process.stderr is not None
    lines = iter(process.stdout.readline, b"")
    with ReportingBox(BrokerConfig(url=broker.url), tmp_path / "outbox") as box:
        wait_until(lambda: box.session.health().centre_listening)
        box.outbox.put(make_event(1))
        box.outbox.put(
            topics.build_snapshot_message("north", b"\xff\xd8jpeg", 1, event_id="event-1")
        )
        wait_until(lambda: box.outbox.depth == 0)
        received = []
        while not any("snapshot" in item["topic"] for item in received):
            received.append(json.loads(next(lines)))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    process.stdout.close()
    process.stderr.close()
    by_topic = {item["topic"]: item for item in received}
    line = by_topic["vigie/v1/pole-17/up/event/north/line"]
    assert (line["retained"], line["payload"]["data"]["track"]) == (False, 1)
    picture = by_topic["vigie/v1/pole-17/up/snapshot/north"]
    assert picture["sha256"] == sha256_hex(b"\xff\xd8jpeg")
    assert picture["size_bytes"] == 6
    kept = CentreStore.open(store)
    assert [event_number(row, "data") for row in kept.event_payloads()] == [1]
    kept.close()


def test_the_table_shows_the_box_and_its_events(broker: Mosquitto, tmp_path: Path) -> None:
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "watch", "--broker", broker.url],
        stdout=terminal,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160"},
    )
    os.close(terminal)
    shown = b""
    with ReportingBox(BrokerConfig(url=broker.url), tmp_path / "outbox") as box:
        # The event may come before the watcher: there is another one each time that it draws.
        number = 0
        while not all(word in shown for word in (b"pole-17", b"online", b"corner", b"wrong_way")):
            number += 1
            box.outbox.put(make_event(number, "wrong_way")).wait(10)
            shown += os.read(screen, 65_536)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                if not os.read(screen, 65_536):
                    break
            except OSError:
                break
    assert process.stderr is not None
    with process.stderr as stderr:
        assert stderr.read() == b""
    assert process.wait(30) == 0
    os.close(screen)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--broker", "http://x"], "not a broker's address"),
        (["--broker", "mqtts://h", "--ca", "/nowhere"], "broker.ca = '/nowhere': No such file"),
        (["--broker", "mqtts://h", "--certificate", "x"], "broker.key: missing"),
        (["--broker", "mqtt://h", "--ack"], "--ack needs --store FILE"),
        (["--broker", "mqtt://h", "--ack", "--store", "/nowhere/x"], "--store '/nowhere/x'"),
    ],
)
def test_invalid_arguments_give_one_line_and_exit_code_2(
    arguments: list[str], message: str
) -> None:
    process = watch(*arguments)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 2
    (line,) = error.decode().splitlines()
    assert message in line


def test_an_absent_broker_is_reported_and_awaited() -> None:
    process = watch("--broker", f"mqtt://127.0.0.1:{free_port()}", "--json")
    assert process.stderr is not None
    assert b"Connection refused" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
