"""Acknowledgements and states of centres at a box with a control authority: a broker under an attacker's control deletes
nothing. Real mosquitto, real outbox.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agent.authority.control_authority import ControlAuthority
from agent.authority.signed_message import SigningIdentity, sign_message
from agent.config.broker import BrokerConfig
from agent.reporting import centre_topics
from agent.reporting.centre_payloads import Ack, CentreState, CentreStateName
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.payloads import SeqRange
from centre.signing import sign_ack, sign_centre_state
from tests.authority_rig import ControlKeys
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK, event_number, make_event
from tests.whole.report.reporting_box import (
    BareClient,
    CentreListener,
    ReportingBox,
    wait_until,
)

BOX, CENTRE = "pole-17", "city"
ACK_TOPIC = centre_topics.ack_topic(BOX, CENTRE)
STATE_TOPIC = centre_topics.centre_state_topic(CENTRE)
EVENTS = 14


class City:
    """A city with a centre, and a client that may publish anything, as its broker could."""

    def __init__(self, broker: BrokerConfig, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.keys = ControlKeys(datetime.now(UTC))
        self.centre = self.keys.identity(CENTRE, "centre")
        self.authority: ControlAuthority = self.keys.load(folder, CLOCK)
        self.client = BareClient(broker, "mallory")
        self.client.link.subscribe(["vigie/v1/+/up/event/#"])

    def box(self) -> ReportingBox:
        return ReportingBox(self.broker, self.folder, authority=self.authority)

    def announce(self, state: CentreStateName, centre: SigningIdentity | None = None) -> None:
        payload = sign_centre_state(state, centre or self.centre)
        self.client.publish(STATE_TOPIC, payload, retained=True)

    def wait_for_events(self, count: int) -> None:
        """Until so many have come. Repeats do not count: to acknowledge a message that was not sent is refused."""
        numbers: set[int] = set()
        while len(numbers) < count:
            received = self.client.wait_for(ReceivedPublish)
            assert isinstance(received, ReceivedPublish)
            numbers.add(event_number(received.payload, "data"))


@pytest.fixture
def city(broker: Mosquitto, tmp_path: Path) -> Iterator[City]:
    made = City(BrokerConfig(url=broker.url, keepalive_s=5), tmp_path)
    yield made
    made.client.link.abort()


def put_events(box: ReportingBox) -> None:
    tickets = [box.outbox.put(make_event(number)) for number in range(EVENTS)]
    assert all(ticket.wait(60) for ticket in tickets)


def whole_ack(box: ReportingBox, upto: int = EVENTS) -> Ack:
    return Ack(epoch=box.outbox.epoch, upto=upto, also=(SeqRange(EVENTS, EVENTS),))


Forge = Callable[[City, Ack], bytes]
FORGERIES: dict[str, tuple[Forge, str]] = {
    "plain": (lambda _, ack: msgspec.json.encode(ack), "unsigned"),
    "by another authority": (
        lambda c, ack: sign_ack(ack, BOX, ControlKeys(c.keys.now).identity(CENTRE, "centre")),
        "unknown_authority",
    ),
    "without the key of the certificate": (
        lambda c, ack: sign_ack(
            ack, BOX, SigningIdentity(c.centre.certificate, c.keys.identity("x").key)
        ),
        "forged",
    ),
    "by a supervisor": (
        lambda c, ack: sign_ack(ack, BOX, c.keys.identity(CENTRE, "supervisor")),
        "wrong_role",
    ),
    "by another centre": (
        lambda c, ack: sign_ack(ack, BOX, c.keys.identity("police", "centre")),
        "other_centre",
    ),
    "for another box": (lambda c, ack: sign_ack(ack, "pole-18", c.centre), "other_box"),
    "of another kind": (
        lambda c, ack: sign_message(
            {"box": BOX, "epoch": ack.epoch, "upto": ack.upto}, "vigie-centre-state+jws", c.centre
        ),
        "wrong_type",
    ),
    "without a box": (
        lambda c, ack: sign_message(
            {"epoch": ack.epoch, "upto": ack.upto}, "vigie-ack+jws", c.centre
        ),
        "malformed",
    ),
}


def test_a_forged_acknowledgement_deletes_nothing_and_a_signed_one_what_it_names(
    city: City,
) -> None:
    """Before signatures the first of these deleted 14 of 14."""
    city.announce("listening")
    expected: dict[str, int] = {}
    with city.box() as box:
        put_events(box)
        city.wait_for_events(EVENTS)
        for name, (forge, reason) in FORGERIES.items():
            city.client.publish(ACK_TOPIC, forge(city, whole_ack(box)))
            expected[reason] = expected.get(reason, 0) + 1
            wait_until(lambda: city.authority.health().refused == expected)
            assert box.outbox.depth == EVENTS, name
        earlier = sign_ack(Ack(epoch="of another disk", upto=EVENTS), BOX, city.centre)
        city.client.publish(ACK_TOPIC, earlier)
        city.client.publish(ACK_TOPIC, sign_ack(whole_ack(box, upto=3), BOX, city.centre))
        wait_until(lambda: box.outbox.depth == EVENTS - 4)
        # A repeat of an earlier one, which the broker kept, changes nothing.
        city.client.publish(ACK_TOPIC, sign_ack(whole_ack(box, upto=2), BOX, city.centre))
        city.client.publish(ACK_TOPIC, sign_ack(whole_ack(box), BOX, city.centre))
        wait_until(lambda: box.outbox.depth == 0)


@pytest.mark.parametrize(
    "publish_state",
    [
        lambda _: None,
        lambda c: c.client.publish(STATE_TOPIC, b'{"state":"retired"}', retained=True),
        lambda c: c.client.publish(STATE_TOPIC, b"", retained=True),
        lambda c: c.announce("retired"),
        lambda c: c.announce("away"),
        lambda c: c.announce("retired", c.keys.identity("police", "centre")),
        lambda c: c.client.publish(
            STATE_TOPIC,
            sign_message(CentreState(state="listening"), "vigie-ack+jws", c.centre),
            retained=True,
        ),
    ],
    ids=["none", "unsigned", "empty", "retired", "away", "of another", "of another kind"],
)
def test_without_a_centre_that_listens_no_puback_deletes_a_message(
    city: City, publish_state: Callable[[City], object]
) -> None:
    publish_state(city)
    with city.box() as box:
        wait_until(lambda: box.session.health().connected)
        put_events(box)
        box.wait_for_mode("hold")
        assert box.outbox.depth == EVENTS
        city.announce("listening")
        city.wait_for_events(EVENTS)
        assert box.outbox.depth == EVENTS
        # The centre leaves for good: what it has not acknowledged stays on the disk.
        city.announce("retired")
        box.wait_for_mode("hold")
        assert box.outbox.depth == EVENTS


def test_an_unsigned_state_silences_no_box(city: City) -> None:
    city.announce("listening")
    with city.box() as box:
        wait_until(lambda: box.session.health().centre_listening)
        city.client.publish(STATE_TOPIC, b'{"state":"away"}', retained=True)
        wait_until(lambda: city.authority.health().refused == {"unsigned": 1})
        assert box.session.health().centre_listening
        put_events(box)
        city.wait_for_events(EVENTS)
        city.client.publish(ACK_TOPIC, sign_ack(whole_ack(box), BOX, city.centre))
        wait_until(lambda: box.outbox.depth == 0)


def test_the_centre_of_the_project_signs_and_drains_the_box(city: City) -> None:
    with city.box() as box:
        put_events(box)
        listener = CentreListener(
            city.broker, city.folder / "centre.db", centre=CENTRE, identity=city.centre
        )
        with listener:
            wait_until(lambda: box.outbox.depth == 0)
    assert sorted(set(listener.event_numbers())) == list(range(EVENTS))


def test_a_centre_without_a_certificate_gets_nothing_acknowledged(city: City) -> None:
    with city.box() as box, CentreListener(city.broker, city.folder / "centre.db", centre=CENTRE):
        put_events(box)
        wait_until(lambda: city.authority.health().refused.get("unsigned", 0) > 0)
        assert box.outbox.depth == EVENTS
