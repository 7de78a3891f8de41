"""`vigie watch` as an operator starts it."""

import contextlib
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from agent.base.sha256 import sha256_hex
from agent.config.broker import BrokerConfig
from agent.reporting import outgoing_messages, topics
from agent.reporting.mqtt.packets import Connack, Will
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.reporting.payloads import HealthMessage
from centre.client import CentreClient
from centre.store import CentreStore
from tests.fleet_messages import event, health, status
from tests.free_port import free_port
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import event_number, make_event
from tests.whole.report.fleet_on_broker import (
    PROJECT,
    FleetPublisher,
    WatchTerminal,
    fleet_statuses,
)
from tests.whole.report.reporting_box import (
    CentreListener,
    FastRandom,
    ReportingBox,
    wait_until,
)

BOXES = 650
MAX_CPU_S = 12.0
"""For the start, the states of 650 boxes and five minutes of their health: some 4 s where this was measured."""


def watch(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "agent", "watch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=PROJECT,
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
            outgoing_messages.build_snapshot_message(
                "north", b"\xff\xd8jpeg", 1, event_id="event-1"
            )
        )
        wait_until(lambda: box.outbox.depth == 0)
        received = []
        while not any("snapshot" in item["topic"] for item in received):
            received.append(json.loads(next(lines)))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
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


def test_a_centre_whose_store_fails_acknowledges_nothing_reports_it_and_tries_again(
    broker: Mosquitto, tmp_path: Path
) -> None:
    store = tmp_path / "centre.db"
    process = watch("--broker", broker.url, "--json", "--ack", "--store", str(store))
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"connecting" in process.stderr.readline()
    assert b"connected" in process.stderr.readline()
    with (
        ReportingBox(BrokerConfig(url=broker.url), tmp_path / "outbox") as box,
        contextlib.closing(sqlite3.connect(store, isolation_level=None)) as other,
    ):
        wait_until(lambda: box.session.health().centre_listening)
        other.execute("BEGIN EXCLUSIVE")
        box.outbox.put(make_event(1)).wait(60)
        problem = process.stderr.readline().decode()
        assert problem == "vigie: --store: database is locked; trying again\n"
        assert box.outbox.depth == 1
        other.execute("ROLLBACK")
        wait_until(lambda: box.outbox.depth == 0)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert (rest.decode(), process.returncode) == (f"vigie: connected to {broker.url}\n", 0)


def test_a_centre_without_a_control_key_names_a_box_that_takes_no_unsigned_acknowledgement(
    broker: Mosquitto, tmp_path: Path
) -> None:
    birth = status(box="casa-0001")
    signed = msgspec.structs.replace(birth.data, commands_authenticated=True)
    publisher = FleetPublisher(broker)
    publisher.publish([msgspec.structs.replace(birth, data=signed), status(box="casa-0002")])
    publisher.close()
    process = watch("--broker", broker.url, "--ack", "--store", str(tmp_path / "centre.db"))
    assert process.stderr is not None
    printed = [process.stderr.readline().decode() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert printed[2] == (
        "vigie: casa-0001 has control.ca: it takes no acknowledgement of this centre, and sends it nothing; "
        "allowed: with --signer and --signer-key\n"
    )
    assert rest == b""


def test_the_screen_shows_the_box_and_its_events(broker: Mosquitto, tmp_path: Path) -> None:
    with (
        WatchTerminal("--broker", broker.url) as terminal,
        ReportingBox(BrokerConfig(url=broker.url), tmp_path / "outbox") as box,
    ):
        terminal.read_until("1 box: 1 good")
        box.outbox.put(make_event(1, "wrong_way")).wait(60)
        terminal.read_until("wrong_way")
        terminal.press(b"q")
        code, rest = terminal.wait_for_end()
    assert code == 0
    # The terminal has its own screen, its cursor and its line wrap again.
    assert b"\x1b[?1049l" in rest
    assert b"\x1b[?25h" in rest


def test_the_states_of_650_boxes_cost_seconds_of_a_core_and_a_signal_ends_it(
    broker: Mosquitto,
) -> None:
    publisher = FleetPublisher(broker)
    publisher.publish(fleet_statuses(BOXES, lost=10))
    with WatchTerminal("--broker", broker.url) as terminal:
        terminal.read_until("650 boxes: 10 lost, 64 error, 576 good")
        # Five minutes of health. mosquitto drops what is beyond 1,000 messages for one client.
        for stopped in range(1, 11):
            publisher.publish(health(box=f"casa-{number:04}") for number in range(1, 641))
            publisher.publish([status("stopped", box=f"casa-{stopped:04}")])
            terminal.read_until(f"650 boxes: 10 lost, {stopped} stopped")
        assert terminal.cpu_s() < MAX_CPU_S
        terminal.process.send_signal(signal.SIGTERM)
        code, rest = terminal.wait_for_end()
    publisher.close()
    assert code == 0
    assert b"\x1b[?1049l" in rest


def test_into_a_pipe_each_change_is_a_line_at_once(broker: Mosquitto) -> None:
    process = watch("--broker", broker.url)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stderr.readline().decode() == f"vigie: connecting to {broker.url}\n"
    assert process.stderr.readline().decode() == f"vigie: connected to {broker.url}\n"
    publisher = FleetPublisher(broker)
    lines = []
    for message in (
        status(site="Depot\x1b[2J\n[bold]"),
        health(),
        event(),
        status("lost"),
    ):
        publisher.publish([message])
        if not isinstance(message, HealthMessage):
            lines.append(process.stdout.readline().decode())
    publisher.close()
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate(timeout=60)
    assert (rest, error, process.returncode) == (b"", b"", 0)
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    for line, change in zip(
        lines,
        [
            r"pole-17 online: Depot\\x1b\[2J\\n\[bold\]",
            r"pole-17 event dwell zebra begin at north",
            r"pole-17 lost at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
        ],
        strict=True,
    ):
        assert re.fullmatch(f"{time} {change}\n", line), line


def test_the_rest_of_a_wills_expiry_says_when_the_box_was_lost(broker: Mosquitto) -> None:
    config = BrokerConfig(url=broker.url)
    topic, payload = "vigie/v1/pole-17/up/status", msgspec.json.encode(status("lost"))
    box = PahoTransport(
        config, "pole-17", Will(topic=topic, payload=payload, expiry_s=topics.WILL_EXPIRY_S)
    )
    box.connect()
    box.wait_for(Connack, 60)
    box.abort()

    def is_counted_down() -> bool:
        with CentreListener(config) as watcher:
            watcher.wait_for(lambda: watcher.received)
        (will,) = watcher.received
        assert will.retained
        assert will.expiry_s is not None
        assert will.expiry_s > topics.WILL_EXPIRY_S - 60
        return will.expiry_s < topics.WILL_EXPIRY_S

    wait_until(is_counted_down)


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
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    (line,) = [line for line in error.decode().splitlines() if "connecting" not in line]
    assert message in line


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_absent_broker_is_reported_at_once_and_awaited(
    options: list[str], tmp_path: Path
) -> None:
    port = free_port()
    process = watch("--broker", f"mqtt://127.0.0.1:{port}", *options)
    assert process.stderr is not None
    assert process.stderr.readline().decode() == f"vigie: connecting to mqtt://127.0.0.1:{port}\n"
    assert process.stderr.readline().decode() == (
        f"vigie: 127.0.0.1:{port}: Connection refused: the machine answers, but no broker on this port; "
        "trying again\n"
    )
    # The next line is not the same one again.
    broker = Mosquitto(tmp_path, f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    assert process.stderr.readline().decode() == f"vigie: connected to mqtt://127.0.0.1:{port}\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    broker.stop(signal.SIGKILL)
    assert process.returncode == 0


def test_the_screen_names_an_absent_broker_at_once() -> None:
    port = free_port()
    with WatchTerminal("--broker", f"mqtt://127.0.0.1:{port}") as terminal:
        terminal.read_until(f"127.0.0.1:{port}: Connection refused")
        terminal.press(b"\x03")
        code, _ = terminal.wait_for_end()
    assert code == 0


def test_a_terminal_that_is_gone_ends_the_screen() -> None:
    with WatchTerminal("--broker", f"mqtt://127.0.0.1:{free_port()}") as terminal:
        terminal.read_until("Connection refused")
        terminal.close_screen()
        terminal.process.wait(60)


def test_a_peer_that_accepts_and_never_answers_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        problems: list[str | None] = []
        now_s = iter(range(0, 1_000_000, 11))
        client = CentreClient(
            BrokerConfig(url=f"mqtt://127.0.0.1:{silent.getsockname()[1]}"),
            lambda _: None,
            FastRandom(),
            lambda: next(now_s) * 10**9,
            on_connection_change=problems.append,
        )
        client.run_once(threading.Event())
        client.close()
        assert problems == [f"mqtt://127.0.0.1:{silent.getsockname()[1]}: no answer in 10 s"]
