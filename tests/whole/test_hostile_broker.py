"""A broker under an attacker's control, and a real box behind it: what it forges, repeats, reorders and keeps commands nothing.

Each message is published by a client with all rights at a real mosquitto.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.authority.control_authority import ControlAuthority
from agent.authority.signed_message import SigningIdentity, sign_message
from agent.base.clock import ClockTrust, SystemClock
from agent.base.model import CommandDone, CommandRefused, Reply
from agent.commands.local_command import send_command
from agent.config.broker import BrokerConfig
from agent.reporting import topics
from centre.client import DEFAULT_CENTRE
from centre.signing import sign_command, sign_revocations
from tests.authority_rig import ControlKeys
from tests.parts.command_rig import encode_command, rejection_of
from tests.whole.command_box import BOX, CommandBox, CommandOperator
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import CentreListener, wait_until

GOTO = {"do": "goto", "head": "mast", "pan_deg": -20.0, "tilt_deg": 5.0}
LIST = {"do": "list"}
COMMAND_TOPIC = topics.down_topic(BOX, "command/ptz")


class TrustedClock(SystemClock):
    """The machine's clock, trusted or not as a test says, whatever this machine's time daemon does."""

    synced = True

    def trust(self) -> ClockTrust:
        return ClockTrust(
            synced=self.synced,
            source="nts" if self.synced else "none",
            error_s=0.01 if self.synced else None,
        )


class City:
    """The keys of a city, and one of its boxes."""

    def __init__(self, broker: BrokerConfig, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.clock = TrustedClock()
        self.keys = ControlKeys(datetime.now(UTC))
        self.amina = self.keys.identity("amina", "operator")
        self.authority: ControlAuthority = self.keys.load(folder, self.clock)

    def box(self) -> CommandBox:
        """The box, started; after a restart it reads its state again."""
        self.authority = self.keys.load(self.folder, self.clock)
        return CommandBox(self.folder, self.broker, authority=self.authority, clock=self.clock)

    def sign(
        self,
        args: dict[str, Any],
        *signers: SigningIdentity,
        command_id: str = "one",
        box: str = BOX,
        age_s: float = 0.0,
        session: int | None = None,
    ) -> bytes:
        issued = datetime.now(UTC) - timedelta(seconds=age_s)
        return sign_command(
            box=box,
            verb="ptz",
            args=args,
            command_id=command_id,
            issued=issued,
            expires=issued + timedelta(seconds=60),
            signers=signers or (self.amina,),
            session=session,
        )


@pytest.fixture
def city(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[City]:
    """With a centre that acknowledges the replies."""
    made = City(BrokerConfig(url=mosquitto.url, keepalive_s=5), tmp_path)
    centre = made.keys.identity(DEFAULT_CENTRE, "centre")
    with CentreListener(made.broker, tmp_path / "centre.db", identity=centre):
        yield made


class Attacker(CommandOperator):
    """A client that may publish anything, as the broker itself could."""

    def inject(self, payload: bytes, *, topic: str = COMMAND_TOPIC, retained: bool = False) -> None:
        self.link.publish(
            topic,
            payload,
            retained=retained,
            response_topic=self.reply_topic if topic == COMMAND_TOPIC else None,
        )

    def answer(self, payload: bytes, *, retained: bool = False) -> Reply:
        """Inject a command, and return the next reply."""
        self.inject(payload, retained=retained)
        return self.wait_for_reply()[1]


@pytest.fixture
def attacker(city: City) -> Iterator[Attacker]:
    client = Attacker(city.broker, "mallory")
    yield client
    client.link.abort()


Forge = Callable[[City], bytes]
FORGERIES: dict[str, tuple[Forge, str, str]] = {
    "unsigned, under any name": (
        lambda _: encode_command(GOTO, by="salma", role="operator"),
        "unauthenticated",
        "unsigned",
    ),
    "signed by an authority of its own": (
        lambda c: c.sign(GOTO, ControlKeys(c.keys.now).identity("amina", "operator")),
        "unauthenticated",
        "unknown_authority",
    ),
    "with the certificate of a person and another key": (
        lambda c: c.sign(GOTO, SigningIdentity(c.amina.certificate, c.keys.identity("other").key)),
        "unauthenticated",
        "forged",
    ),
    "an acknowledgement as a command": (
        lambda c: sign_message(
            {"box": BOX, "id": "one", "verb": "ptz", "args": GOTO},
            "vigie-ack+jws",
            c.keys.identity("centre-1", "centre"),
        ),
        "unauthenticated",
        "wrong_type",
    ),
    "signed for another box": (
        lambda c: c.sign(GOTO, box="pole-18"),
        "unauthenticated",
        "other_box",
    ),
    "signed twice by one person": (
        lambda c: c.sign(GOTO, c.amina, c.amina),
        "unauthenticated",
        "same_person",
    ),
    "kept for a week, with its certificate": (
        lambda c: c.sign(
            GOTO, c.keys.identity(begin=c.keys.now - timedelta(days=7)), age_s=7 * 86_400
        ),
        "unauthenticated",
        "certificate_expired",
    ),
    "kept for five minutes": (lambda c: c.sign(GOTO, age_s=300), "expired", "stale"),
    "issued in the future": (lambda c: c.sign(GOTO, age_s=-300), "expired", "early"),
    "of an earlier session": (lambda c: c.sign(GOTO, session=1 << 40), "expired", "other_session"),
    "by a role that may not": (
        lambda c: c.sign(GOTO, c.keys.identity("v", "viewer")),
        "forbidden",
        "wrong_role",
    ),
    "oversized": (
        lambda c: c.sign({**GOTO, "x": "y" * 60_000}),
        "malformed",
        "too_large",
    ),
}


def test_no_forged_kept_or_misdirected_command_moves_the_head(
    city: City, attacker: Attacker
) -> None:
    expected: dict[str, int] = {}
    with city.box() as box:
        for name, (forge, code, reason) in FORGERIES.items():
            reply = attacker.answer(forge(city))
            assert isinstance(reply, CommandRefused), name
            assert (reply.command, reply.code) == ("one", code), name
            expected[reason] = expected.get(reason, 0) + 1
        assert city.authority.health().refused == expected
        assert box.heads["mast"].state().lease is None
        assert isinstance(attacker.answer(city.sign(LIST, command_id="good")), CommandDone)


def test_a_packet_beyond_the_limit_and_garbage_end_nothing(city: City, attacker: Attacker) -> None:
    with city.box() as box:
        attacker.inject(b"x" * 300_000)
        for garbage in (b"\0", b"[" * 20_000, b'{"payload":"","signatures":[]}'):
            assert rejection_of(attacker.answer(garbage))[0] == "malformed"
        assert isinstance(attacker.answer(city.sign(LIST, command_id="good")), CommandDone)
        assert box.session is not None
        assert box.session.health().connected


def test_a_command_in_its_own_topic_only(city: City, attacker: Attacker) -> None:
    with city.box():
        attacker.link.publish(
            topics.down_topic(BOX, "command/ptz"),
            sign_message(
                {
                    "box": BOX,
                    "id": "one",
                    "issued": datetime.now(UTC),
                    "expires": datetime.now(UTC) + timedelta(seconds=60),
                    "verb": "snapshot",
                    "args": GOTO,
                },
                "vigie-command+jws",
                city.amina,
            ),
            response_topic=attacker.reply_topic,
        )
        assert rejection_of(attacker.wait_for_reply()[1])[0] == "unauthenticated"
        assert city.authority.health().refused == {"other_verb": 1}


def test_repeated_and_reordered_commands_are_executed_once(city: City, attacker: Attacker) -> None:
    first = city.sign({**GOTO, "pan_deg": 10.0}, command_id="first")
    second = city.sign({**GOTO, "pan_deg": 20.0}, command_id="second")
    with city.box() as box:
        replies = {payload: attacker.answer(payload) for payload in (first, second)}
        assert {type(reply) for reply in replies.values()} == {CommandDone}
        wait_until(lambda: not box.heads["mast"].state().moving)
        for payload in (first, second, first, first):
            assert attacker.answer(payload) == replies[payload]
        position = box.heads["mast"].state().position
        assert position is not None
        assert position.pose.pan_deg == pytest.approx(20, abs=0.5)
    with city.box() as box:
        for payload in (second, first):
            assert attacker.answer(payload) == replies[payload]
        assert box.heads["mast"].state().lease is None


def test_a_retained_command_is_refused_at_each_connection(city: City, attacker: Attacker) -> None:
    with city.box() as box:
        assert rejection_of(attacker.answer(city.sign(GOTO), retained=True))[0] == "malformed"
        assert box.heads["mast"].state().lease is None
    with city.box() as box:
        assert rejection_of(attacker.wait_for_reply()[1])[0] == "malformed"
        assert box.heads["mast"].state().lease is None


def test_without_a_clock_a_command_of_an_earlier_connection_is_refused(
    city: City, attacker: Attacker
) -> None:
    city.clock.synced = False
    kept = city.sign(GOTO, command_id="kept", session=1)
    with city.box():
        assert rejection_of(attacker.answer(city.sign(GOTO)))[0] == "expired"
    with city.box() as box:
        # The sessions count from 1, and this is the second.
        assert rejection_of(attacker.answer(kept))[0] == "expired"
        assert box.heads["mast"].state().lease is None
        fresh = city.sign(GOTO, command_id="fresh", session=2)
        assert isinstance(attacker.answer(fresh), CommandDone)


def test_a_stop_passes_whatever_its_age(city: City, attacker: Attacker) -> None:
    stop = city.sign(
        {"do": "stop", "head": "mast"}, age_s=3 * 60, command_id="stop", session=1 << 40
    )
    with city.box():
        for _ in range(3):
            assert isinstance(attacker.answer(stop), CommandDone)
        attacker.inject(encode_command({"do": "stop", "head": "mast"}, "forged"))
        assert rejection_of(attacker.wait_for_reply()[1])[0] == "unauthenticated"


def test_an_older_revocation_list_brings_no_certificate_back(
    city: City, attacker: Attacker
) -> None:
    serial = f"{city.amina.certificate.serial_number:x}"
    now = datetime.now(UTC)
    older = sign_revocations(1, now, [], city.keys.authority)
    newer = sign_revocations(2, now, [serial], city.keys.authority)

    def publish_list(payload: bytes) -> None:
        attacker.inject(payload, topic=topics.REVOCATIONS_TOPIC, retained=True)

    with city.box():
        publish_list(older)
        wait_until(lambda: city.authority.health().revocation_list == 1)
        assert isinstance(attacker.answer(city.sign(LIST, command_id="a")), CommandDone)
        publish_list(newer)
        wait_until(lambda: city.authority.health().revocation_list == 2)
        assert rejection_of(attacker.answer(city.sign(LIST, command_id="b")))[0] == (
            "unauthenticated"
        )
        for forged in (
            older,
            b"",
            b"rubbish",
            sign_revocations(9, now, [], ControlKeys(city.keys.now).authority),
            sign_revocations(9, now, [], city.keys.identity("s", "supervisor")),
            older,
        ):
            publish_list(forged)
        # The broker has all of them once this is answered.
        assert rejection_of(attacker.answer(city.sign(LIST, command_id="c")))[0] == (
            "unauthenticated"
        )
    with city.box():
        # The retained list came with this connection, before the command.
        assert rejection_of(attacker.answer(city.sign(LIST, command_id="d")))[0] == (
            "unauthenticated"
        )
        assert city.authority.health().revocation_list == 2
        assert city.authority.health().refused == {"old_number": 1, "revoked": 1}


def test_at_the_box_itself_a_technician_needs_no_signature(city: City) -> None:
    with city.box():
        replies = send_command(city.folder, "ptz", LIST, 30.0, by="tarik")
        assert replies is not None
        (reply,) = replies
        assert isinstance(reply, CommandDone)
        assert msgspec.json.decode(reply.result)["heads"][0]["name"] == "mast"
