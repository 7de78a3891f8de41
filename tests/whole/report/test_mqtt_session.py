"""agent.reporting.mqtt.session with a real mosquitto and a centre: every message arrives, and leaves the
box.
"""

import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.base.clock import SystemClock
from agent.base.sha256 import sha256_hex
from agent.config.broker import BrokerConfig
from agent.config.desired_config import DesiredContent
from agent.faults.registry import FaultRegistry
from agent.reporting import centre_topics, outgoing_messages, topics
from agent.reporting.centre_payloads import Ack, CentreState
from agent.reporting.mqtt import connection
from agent.reporting.mqtt.centre_link import CENTRE_ACK_TIMEOUT_S
from agent.reporting.mqtt.connection import DISCONNECT_TIMEOUT_S
from agent.reporting.mqtt.mqtt_stage import MAX_FLUSH_S, MqttStage
from agent.reporting.mqtt.packets import ReceivedPublish, Suback
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox import files
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.payloads import (
    LostStatus,
    ReportedConfig,
    ReportedContent,
    SeqRange,
    SnapshotHeader,
    StatusMessage,
    StoppedStatus,
)
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK, make_event
from tests.whole.report.reporting_box import (
    BIRTH,
    BareClient,
    CentreListener,
    FastRandom,
    ReportingBox,
    run_until,
    take_over,
    wait_until,
)

STATE_TOPIC = centre_topics.centre_state_topic("centre")


def config(broker: Mosquitto, **options: object) -> BrokerConfig:
    return BrokerConfig(url=broker.url, keepalive_s=5, **options)  # type: ignore[arg-type]


class HookedClock(SystemClock):
    """The machine's clock, with another boot time."""

    def __init__(self, boottime_ns: Callable[[], int]) -> None:
        super().__init__()
        self._boottime_ns = boottime_ns

    def boottime_ns(self) -> int:
        return self._boottime_ns()


def test_events_reach_the_centre_and_leave_the_box_when_acknowledged(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with (
        CentreListener(config(broker), tmp_path / "centre.db") as centre,
        ReportingBox(config(broker), tmp_path) as box,
    ):
        for number in range(100):
            box.outbox.put(make_event(number))
        centre.wait_for(lambda: len(centre.event_numbers()) >= 100)
        wait_until(lambda: box.outbox.depth == 0)
        assert centre.event_numbers() == list(range(100))
        assert box.session.health().connected
        assert box.session.health().centre_listening


def test_a_box_publishes_its_birth_and_its_death(broker: Mosquitto, tmp_path: Path) -> None:
    with CentreListener(config(broker)) as watcher:
        with ReportingBox(config(broker), tmp_path):
            watcher.wait_for(lambda: watcher.status_names() == ["OnlineStatus"])
        watcher.wait_for(lambda: watcher.status_names() == ["OnlineStatus", "StoppedStatus"])
        last = watcher.received[-1].message
        assert isinstance(last, StatusMessage)
        assert last.data == StoppedStatus(session=1, reason="asked to stop")
        assert last.seq is None
    # It is retained: later subscribers receive it too.
    with CentreListener(config(broker)) as late:
        late.wait_for(lambda: late.status_names() == ["StoppedStatus"])
        assert late.received[0].retained


def test_the_last_message_is_sent_before_the_stop_on_a_slow_disk(
    broker: Mosquitto, outboxes: Callable[..., Outbox], tmp_path: Path
) -> None:
    outbox, faults = outboxes(tmp_path), FaultRegistry(CLOCK.boottime_ns)
    held = sqlite3.connect(files.database_path(tmp_path), isolation_level=None)
    looks = 0

    def clock_ns() -> int:
        nonlocal looks
        looks += 1
        if held.in_transaction and looks == 5:
            held.execute("ROLLBACK")
        return CLOCK.boottime_ns()

    with CentreListener(config(broker)) as watcher:
        session = MqttSession(outbox, HookedClock(clock_ns))
        stage = MqttStage(
            session, config(broker, ack="broker"), faults, lambda: BIRTH, FastRandom(3)
        )
        run_until(stage, lambda: session.health().connected)
        looks = 0
        held.execute("BEGIN IMMEDIATE")
        ticket = outbox.put(make_event(7))
        assert outbox.is_writing
        stage.close()
        held.close()
        assert ticket.is_durable
        assert not outbox.is_writing
        watcher.wait_for(lambda: watcher.status_names()[-1:] == ["StoppedStatus"])
        assert watcher.event_numbers() == [7]
        assert outbox.depth == 0


def test_at_the_stop_the_session_waits_for_the_centre_only_as_long_as_messages_leave(
    broker: Mosquitto, outboxes: Callable[..., Outbox], tmp_path: Path
) -> None:
    centre = BareClient(config(broker), "centre")
    listening = msgspec.json.encode(CentreState(state="listening"))
    centre.publish(STATE_TOPIC, listening, retained=True)
    outbox, faults = outboxes(tmp_path), FaultRegistry(CLOCK.boottime_ns)
    closes, passed_s = False, 0.0

    def clock_ns() -> int:
        """While it closes each look is a tenth of a second later, and each 4 s a message arrives."""
        nonlocal passed_s
        if closes:
            passed_s += 0.1
            arrived = int(passed_s / 4)
            outbox.acknowledge(outbox.epoch, (SeqRange(1, arrived),))
            wait_until(lambda: outbox.depth == 5 - arrived)
        return CLOCK.boottime_ns() + round(passed_s * 1e9)

    session = MqttSession(outbox, HookedClock(clock_ns))
    stage = MqttStage(session, config(broker), faults, lambda: BIRTH, FastRandom(3))
    run_until(stage, lambda: session.health().centre_listening)
    for number in range(5):
        assert outbox.put(make_event(number)).wait(60)
    closes = True
    stage.close()
    assert 2 * 4 < passed_s < MAX_FLUSH_S + DISCONNECT_TIMEOUT_S + 1
    assert outbox.depth == 3
    centre.link.close()


def test_the_broker_reports_a_lost_box_and_a_stale_will_is_recognised_by_its_session(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a broker would that knows no will delay.
    monkeypatch.setattr(connection, "WILL_DELAY_S", 0)
    with CentreListener(config(broker)) as watcher, ReportingBox(config(broker), tmp_path) as box:
        watcher.wait_for(watcher.births)
        # Another client with our id throws us out: the broker publishes our will.
        rival = take_over(config(broker), "pole-17")
        watcher.wait_for(lambda: "LostStatus" in watcher.status_names())
        wills = [m.message.data for m in watcher.received if isinstance(m.message, StatusMessage)]
        assert LostStatus(session=1) in wills
        rival.abort()
        watcher.wait_for(lambda: any(birth.session > 1 for birth in watcher.births()))
        assert box.outbox.next_session_number() > 2


def test_a_puback_alone_settles_nothing_while_a_centre_is_listening(
    broker: Mosquitto, tmp_path: Path
) -> None:
    centre = BareClient(config(broker), "centre")
    centre.publish(STATE_TOPIC, b'{"state":"listening"}', retained=True)
    centre.link.subscribe(["vigie/v1/+/up/event/#"])
    with ReportingBox(config(broker), tmp_path) as box:
        tickets = [box.outbox.put(make_event(number)) for number in range(5)]
        for _ in range(5):
            centre.wait_for(ReceivedPublish)
        assert all(ticket.wait(60) for ticket in tickets)
        assert box.outbox.depth == 5
        ack = Ack(epoch=box.outbox.epoch, upto=3)
        centre.publish("vigie/v1/pole-17/down/ack/centre", msgspec.json.encode(ack))
        wait_until(lambda: box.outbox.depth == 2)
        strange = Ack(epoch="of another box", upto=5)
        centre.publish("vigie/v1/pole-17/down/ack/centre", msgspec.json.encode(strange))
        beyond = Ack(epoch=box.outbox.epoch, upto=1000)
        centre.publish("vigie/v1/pole-17/down/ack/centre", msgspec.json.encode(beyond))
        centre.publish("vigie/v1/pole-17/down/ack/centre", b"rubbish")
        box.outbox.put(make_event(5)).wait(60)
        centre.wait_for(ReceivedPublish)
        assert box.outbox.depth == 3
        centre.publish(STATE_TOPIC, b'{"state":"retired"}', retained=True)
        wait_until(lambda: box.outbox.depth == 0)
    centre.link.close()


def test_without_a_centre_a_puback_settles_a_message(broker: Mosquitto, tmp_path: Path) -> None:
    with CentreListener(config(broker)) as watcher, ReportingBox(config(broker), tmp_path) as box:
        for number in range(30):
            box.outbox.put(make_event(number))
        watcher.wait_for(lambda: len(watcher.event_numbers()) >= 30)
        wait_until(lambda: box.outbox.depth == 0)


def test_with_ack_broker_a_message_without_a_subscriber_counts_as_delivered(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with ReportingBox(config(broker, ack="broker"), tmp_path) as box:
        for number in range(30):
            box.outbox.put(make_event(number)).wait(60)
        wait_until(lambda: box.outbox.depth == 0)


def test_while_the_centre_is_away_the_box_keeps_its_messages(
    broker: Mosquitto, tmp_path: Path
) -> None:
    store = tmp_path / "centre.db"
    with ReportingBox(config(broker), tmp_path) as box, CentreListener(config(broker)) as watcher:
        with CentreListener(config(broker), store) as centre:
            box.outbox.put(make_event(1))
            centre.wait_for(lambda: centre.event_numbers() == [1])
            wait_until(lambda: box.outbox.depth == 0)
        away = msgspec.json.encode(CentreState(state="away"))
        watcher.wait_for(
            lambda: [m.payload for m in watcher.received if m.topic == STATE_TOPIC][-1:] == [away]
        )
        wait_until(lambda: not box.session.health().centre_listening)
        box.outbox.put(make_event(2)).wait(60)
        with CentreListener(config(broker), store) as centre:
            centre.wait_for(lambda: centre.event_numbers() == [2])
            wait_until(lambda: box.outbox.depth == 0)
            # A centre that connects gets the birth again, with the floor from which it counts.
            centre.wait_for(lambda: any(birth.acked_upto >= 1 for birth in centre.births()))


def test_a_box_waits_for_a_known_centre_after_the_broker_forgot_it(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with (
        CentreListener(config(broker), tmp_path / "centre.db"),
        ReportingBox(config(broker), tmp_path) as box,
    ):
        wait_until(lambda: box.outbox.centres.awaited)
    broker.stop(signal.SIGKILL)
    broker.start()
    with ReportingBox(config(broker), tmp_path) as box:
        wait_until(lambda: box.session.health().connected)
        box.outbox.put(make_event(1)).wait(60)
        with CentreListener(config(broker), tmp_path / "centre.db") as centre:
            centre.wait_for(lambda: centre.event_numbers() == [1])
        assert box.session.health().connected


def test_a_receive_maximum_of_one_is_kept(
    brokers: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    # mosquitto takes max_inflight_messages as its receive maximum, and ends a session beyond it.
    broker = brokers(config="allow_anonymous true\nmax_inflight_messages 1\n")
    with (
        CentreListener(config(broker), tmp_path / "centre.db") as centre,
        ReportingBox(config(broker), tmp_path) as box,
    ):
        for number in range(200):
            box.outbox.put(make_event(number))
        centre.wait_for(lambda: len(centre.event_numbers()) >= 200)
        wait_until(lambda: box.outbox.depth == 0)
        assert centre.event_numbers() == list(range(200))
        assert {birth.session for birth in centre.births()} == {1}


def test_a_picture_travels_as_bytes_with_its_envelope_in_user_properties(
    broker: Mosquitto, tmp_path: Path
) -> None:
    jpeg = b"\xff\xd8" + bytes(range(256)) * 40
    with (
        CentreListener(config(broker), tmp_path / "centre.db") as centre,
        ReportingBox(config(broker), tmp_path) as box,
    ):
        box.outbox.put(
            outgoing_messages.build_snapshot_message("north", jpeg, 1, event_id="event-1")
        )
        centre.wait_for(lambda: any("snapshot" in item.topic for item in list(centre.received)))
        wait_until(lambda: box.outbox.depth == 0)
    (picture,) = [item for item in centre.received if "snapshot" in item.topic]
    header = picture.message
    assert isinstance(header, SnapshotHeader)
    assert picture.payload == jpeg
    assert header.data.sha256 == sha256_hex(jpeg)
    assert (header.seq, header.data.event) == (1, "event-1")


def test_the_newest_emergency_is_sent_first_and_the_oldest_wait_is_reported(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with ReportingBox(config(broker), tmp_path) as box:
        pass
    box = ReportingBox(config(broker), tmp_path)
    for number in range(40):
        box.outbox.put(make_event(number, "wrong_way" if number in (10, 20) else "line")).wait(60)
    with CentreListener(config(broker), tmp_path / "centre.db") as centre, box:
        centre.wait_for(lambda: len(centre.event_numbers()) >= 40)
        numbers = centre.event_numbers()
        assert numbers[:2] == [20, 10]
        assert numbers[2:] == [number for number in range(40) if number not in (10, 20)]


def test_an_absent_broker_is_a_fault_until_it_returns(broker: Mosquitto, tmp_path: Path) -> None:
    broker.stop(signal.SIGTERM)
    with ReportingBox(config(broker), tmp_path) as box:
        detail = box.wait_for_fault("NET-01")
        assert detail.startswith(
            f"127.0.0.1:{broker.port}: Connection refused: the machine answers"
        )
        broker.start()
        wait_until(lambda: not box.faults.active())
        assert box.session.health().connected


def test_a_broker_restart_loses_no_message(broker: Mosquitto, tmp_path: Path) -> None:
    with (
        CentreListener(config(broker), tmp_path / "centre.db") as centre,
        ReportingBox(config(broker), tmp_path) as box,
    ):
        for turn in range(3):
            for number in range(50):
                box.outbox.put(make_event(50 * turn + number))
            broker.stop(signal.SIGTERM)
            broker.start()
        centre.wait_for(lambda: set(centre.event_numbers()) == set(range(150)))
        wait_until(lambda: box.outbox.depth == 0)


@pytest.mark.raises_fault("NET-03")
def test_a_centre_that_does_not_acknowledge_is_a_fault_until_it_does(
    broker: Mosquitto, outboxes: Callable[..., Outbox], tmp_path: Path
) -> None:
    centre = BareClient(config(broker), "centre")
    listening = msgspec.json.encode(CentreState(state="listening"))
    centre.publish(STATE_TOPIC, listening, retained=True)
    outbox = outboxes(tmp_path)
    passed_s = 0.0
    faults = FaultRegistry(CLOCK.boottime_ns)

    def now_ns() -> int:
        return CLOCK.boottime_ns() + round(passed_s * 1e9)

    session = MqttSession(outbox, HookedClock(now_ns))
    stage = MqttStage(session, config(broker), faults, lambda: BIRTH, FastRandom(3))
    never = threading.Event()
    run_until(stage, lambda: session.health().centre_listening)

    def is_answered() -> bool:
        window = None if session.connection is None else session.connection._window
        return window is not None and window.is_idle

    # Second by second, once the broker has answered: so the connection is not given up.
    while passed_s < CENTRE_ACK_TIMEOUT_S + 5:
        outbox.put(make_event(1)).wait(60)
        stage.run_once(never)
        run_until(stage, is_answered)
        passed_s += 1
    reported = [(f.code, f.detail) for f in faults.active()]
    assert reported == [("NET-03", "centre 'centre' listens and does not acknowledge")]
    last = outbox.put(make_event(2))
    assert last.wait(60)
    # Sent before its acknowledgement arrives, which is refused otherwise.
    stage.run_once(never)
    ack = Ack(epoch=outbox.epoch, upto=last.seq or 0)
    centre.publish("vigie/v1/pole-17/down/ack/centre", msgspec.json.encode(ack))
    run_until(stage, lambda: outbox.depth == 0)
    assert faults.active() == ()
    stage.close()
    centre.link.close()


REPORT_KINDS = ("declaration", "config", "config/content")


class ReportWatcher(BareClient):
    """Receives the reports of one box."""

    def __init__(self, broker: BrokerConfig) -> None:
        super().__init__(broker, "watcher")
        self.link.subscribe([topics.up_topic("pole-17", kind) for kind in REPORT_KINDS])
        self.wait_for(Suback)

    def next_kind(self) -> str:
        received = self.wait_for(ReceivedPublish)
        assert isinstance(received, ReceivedPublish)
        return received.topic.rpartition("up/")[2]


def reported(version: int) -> ReportedConfig:
    return ReportedConfig(
        state="in_force",
        version=version,
        decided=version,
        digest=None,
        since=None,
        by=None,
        refused=None,
    )


def content(version: int) -> ReportedContent:
    return ReportedContent(version=version, digest=None, content=DesiredContent())


def test_a_change_of_one_report_does_not_send_the_other_again(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = BrokerConfig(url=broker.url)
    watcher = ReportWatcher(config)
    with ReportingBox(config, tmp_path) as box:
        assert watcher.next_kind() == "declaration"
        box.birth = msgspec.structs.replace(BIRTH, content=content(1))
        box.session.request_changed_reports()
        assert watcher.next_kind() == "config/content"
        for version in (1, 2):
            box.birth = msgspec.structs.replace(box.birth, config=reported(version))
            box.session.request_changed_reports()
            assert watcher.next_kind() == "config"
        box.session.request_reports()
        assert [watcher.next_kind() for _ in REPORT_KINDS] == list(REPORT_KINDS)
    watcher.link.abort()
