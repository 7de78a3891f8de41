"""Several centres at a real mosquitto: active and standby that share the acknowledgement, and two authorities
with one each.
"""

import random
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting import centre_topics
from agent.reporting.centre_payloads import Ack, CentreStateName
from agent.reporting.mqtt.centre_link import CENTRE_ACK_TIMEOUT_S
from agent.reporting.mqtt.congestion_window import START_MESSAGES
from agent.reporting.mqtt.mqtt_stage import MqttStage
from agent.reporting.mqtt.packets import ReceivedPublish, Will
from agent.reporting.mqtt.send_window import MAX_UNACKED
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.payloads import StatusMessage
from bench.street_day import QUIET, StreetReports
from centre.ack_schedule import QUIET_S
from centre.client import ASSERT_INTERVAL_S, ActingCentre, CentreClient, ReceivedMessage
from centre.store import CentreStore
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK, event_number, make_event
from tests.whole.report.reporting_box import (
    BIRTH,
    BareClient,
    CentreListener,
    FastRandom,
    ReportingBox,
    run_until,
    wait_until,
)
from tests.whole.report.test_mqtt_session import HookedClock

NAMED = ("city", "police")


def config(broker: Mosquitto, **options: object) -> BrokerConfig:
    return BrokerConfig(url=broker.url, keepalive_s=5, **options)  # type: ignore[arg-type]


class BareCentre:
    """A centre that does what the test says, and no more."""

    def __init__(self, broker: BrokerConfig, name: str) -> None:
        self.name = name
        self._topic = centre_topics.centre_state_topic(name)
        will = Will(topic=self._topic, payload=b'{"state":"away"}')
        self.client = BareClient(broker, f"{name}-client", will=will)
        self.client.link.subscribe(["vigie/v1/+/up/event/#"])
        self.is_dead = False

    def die(self) -> None:
        """Without a DISCONNECT: the broker publishes the will."""
        self.is_dead = True
        self.client.link.abort()

    def announce(self, state: CentreStateName) -> None:
        self.publish_state(msgspec.json.encode({"state": state}))

    def publish_state(self, payload: bytes) -> None:
        self.client.publish(self._topic, payload, retained=True)

    def acknowledge(self, box: ReportingBox, upto: int) -> None:
        ack = Ack(epoch=box.outbox.epoch, upto=upto)
        topic = centre_topics.ack_topic("pole-17", self.name)
        self.client.publish(topic, msgspec.json.encode(ack))

    def receive(self) -> int:
        """The number of the next event."""
        received = self.client.wait_for(ReceivedPublish)
        assert isinstance(received, ReceivedPublish)
        return event_number(received.payload, "data")


@pytest.fixture
def centres(broker: Mosquitto) -> Iterator[Callable[[str], BareCentre]]:
    """Connects bare centres, and disconnects them after the test."""
    connected: list[BareCentre] = []

    def connect(name: str) -> BareCentre:
        connected.append(BareCentre(BrokerConfig(url=broker.url, keepalive_s=60), name))
        return connected[-1]

    yield connect
    for centre in connected:
        if not centre.is_dead:
            centre.client.link.close()


def put(box: ReportingBox, *numbers: int) -> None:
    for number in numbers:
        assert box.outbox.put(make_event(number)).wait(60)


def states(watcher: CentreListener) -> list[tuple[str, bytes]]:
    """The states of centres that came, with their names."""
    return [
        (name, bytes(item.payload))
        for item in list(watcher.received)
        if (name := centre_topics.parse_centre_state_topic(item.topic))
    ]


def test_an_emergency_passes_a_window_of_messages_that_wait_for_the_centre(
    broker: Mosquitto, centres: Callable[[str], BareCentre], tmp_path: Path
) -> None:
    centre = centres("centre")
    centre.announce("listening")
    # The time of the session stands still, so that nothing is sent twice.
    now_ns = CLOCK.boottime_ns()
    with ReportingBox(config(broker), tmp_path, clock=HookedClock(lambda: now_ns)) as box:
        box.wait_for_mode("centre")
        numbers = range(1, START_MESSAGES + 3)
        put(box, *numbers)
        assert [centre.receive() for _ in range(START_MESSAGES)] == [*numbers[:START_MESSAGES]]
        assert box.outbox.put(make_event(99, "wrong_way")).wait(60)
        assert centre.receive() == 99
        centre.acknowledge(box, START_MESSAGES)
        assert [centre.receive() for _ in range(2)] == [*numbers[START_MESSAGES:]]
        centre.acknowledge(box, START_MESSAGES + 3)
        wait_until(lambda: box.outbox.depth == 0)


@pytest.mark.parametrize("dies", ["active", "standby"])
def test_the_death_of_one_of_two_centres_does_not_silence_the_box(
    broker: Mosquitto, centres: Callable[[str], BareCentre], tmp_path: Path, dies: str
) -> None:
    stays = {"active": "standby", "standby": "active"}[dies]
    other = centres(dies)
    other.announce("listening")
    with (
        CentreListener(config(broker), tmp_path / "centre.db", centre=stays) as centre,
        ReportingBox(config(broker), tmp_path) as box,
    ):
        wait_until(lambda: set(box.outbox.centres.awaited) == {"active", "standby"})
        put(box, 1)
        assert other.receive() == 1
        other.die()
        centre.wait_for(lambda: (dies, b'{"state":"away"}') in states(centre))
        put(box, 2)
        centre.wait_for(lambda: centre.event_numbers() == [1, 2])
        wait_until(lambda: box.outbox.depth == 0)
        assert box.session.health().centre_listening


def test_of_two_that_listen_the_first_acknowledgement_frees_a_message(
    broker: Mosquitto, centres: Callable[[str], BareCentre], tmp_path: Path
) -> None:
    active, standby = centres("active"), centres("standby")
    for each in (active, standby):
        each.announce("listening")
    with ReportingBox(config(broker), tmp_path) as box:
        put(box, 1, 2)
        assert (standby.receive(), active.receive()) == (1, 1)
        standby.acknowledge(box, 1)
        wait_until(lambda: box.outbox.depth == 1)
        active.acknowledge(box, 2)
        wait_until(lambda: box.outbox.depth == 0)


def test_with_both_away_the_box_keeps_its_messages_until_one_is_back(
    broker: Mosquitto, centres: Callable[[str], BareCentre], tmp_path: Path
) -> None:
    active, standby = centres("active"), centres("standby")
    for each in (active, standby):
        each.announce("away")
    with ReportingBox(config(broker), tmp_path) as box:
        wait_until(lambda: len(box.outbox.centres.awaited) == 2)
        put(box, 1)
        standby.announce("listening")
        assert standby.receive() == 1
        assert box.outbox.depth == 1
        standby.acknowledge(box, 1)
        wait_until(lambda: box.outbox.depth == 0)


def test_a_puback_frees_messages_only_once_every_centre_has_retired(
    broker: Mosquitto, centres: Callable[[str], BareCentre], tmp_path: Path
) -> None:
    active, standby = centres("active"), centres("standby")
    for each in (active, standby):
        each.announce("listening")
    with ReportingBox(config(broker), tmp_path) as box:
        wait_until(lambda: len(box.outbox.centres.awaited) == 2)
        standby.announce("retired")
        wait_until(lambda: box.outbox.centres.awaited == ("active",))
        put(box, 1)
        assert active.receive() == 1
        active.announce("away")
        wait_until(lambda: not box.session.health().centre_listening)
        put(box, 2)
        assert box.outbox.depth == 2
        active.announce("retired")
        wait_until(lambda: box.outbox.depth == 0)


def test_centres_that_a_killed_broker_forgot_are_remembered_and_announce_themselves(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with (
        CentreListener(config(broker), tmp_path / "a.db", centre="active") as active,
        CentreListener(config(broker), tmp_path / "b.db", centre="standby") as standby,
    ):
        with ReportingBox(config(broker), tmp_path) as box:
            wait_until(lambda: len(box.outbox.centres.awaited) == 2)
        broker.stop(signal.SIGKILL)
        broker.start()
        with ReportingBox(config(broker), tmp_path) as box:
            assert set(box.outbox.centres.awaited) == {"active", "standby"}
            put(box, 1)
            wait_until(lambda: box.outbox.depth == 0)
            # One that is back first may have stored it before the other is.
            assert {*active.event_numbers(), *standby.event_numbers()} == {1}


def test_a_box_keeps_its_messages_for_named_centres_that_it_never_heard(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with ReportingBox(config(broker, centres=NAMED), tmp_path) as box:
        wait_until(lambda: box.session.health().connected)
        put(box, 1)
        box.session.unstored.put(make_event(2))
        wait_until(lambda: box.session.round_trip_ms() is not None)
        assert box.outbox.depth == 1


def test_a_listening_centre_announces_itself_after_a_birth_and_against_a_late_will(
    broker: Mosquitto, centres: Callable[[str], BareCentre], tmp_path: Path
) -> None:
    listening = ("city", b'{"state":"listening"}')
    with (
        CentreListener(config(broker)) as watcher,
        CentreListener(config(broker), tmp_path / "centre.db", centre="city"),
    ):
        watcher.wait_for(lambda: states(watcher).count(listening) == 1)
        # As the will of its earlier connection.
        centres("city").announce("away")
        watcher.wait_for(lambda: states(watcher).count(listening) == 2)
        with ReportingBox(config(broker), tmp_path) as box:
            watcher.wait_for(lambda: states(watcher).count(listening) == 3)
            wait_until(lambda: box.session.health().centre_listening)
            # That is no news: the box does not publish its birth again.
            put(box, 1)
            watcher.wait_for(lambda: watcher.event_numbers() == [1])
            assert len(watcher.births()) <= 2


def test_the_counts_and_the_chain_head_of_a_minute_have_one_acknowledgement(
    broker: Mosquitto, tmp_path: Path
) -> None:
    now_ns = CLOCK.boottime_ns()
    passed_s = 0.0
    store = CentreStore.open(tmp_path / "centre.db")
    received: list[ReceivedMessage] = []
    centre = CentreClient(
        config(broker),
        received.append,
        FastRandom(1),
        # No time passes that the test does not let pass: the counts wait for the head, however slow the machine is.
        lambda: now_ns + round(passed_s * 1e9),
        centre=ActingCentre(store=store, name="city"),
    )
    spy = BareClient(config(broker), "spy")
    spy.link.subscribe([centre_topics.ack_topic("pole-17", "city")])

    def next_upto() -> int:
        acknowledged = spy.wait_for(ReceivedPublish)
        assert isinstance(acknowledged, ReceivedPublish)
        return msgspec.json.decode(acknowledged.payload, type=Ack).upto

    reports = StreetReports(QUIET, random.Random(1), CLOCK.utc)
    run_until(centre, centre.online.is_set)
    with ReportingBox(config(broker), tmp_path) as box:
        run_until(centre, lambda: any(isinstance(item.message, StatusMessage) for item in received))
        assert next_upto() == 0
        passed_s += QUIET_S
        assert box.outbox.put(reports.counts(now_ns)).wait(60)
        run_until(centre, lambda: any("/up/flow/" in item.topic for item in received))
        assert box.outbox.put(reports.custody_head(1, now_ns)).wait(60)
        run_until(centre, lambda: box.outbox.depth == 0)
        assert next_upto() == 2
    centre.close()
    store.close()
    spy.link.close()


@pytest.mark.parametrize("later", [1, 5, 400])
def test_messages_of_a_box_whose_older_state_was_put_back_are_stored_before_they_are_deleted(
    broker: Mosquitto, tmp_path: Path, later: int
) -> None:
    """Its outbox has the same epoch, and gives the numbers of that time to other messages."""
    put_back = range(1001, 1006)
    with CentreListener(config(broker), tmp_path / "centre.db", centre="city") as centre:
        with ReportingBox(config(broker), tmp_path / "box") as box:
            put(box, 1)
            wait_until(lambda: box.outbox.depth == 0)
        shutil.copytree(tmp_path / "box", tmp_path / "image")
        with ReportingBox(config(broker), tmp_path / "box") as box:
            for number in range(2, later + 2):
                ticket = box.outbox.put(make_event(number))
            assert ticket.wait(60)
            wait_until(lambda: box.outbox.depth == 0)
        with ReportingBox(config(broker), tmp_path / "image") as box:
            put(box, *put_back)
            wait_until(lambda: box.outbox.depth == 0)
        assert centre.store is not None
        payloads = centre.store.event_payloads()
    stored = [event_number(payload, "data") for payload in payloads]
    assert sorted(stored) == [*range(1, later + 2), *put_back]


def test_a_listening_centre_announces_itself_each_ten_minutes(
    broker: Mosquitto, tmp_path: Path
) -> None:
    passed_s = 0.0
    store = CentreStore.open(tmp_path / "centre.db")
    client = CentreClient(
        config(broker),
        lambda _: None,
        FastRandom(1),
        lambda: CLOCK.boottime_ns() + round(passed_s * 1e9),
        centre=ActingCentre(store=store, name="city"),
    )
    with CentreListener(config(broker)) as watcher:
        for turn in range(1, 4):
            while len(states(watcher)) < turn:
                client.run_once(threading.Event())
            passed_s += ASSERT_INTERVAL_S
        assert set(states(watcher)) == {("city", b'{"state":"listening"}')}
        client.close()
    store.close()


@pytest.mark.parametrize(
    "payload", [b"", b"rubbish", b"[]", b'{"state":"gone"}', b'{"state":null}', b"{" * 100_000]
)
def test_a_malformed_state_changes_nothing(
    broker: Mosquitto, centres: Callable[[str], BareCentre], tmp_path: Path, payload: bytes
) -> None:
    city = centres("city")
    city.announce("listening")
    with ReportingBox(config(broker), tmp_path) as box:
        wait_until(lambda: box.session.health().centre_listening)
        city.publish_state(payload)
        put(box, 1)
        assert city.receive() == 1
        city.acknowledge(box, 1)
        wait_until(lambda: box.outbox.depth == 0)


def test_a_state_of_a_centre_that_is_not_named_changes_nothing(
    broker: Mosquitto, centres: Callable[[str], BareCentre], tmp_path: Path
) -> None:
    city, forger = centres("city"), centres("mallory")
    with ReportingBox(config(broker, centres=("city",)), tmp_path) as box:
        wait_until(lambda: box.session.health().connected)
        forger.announce("listening")
        put(box, 1)
        forger.announce("retired")
        forger.acknowledge(box, 1)
        wait_until(lambda: box.outbox.counts().refused_acks == 1)
        assert box.outbox.depth == 1
        assert not box.session.health().centre_listening
        assert box.outbox.centres.awaited == ("city",)
        city.announce("listening")
        assert city.receive() == 1


def test_a_flood_of_centres_is_bounded_and_the_real_one_is_heard_again(
    broker: Mosquitto, centres: Callable[[str], BareCentre], tmp_path: Path
) -> None:
    city, forger = centres("city"), centres("mallory")
    city.announce("listening")
    with ReportingBox(config(broker), tmp_path) as box:
        wait_until(lambda: box.session.health().centre_listening)
        for number in range(30):
            topic = centre_topics.centre_state_topic(f"fake-{number}")
            forger.client.publish(topic, b'{"state":"away"}', retained=True)
        wait_until(lambda: "fake-29" in box.outbox.centres.awaited)
        assert len(box.outbox.centres.rows()) == 8
        city.announce("listening")
        put(box, 1)
        assert city.receive() == 1
        city.acknowledge(box, 1)
        wait_until(lambda: box.outbox.depth == 0)


def test_of_two_authorities_each_gets_every_message_before_it_leaves_the_box(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with (
        CentreListener(config(broker), tmp_path / "city.db", centre="city") as city,
        ReportingBox(config(broker, centres=NAMED), tmp_path) as box,
    ):
        put(box, *range(1, 21))
        city.wait_for(lambda: city.event_numbers() == list(range(1, 21)))
        wait_until(lambda: box.outbox.acked_upto_by_centre() == {"city": 20, "police": 0})
        assert box.outbox.depth == 20
        with CentreListener(config(broker), tmp_path / "police.db", centre="police") as police:
            police.wait_for(lambda: set(police.event_numbers()) == set(range(1, 21)))
            wait_until(lambda: box.outbox.depth == 0)
        put(box, 21)
        city.wait_for(lambda: 21 in city.event_numbers())
        assert box.outbox.depth == 1
    assert city.store is not None


def test_with_one_authority_away_for_long_the_other_gets_each_message_once(
    broker: Mosquitto, centres: Callable[[str], BareCentre], tmp_path: Path
) -> None:
    """More than the send window holds, over two connections."""
    police = centres("police")
    police.announce("away")
    settings = config(broker, centres=NAMED)
    count = MAX_UNACKED + 50
    with CentreListener(config(broker), tmp_path / "city.db", centre="city") as city:
        with ReportingBox(settings, tmp_path) as box:
            for number in range(1, count + 1):
                ticket = box.outbox.put(make_event(number))
            assert ticket.wait(60)
            city.wait_for(lambda: len(city.event_numbers()) >= count)
            wait_until(lambda: box.outbox.acked_upto("city") == count)
        with ReportingBox(settings, tmp_path) as box:
            assert box.outbox.depth == count
            put(box, count + 1)
            city.wait_for(lambda: count + 1 in city.event_numbers())
            assert city.event_numbers() == list(range(1, count + 2))
            # The birth has the floor of each.
            floors = [birth.acked_upto_by_centre for birth in city.births()]
            assert floors[-1] == {"city": count, "police": 0}
            police.announce("listening")
            assert police.receive() == 1
            police.acknowledge(box, count + 1)
            wait_until(lambda: box.outbox.depth == 0)


@pytest.mark.raises_fault("NET-03")
def test_an_authority_that_listens_and_is_silent_does_not_hold_up_the_other(
    broker: Mosquitto,
    centres: Callable[[str], BareCentre],
    outboxes: Callable[..., Outbox],
    tmp_path: Path,
) -> None:
    police = centres("police")
    police.announce("listening")
    settings = config(broker, centres=NAMED)
    outbox, faults = outboxes(tmp_path, centres=NAMED), FaultRegistry(CLOCK.boottime_ns)
    passed_s = 0.0
    clock = HookedClock(lambda: CLOCK.boottime_ns() + round(passed_s * 1e9))
    session = MqttSession(outbox, clock)
    stage = MqttStage(session, settings, faults, lambda: BIRTH, FastRandom(3))
    never = threading.Event()
    with CentreListener(config(broker), tmp_path / "city.db", centre="city"):
        for number in range(2 * MAX_UNACKED):
            ticket = outbox.put(make_event(number))
        assert ticket.wait(60)
        run_until(stage, lambda: outbox.acked_upto("city") >= MAX_UNACKED)
        # The window is full of what the police has not acknowledged.
        while passed_s < CENTRE_ACK_TIMEOUT_S + 5:
            stage.run_once(never)
            passed_s += 1
        run_until(stage, lambda: outbox.acked_upto("city") >= 2 * MAX_UNACKED)
        assert [fault.detail for fault in faults.active()] == [
            "centre 'police' listens and does not acknowledge"
        ]
        ack = Ack(epoch=outbox.epoch, upto=2 * MAX_UNACKED)
        topic = centre_topics.ack_topic("pole-17", "police")
        police.client.publish(topic, msgspec.json.encode(ack))
        run_until(stage, lambda: outbox.depth == 0)
        stage.run_once(never)
        assert faults.active() == ()
        stage.close()


@pytest.mark.raises_fault("NET-03")
def test_an_authority_that_is_away_is_named_in_the_fault(
    broker: Mosquitto,
    centres: Callable[[str], BareCentre],
    outboxes: Callable[..., Outbox],
    tmp_path: Path,
) -> None:
    centres("police").announce("away")
    settings = config(broker, centres=NAMED)
    outbox, faults = outboxes(tmp_path, centres=NAMED), FaultRegistry(CLOCK.boottime_ns)
    passed_s = 0.0
    clock = HookedClock(lambda: CLOCK.boottime_ns() + round(passed_s * 1e9))
    session = MqttSession(outbox, clock)
    stage = MqttStage(session, settings, faults, lambda: BIRTH, FastRandom(3))
    never = threading.Event()
    assert outbox.put(make_event(1)).wait(60)
    while not faults.active():
        stage.run_once(never)
        passed_s += 5
    (fault,) = faults.active()
    assert fault.detail.split("; ") == [
        "centre 'city' has not announced itself since this connection began",
        "centre 'police' has said that it is away",
    ]
    stage.close()
