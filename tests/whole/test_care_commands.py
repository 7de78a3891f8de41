"""The agent's own process, restarted and rebooted by commands over a real broker: once, and answered."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.base.model import CommandAccepted, Reply
from agent.config.broker import BrokerConfig
from agent.health.reboot_request import REBOOT_FILE
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish, Suback
from agent.reporting.payloads import DeclarationMessage, OnlineStatus, ReplyMessage, StatusMessage
from tests.parts.command_rig import decode_result, rejection_of
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import BareClient, wait_until
from tests.whole.rig import AgentBox

BOX = "casa-0001"
EXPIRES = "2099-01-01T00:00:00Z"


class Operator(BareClient):
    """An operator who sees the box's births, declarations and replies."""

    def __init__(self, broker: BrokerConfig, client_id: str = "operator-amina") -> None:
        super().__init__(broker, client_id)
        self._waiting: list[ReceivedPublish] = []
        self.link.subscribe(
            [topics.up_topic(BOX, name) for name in ("reply/#", "status", "declaration")]
        )
        self.wait_for(Suback)

    def wait_online(self) -> None:
        """Until the box is connected, and takes commands."""
        while True:
            message = topics.decode_as(StatusMessage, self._next("status").payload)
            if message is not None and isinstance(message.data, OnlineStatus):
                return

    def wait_declared(self) -> DeclarationMessage:
        message = topics.decode_as(DeclarationMessage, self._next("declaration").payload)
        assert message is not None
        return message

    def send(self, verb: str, command_id: str, args: dict[str, Any] | None = None) -> None:
        command = {"id": command_id, "expires": EXPIRES, "by": "amina", "role": "operator"}
        self.link.publish(
            topics.down_topic(BOX, f"command/{verb}"),
            msgspec.json.encode({**command, "args": args or {}}),
            response_topic=topics.up_topic(BOX, "reply/amina"),
            correlation=command_id.encode(),
        )

    def wait_for_reply(self, command_id: str) -> Reply:
        """The next reply, which has come on the topic and with the correlation data of the command."""
        received = self._next("reply/amina")
        assert received.correlation == command_id.encode()
        return msgspec.json.decode(received.payload, type=ReplyMessage).data

    def ask(self, verb: str, command_id: str, args: dict[str, Any] | None = None) -> Reply:
        """The last reply to a command."""
        self.send(verb, command_id, args)
        return self.wait_for_end(command_id)

    def wait_for_end(self, command_id: str) -> Reply:
        """The last reply to a command that was sent. One that the centre has not acknowledged may come twice."""
        while isinstance(reply := self.wait_for_reply(command_id), CommandAccepted):
            pass
        return reply

    def _next(self, name: str) -> ReceivedPublish:
        """The next message of a topic; those of other topics wait."""
        topic = topics.up_topic(BOX, name)
        waiting = next((one for one in self._waiting if one.topic == topic), None)
        if waiting is not None:
            self._waiting.remove(waiting)
            return waiting
        while True:
            received = self.wait_for(ReceivedPublish)
            assert isinstance(received, ReceivedPublish)
            if received.topic == topic:
                return received
            self._waiting.append(received)


@pytest.fixture
def box(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[AgentBox]:
    made = AgentBox(tmp_path / "box", mosquitto.url, detect_fps=1)
    yield made
    made.kill()


@pytest.fixture
def operator(mosquitto: Mosquitto) -> Iterator[Operator]:
    made = Operator(BrokerConfig(url=mosquitto.url, keepalive_s=600))
    yield made
    made.link.abort()


def test_a_restart_is_answered_by_the_next_run_and_a_repeat_restarts_nothing(
    box: AgentBox, operator: Operator
) -> None:
    box.start()
    operator.wait_online()
    operator.send("restart", "once")
    assert isinstance(operator.wait_for_reply("once"), CommandAccepted)
    assert box.wait_for_exit() == 0
    box.start()
    first = operator.wait_for_end("once")
    assert decode_result(first)["new_boot"] is False
    pid = box.pid
    assert operator.ask("restart", "once") == first
    assert decode_result(operator.ask("declare", "two"))["site"]
    assert box.pid == pid
    os.kill(pid, 0)
    assert "restart of the agent" in "".join(
        path.read_text() for path in sorted((box.folder / "state/custody").glob("*.chain"))
    )


def test_an_agent_that_is_killed_after_it_has_accepted_is_restarted_once(
    box: AgentBox, operator: Operator
) -> None:
    box.start()
    operator.wait_online()
    operator.send("restart", "once")
    assert isinstance(operator.wait_for_reply("once"), CommandAccepted)
    box.kill()
    box.start()
    assert decode_result(operator.wait_for_end("once"))["new_boot"] is False
    assert decode_result(operator.ask("restart", "once"))["new_boot"] is False


def test_a_reboot_is_requested_and_withdrawn_by_a_run_of_the_same_boot(
    box: AgentBox, operator: Operator
) -> None:
    request = box.folder / "state/run" / REBOOT_FILE
    box.start()
    operator.wait_online()
    operator.send("reboot", "once")
    assert isinstance(operator.wait_for_reply("once"), CommandAccepted)
    wait_until(request.exists)
    box.stop(signal.SIGTERM)
    box.start()
    code, why = rejection_of(operator.wait_for_end("once"))
    assert code == "failed"
    assert "before the board was rebooted" in why
    assert not request.exists()


def test_a_declaration_is_the_reply_and_is_published_again(
    box: AgentBox, operator: Operator
) -> None:
    box.start()
    operator.wait_online()
    first = operator.wait_declared()
    reply = decode_result(operator.ask("declare", "one"))
    assert reply == msgspec.json.decode(msgspec.json.encode(first.data))
    again = operator.wait_declared()
    assert again.data == first.data


def test_what_this_box_has_not_is_refused_in_one_line(box: AgentBox, operator: Operator) -> None:
    box.start()
    operator.wait_online()
    code, why = rejection_of(operator.ask("renew", "one"))
    assert (code, "[renewal]: missing" in why) == ("unsupported", True)
    code, why = rejection_of(operator.ask("update", "two", {"do": "status"}))
    assert (code, "no slots" in why) == ("unsupported", True)
