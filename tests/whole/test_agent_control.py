"""The whole agent with and without a control authority: what it says of itself, and a signed command in its custody log."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from agent.base.model import CommandDone, CommandRefused, Reply
from agent.config.broker import BrokerConfig
from agent.reporting import centre_topics, topics
from agent.reporting.mqtt.packets import ReceivedPublish, Suback
from agent.reporting.payloads import (
    DeclarationMessage,
    OnlineStatus,
    ReplyMessage,
    StatusMessage,
)
from centre.client import ReceivedMessage, decode_received
from centre.signing import sign_centre_state, sign_command
from tests.authority_rig import ControlKeys
from tests.parts.command_rig import encode_command
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import BareClient
from tests.whole.rig import AgentBox

BOX = "casa-0001"


@pytest.fixture
def client(mosquitto: Mosquitto) -> Iterator[BareClient]:
    made = BareClient(BrokerConfig(url=mosquitto.url, keepalive_s=5), "centre-side")
    made.link.subscribe(
        [topics.up_topic(BOX, suffix) for suffix in ("status", "declaration", "reply/#")]
    )
    made.wait_for(Suback)
    yield made
    made.link.abort()


def receive(client: BareClient) -> ReceivedMessage:
    received = client.wait_for(ReceivedPublish)
    assert isinstance(received, ReceivedPublish)
    return decode_received(received, datetime.now(UTC))


def wait_for_birth(client: BareClient) -> OnlineStatus:
    """The next birth; the declaration after it says the same of its commands."""
    while True:
        message = receive(client).message
        if isinstance(message, StatusMessage) and isinstance(message.data, OnlineStatus):
            birth = message.data
        elif isinstance(message, DeclarationMessage):
            assert message.data.commands_authenticated == birth.commands_authenticated
            return birth


def wait_for_end(client: BareClient) -> Reply:
    while True:
        message = receive(client).message
        if isinstance(message, ReplyMessage) and isinstance(
            message.data, CommandDone | CommandRefused
        ):
            return message.data


def test_without_an_authority_the_box_says_so_wherever_it_is_asked(
    box: AgentBox, client: BareClient
) -> None:
    box.start()
    assert not wait_for_birth(client).commands_authenticated
    assert "control.ca is not set: commands and acknowledgements are not authenticated" in box.log


def test_a_signed_snapshot_is_in_the_custody_log_under_name_and_role(
    box: AgentBox, client: BareClient
) -> None:
    keys = ControlKeys(datetime.now(UTC))
    keys.write_ca(box.folder)
    with (box.folder / "vigie.toml").open("a") as config:
        config.write('[control]\nca = "control-ca.pem"\n')
    centre = keys.identity("city", "centre")
    client.publish(
        centre_topics.centre_state_topic("city"),
        sign_centre_state("listening", centre),
        retained=True,
    )
    box.start()
    birth = wait_for_birth(client)
    assert birth.commands_authenticated
    assert "control.ca is not set" not in box.log
    topic = topics.down_topic(BOX, "command/snapshot")
    client.publish(topic, encode_command({"camera": "north"}, "unsigned"))
    refused = wait_for_end(client)
    assert isinstance(refused, CommandRefused)
    assert (refused.command, refused.code) == ("unsigned", "unauthenticated")
    now = datetime.now(UTC)
    signed = sign_command(
        box=BOX,
        verb="snapshot",
        args={"camera": "north"},
        command_id="signed",
        issued=now,
        expires=now + timedelta(seconds=60),
        session=birth.session,
        signers=[keys.identity("amina", "operator")],
    )
    client.publish(topic, signed)
    done = wait_for_end(client)
    assert isinstance(done, CommandDone), done
    chain = b"".join(path.read_bytes() for path in (box.folder / "state/custody").glob("*.chain"))
    assert b'"by":"amina (operator)"' in chain
