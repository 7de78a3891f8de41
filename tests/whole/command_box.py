"""A box that takes commands: a real outbox, session, desk and head, each in its threads."""

import random
import uuid
from pathlib import Path
from typing import Any, Self

import msgspec

from agent.app.open_authority import make_revocations
from agent.authority.control_authority import ControlAuthority
from agent.base.clock import Clock
from agent.base.model import CommandAccepted, CommandProgress, Reply
from agent.commands.command import CommandHandler
from agent.commands.dispatcher import CommandDispatcher
from agent.commands.idempotency_store import IdempotencyStore
from agent.commands.local_command import LocalCommand, LocalCommandHandler
from agent.commands.signed_command import CommandAuthenticator
from agent.config.broker import BrokerConfig
from agent.config.control import ControlConfig
from agent.config.heads import HeadConfig
from agent.faults.registry import FaultRegistry
from agent.ptz.connection import HeadConnection
from agent.ptz.head import PtzHead
from agent.ptz.head_stage import HeadStage
from agent.ptz.ptz_command import HeadAssembly, PtzCommandHandler
from agent.reporting import topics
from agent.reporting.mqtt.downlink import Downlink
from agent.reporting.mqtt.mqtt_stage import MqttStage
from agent.reporting.mqtt.packets import ReceivedPublish, Suback
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox.submit import MessageSubmitter
from agent.reporting.payloads import ReplyMessage
from agent.runtime.control_socket import SOCKET_NAME, ControlSocket
from agent.runtime.stage import Stage, StageThread
from simulation.ptz import fake
from tests.whole.report.conftest import CLOCK, open_outbox
from tests.whole.report.reporting_box import BIRTH, TIMEOUT_S, BareClient, FastRandom, wait_until

BOX = "pole-17"
EXPIRES = "2099-01-01T00:00:00Z"


class CommandBox:
    """The threads of a box, as far as a command goes. Without a broker it has its own door alone.

    The clock of a machine that runs tests may be trusted or not. With an `authority` commands need signatures; their age is
    by `clock`.
    """

    def __init__(
        self,
        folder: Path,
        broker: BrokerConfig | None,
        *handlers: CommandHandler,
        heads: tuple[str, ...] = ("mast",),
        authority: ControlAuthority | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        self.faults = FaultRegistry(CLOCK.boottime_ns)
        self.outbox = open_outbox(folder / "outbox", box=BOX)
        submitter = MessageSubmitter(self.outbox)
        self.heads = {
            name: PtzHead(
                HeadConfig(name=name, driver="fake"),
                HeadConnection(
                    name,
                    lambda name=name: fake.open_ptz(name, fake.Options(), CLOCK.boottime_ns),  # type: ignore[misc]
                    self.faults,
                ),
                folder / name,
                CLOCK,
            )
            for name in heads
        }
        ptz = PtzCommandHandler(
            {name: HeadAssembly(head=head, camera="north") for name, head in self.heads.items()},
            CLOCK.boottime_ns,
        )
        idempotency_store = IdempotencyStore(folder / "commands.db", CLOCK, self.faults)
        authenticator = None
        if authority is not None:
            authenticator = CommandAuthenticator(
                authority, ControlConfig(ca="ca"), BOX, [ptz, *handlers], clock
            )
        self.dispatcher = CommandDispatcher(
            [ptz, *handlers], idempotency_store, clock, authenticator
        )

        self.control = ControlSocket(folder, CLOCK.boottime_ns)
        local_commands = LocalCommandHandler(
            self.dispatcher.submit_local, CLOCK, lambda _t_ns: str(uuid.uuid4())
        )
        self.control.add_method(LocalCommand, local_commands.handle)
        stages: list[Stage] = [
            *(HeadStage(head, CLOCK, self.faults) for head in self.heads.values()),
            *self.dispatcher.stages,
            self.control,
        ]
        self.session: MqttSession | None = None
        if broker is not None:
            self.session = MqttSession(self.outbox, CLOCK)
            stage = MqttStage(
                self.session,
                broker,
                self.faults,
                lambda: BIRTH,
                FastRandom(3),
                Downlink(
                    on_command=self.dispatcher.submit,
                    submit_reply=submitter.submit,
                    authority=authority,
                    topic_handlers=make_revocations(authority).topics,
                ),
            )
            stages.append(stage)
        self._socket_path = folder / SOCKET_NAME
        self._threads = [
            StageThread(stage, CLOCK.boottime_ns, random.Random(4), vital=False) for stage in stages
        ]

    def __enter__(self) -> Self:
        """Returns when a command can be given, at either door."""
        for thread in self._threads:
            thread.start()
        wait_until(lambda: all(head.capabilities is not None for head in self.heads.values()))
        wait_until(self._socket_path.exists)
        session = self.session
        if session is not None:
            wait_until(lambda: session.health().connected)
        return self

    def __exit__(self, *_: object) -> None:
        has_ended = True
        for thread in self._threads:
            thread.stop()
            has_ended &= thread.join(TIMEOUT_S)
        self.outbox.close()
        assert has_ended
        assert [thread.health().last_error for thread in self._threads] == [None] * len(
            self._threads
        )


class CommandOperator(BareClient):
    """An operator at the centre who sends commands and receives the replies to them."""

    def __init__(self, broker: BrokerConfig, name: str = "amina", box: str = BOX) -> None:
        super().__init__(broker, f"operator-{name}")
        self._name = name
        self._box = box
        self.reply_topic = topics.up_topic(box, f"reply/{name}")
        self.link.subscribe([topics.up_topic(box, "reply/#")])
        self.wait_for(Suback)

    def send(
        self,
        args: dict[str, Any],
        command_id: str,
        *,
        verb: str = "ptz",
        response_topic: str | None = None,
        retained: bool = False,
    ) -> None:
        """Send a command; its correlation data is its id."""
        command = {
            "id": command_id,
            "expires": EXPIRES,
            "by": self._name,
            "role": "operator",
            "args": args,
        }
        self.link.publish(
            topics.down_topic(self._box, f"command/{verb}"),
            msgspec.json.encode(command),
            retained=retained,
            response_topic=response_topic or self.reply_topic,
            correlation=command_id.encode(),
        )

    def wait_for_reply(self) -> tuple[ReceivedPublish, Reply]:
        """The next reply, raw and decoded."""
        received = self.wait_for(ReceivedPublish)
        assert isinstance(received, ReceivedPublish)
        message = msgspec.json.decode(received.payload, type=ReplyMessage)
        return received, message.data

    def run_command(self, args: dict[str, Any], command_id: str, verb: str = "ptz") -> Reply:
        """Send a command, and hear its last reply."""
        self.send(args, command_id, verb=verb)
        while True:
            received, reply = self.wait_for_reply()
            if received.correlation == command_id.encode() and not isinstance(
                reply, CommandAccepted | CommandProgress
            ):
                return reply
