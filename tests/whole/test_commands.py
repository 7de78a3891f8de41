"""Commands over a real broker to a box with a real head, and their replies."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.base.model import CommandAccepted, CommandProgress
from agent.commands.command import (
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    ValidCommand,
    never,
)
from agent.config.broker import BrokerConfig
from agent.reporting import topics
from tests.loopback_server import TcpProxy
from tests.parts.command_rig import decode_result, rejection_of
from tests.whole.command_box import BOX, CommandBox, CommandOperator
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import wait_until

GOTO = {"do": "goto", "head": "mast", "pan_deg": -20.0, "tilt_deg": 5.0}


@pytest.fixture
def broker(mosquitto: Mosquitto) -> BrokerConfig:
    return BrokerConfig(url=mosquitto.url, keepalive_s=5)


Operators = Callable[..., CommandOperator]


@pytest.fixture
def operators(broker: BrokerConfig) -> Iterator[Operators]:
    """Operators that are connected and receive from now on; disconnected after the test."""
    made: list[CommandOperator] = []

    def come(name: str = "amina") -> CommandOperator:
        made.append(CommandOperator(broker, name))
        return made[-1]

    yield come
    for operator in made:
        operator.link.abort()


def test_an_operator_acquires_moves_and_releases_the_head(
    broker: BrokerConfig, operators: Operators, tmp_path: Path
) -> None:
    with CommandBox(tmp_path, broker) as box:
        operator = operators()
        lease = decode_result(
            operator.run_command({"do": "acquire", "head": "mast", "lease_s": 60}, "1")
        )["lease"]
        assert (lease["by"], lease["role"]) == ("amina", "operator")
        assert 55 < lease["remaining_s"] <= 60
        goto = {**GOTO, "token": lease["token"]}
        assert decode_result(operator.run_command(goto, "2"))["lease"]["token"] == lease["token"]
        wait_until(lambda: not box.heads["mast"].state().moving)
        (head,) = decode_result(operator.run_command({"do": "status", "head": "mast"}, "3"))[
            "heads"
        ]
        assert head["position"]["pan_deg"] == pytest.approx(-20, abs=0.5)
        decode_result(
            operator.run_command({"do": "set_preset", "head": "mast", "preset": "gate"}, "4")
        )
        presets = decode_result(operator.run_command({"do": "presets", "head": "mast"}, "5"))[
            "presets"
        ]
        assert [preset["name"] for preset in presets] == ["gate"]
        decode_result(
            operator.run_command({"do": "release", "head": "mast", "token": lease["token"]}, "6")
        )
        assert box.heads["mast"].state().lease is None
        kind, _ = rejection_of(operator.run_command({**goto, "pan_deg": 0.0}, "7"))
        assert kind == "stale_token"


def test_a_repeat_after_a_restart_gets_the_first_reply_and_moves_nothing(
    broker: BrokerConfig, operators: Operators, tmp_path: Path
) -> None:
    operator = operators()
    with CommandBox(tmp_path, broker) as box:
        first = operator.run_command(GOTO, "once")
        wait_until(lambda: not box.heads["mast"].state().moving)
    with CommandBox(tmp_path, broker) as box:
        assert operator.run_command(GOTO, "once") == first
        state = box.heads["mast"].state()
        assert state.lease is None
        assert state.position is not None
        assert state.position.pose.pan_deg == 0


def test_a_reply_goes_to_its_response_topic_and_only_under_the_boxs_replies(
    broker: BrokerConfig, operators: Operators, tmp_path: Path
) -> None:
    with CommandBox(tmp_path, broker):
        operator = operators()
        listener = operators("spy")
        listener.link.subscribe(["vigie/v1/+/up/event/#", "elsewhere"])
        operator.send({"do": "list"}, "1")
        received, reply = operator.wait_for_reply()
        assert received.topic == operator.reply_topic
        assert received.correlation == b"1"
        assert decode_result(reply)["heads"][0]["name"] == "mast"
        for number, requested in enumerate(("elsewhere", topics.up_topic("pole-18", "reply"))):
            operator.send({"do": "list"}, f"x{number}", response_topic=requested)
            received, _ = operator.wait_for_reply()
            assert received.topic == topics.up_topic(BOX, "reply")
            assert received.correlation == f"x{number}".encode()
        received_items = {listener.wait_for_reply()[0].topic for _ in range(3)}
        assert received_items == {operator.reply_topic, topics.up_topic(BOX, "reply")}


def test_a_retained_command_is_rejected_at_arrival_and_at_each_connection(
    broker: BrokerConfig, operators: Operators, tmp_path: Path
) -> None:
    operator = operators()
    with CommandBox(tmp_path, broker) as box:
        operator.send(GOTO, "kept", retained=True)
        kind, why = rejection_of(operator.wait_for_reply()[1])
        assert (kind, "retained" in why) == ("malformed", True)
        assert box.heads["mast"].state().lease is None
    with CommandBox(tmp_path, broker) as box:
        assert rejection_of(operator.wait_for_reply()[1])[0] == "malformed"
        assert box.heads["mast"].state().lease is None


def test_a_command_sent_while_a_box_is_away_never_arrives(
    broker: BrokerConfig, operators: Operators, tmp_path: Path
) -> None:
    operator = operators()
    with CommandBox(tmp_path, broker):
        pass
    operator.send(GOTO, "too-early")
    with CommandBox(tmp_path, broker) as box:
        decode_result(operator.run_command({"do": "list"}, "now"))
        assert box.heads["mast"].state().lease is None


class Errand(CommandHandler):
    """A verb that takes as long as a test wants."""

    class Args(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        pass

    class Result(msgspec.Struct):
        done: bool = True

    command = CommandType(
        verb="errand",
        args=Args,
        result=Result,
        summary="",
        actions=("see",),
        describe=lambda _args: "run",
        is_idempotent=never,
    )

    def __init__(self) -> None:
        self.progress_sink: CommandProgressSink | None = None

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        self.progress_sink = progress_sink
        return Deferred(timeout_s=60)


def test_a_reply_survives_a_broker_restart(
    mosquitto: Mosquitto, broker: BrokerConfig, operators: Operators, tmp_path: Path
) -> None:
    errand = Errand()
    with (
        TcpProxy(mosquitto.port) as proxy,
        CommandBox(tmp_path, msgspec.structs.replace(broker, url=proxy.url), errand) as box,
    ):
        operator = operators()
        operator.send({}, "long", verb="errand")
        assert isinstance(operator.wait_for_reply()[1], CommandAccepted)
        assert errand.progress_sink is not None
        errand.progress_sink.report_progress(0.25, "a quarter")
        assert operator.wait_for_reply()[1] == CommandProgress(
            command="long", verb="errand", progress=0.25, detail="a quarter"
        )
        mosquitto.stop(signal.SIGKILL)
        operator.link.abort()
        wait_until(lambda: box.session is not None and not box.session.health().connected)
        errand.progress_sink.finish(Errand.Result)
        wait_until(lambda: box.dispatcher.health().done == 1)
        # The box reaches the new broker only after the operator has subscribed there.
        proxy.freeze()
        mosquitto.start()
        again = operators()
        proxy.thaw()
        received, reply = again.wait_for_reply()
        assert (received.topic, received.correlation) == (operator.reply_topic, b"long")
        assert decode_result(reply) == {"done": True}


def test_foreign_commands_and_garbage_are_ignored(
    broker: BrokerConfig, operators: Operators, tmp_path: Path
) -> None:
    with CommandBox(tmp_path, broker) as box:
        operator = operators()
        for topic, payload, code in (
            (topics.down_topic(BOX, "command/ptz"), b"\x00\xff", "malformed"),
            (topics.down_topic(BOX, "command/dance"), b"{}", "unsupported"),
            (topics.down_topic(BOX, "command/ptz"), b"[" * 60_000, "malformed"),
        ):
            operator.link.publish(topic, payload)
            assert rejection_of(operator.wait_for_reply()[1])[0] == code
        operator.link.publish(topics.down_topic("pole-18", "command/ptz"), b"{}")
        decode_result(operator.run_command({"do": "list"}, "after"))
        assert box.dispatcher.health().refused == 3
