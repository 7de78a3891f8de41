"""What is proven of messages: an outbox beside the box's own, and the way to the broker and back.

The box's id is the broker's name for it, and a second connection of that name throws the first one
out. So where an agent runs, it is asked to send; where none does, the outbox's lock keeps one from
starting while this process connects in its place.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from agent.app.selftest_command import ARRIVES_WITHIN_S, VERB, SelfTestTold
from agent.base.clock import Clock, boot_id
from agent.base.errors import UserError
from agent.base.model import CommandDone, CommandProgress, CommandRefused, Event, SelfTestStep
from agent.commands import socket_server
from agent.config.configuration import Config
from agent.diagnostics.selftest.checks import NotProven
from agent.faults.registry import FaultRegistry
from agent.reporting import topics
from agent.reporting.mqtt.connect_error import LinkError
from agent.reporting.mqtt.paho_transport import (
    Accepted,
    LinkEvent,
    PahoTransport,
    Published,
    Subscribed,
)
from agent.reporting.mqtt.send_window import SUCCESS_BELOW
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.writer import OutboxError
from agent.reporting.payloads import EventData, SeqRange

ANSWER_S = 10.0
WRITE_S = 30.0


class _AgentRefuses(NotProven):
    """The agent has said no."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(f"the agent that runs here refuses: {why}")
        self.kind = kind
        self.why = why


def check_outbox(
    folder: Path, events: Sequence[Event], clock: Clock, new_id: Callable[[int], str]
) -> str:
    """Messages are committed, are there after the file was closed and opened, byte for byte, and
    leave when they have arrived.
    """
    if not events:
        raise NotProven("nothing has happened that could be a message")
    try:
        with _opened(folder, "selftest", clock, new_id) as box:
            data = [msgspec.json.encode(_data(event, clock)) for event in events]
            tickets = [box.put(topics.event_draft(_data(event, clock))) for event in events]
            if not all(ticket.wait(WRITE_S) for ticket in tickets):
                raise NotProven(f"the disk has not taken a message in {WRITE_S:g} s")
            epoch = box.epoch
        with _opened(folder, "selftest", clock, new_id) as box:
            lent = box.fetch(len(events) + 1)
            if box.epoch != epoch or [message.data for message in lent] != data:
                raise NotProven(f"{len(lent)} of {len(data)} messages were there after a restart")
            box.acknowledge(epoch, (SeqRange(lent[0].seq, lent[-1].seq),))
        with _opened(folder, "selftest", clock, new_id) as box:
            if box.depth:
                raise NotProven(f"{box.depth} messages stay though they have arrived")
    except OutboxError as error:
        raise NotProven(str(error)) from error
    return f"{len(data)} messages committed, found again after a restart, and let go"


class BrokerRoundTrip:
    """The way to the broker from a box: through its agent where one runs, else its own.

    `close` lets an agent start again.
    """

    def __init__(self, config: Config, clock: Clock, new_id: Callable[[int], str]) -> None:
        self._config = config
        self._clock = clock
        self._new_id = new_id
        self._state = Path(config.box.state)

    def check(self) -> str:
        """A message goes to the broker, and its arrival comes back. Raises NotProven."""
        try:
            told = self._ask({"do": "echo"}, ARRIVES_WITHIN_S + ANSWER_S)
        except _AgentRefuses as error:
            if error.kind != "failed":
                raise
            raise NotProven(
                f"the agent's message was not acknowledged in {ARRIVES_WITHIN_S:g} s: {error.why}"
            ) from error
        if told is None:
            return self._alone()
        return f"the agent's message went out and was acknowledged after {told.arrived_ms:.0f} ms"

    def publish(self, steps: tuple[SelfTestStep, ...], event: Event) -> tuple[str, str | None]:
        """Make the result an event. Who was told, in a sentence, and the event's id."""
        try:
            told = self._ask({"do": "tell", "steps": steps}, ANSWER_S)
        except NotProven as error:
            return f"nobody was told: {error}", None
        if told is not None:
            return "the agent has it and tells the centre", told.event
        try:
            with self._opened() as box:
                box.put(topics.event_draft(_data(event, self._clock))).wait(WRITE_S)
        except (OutboxError, UserError) as error:
            return f"nobody was told: {error}", None
        return "it waits in the outbox for the agent, which does not run", event.event

    def _ask(self, args: object, timeout_s: float) -> SelfTestTold | None:
        """What the running agent says, None where none runs. Raises NotProven."""
        try:
            replies = socket_server.ask(self._state, VERB, args, timeout_s)
            if replies is None:
                return None
            for reply in replies:
                if isinstance(reply, CommandRefused):
                    raise _AgentRefuses(reply.kind, reply.why)
                if isinstance(reply, CommandDone):
                    return msgspec.json.decode(reply.result, type=SelfTestTold)
        except (UserError, msgspec.MsgspecError, OSError) as error:
            raise NotProven(str(error)) from error
        raise NotProven("the agent gave no last reply")

    def _alone(self) -> str:
        """With the box's own credentials. Only where no agent runs, nor can start meanwhile."""
        try:
            with self._opened() as box:
                began_ns = self._clock.boottime_ns()
                self._publish(box)
                took_ms = (self._clock.boottime_ns() - began_ns) / 1e6
        except (OutboxError, UserError, LinkError) as error:
            raise NotProven(str(error)) from error
        return f"no agent runs; the broker took the box's credentials and a message in {took_ms:.0f} ms"

    def _opened(self) -> AbstractContextManager[Outbox]:
        """The box's own outbox. Raises OutboxError, BadInput where an agent uses it."""
        return _opened(
            self._state / "outbox",
            self._config.box.id,
            self._clock,
            self._new_id,
            self._config.outbox.max_bytes,
        )

    def _publish(self, box: Outbox) -> None:
        """Raises LinkError, BadInput and NotProven."""
        news = CommandProgress(command="selftest", verb=VERB, share=0.0, detail="a self-test")
        message = topics.encode("reply", box.now(), msgspec.json.encode(news))
        link = PahoTransport(self._config.broker, box.box, None)
        try:
            link.connect()
            self._wait(link, Accepted)
            link.subscribe([topics.down(box.box, "ack")])
            subscribed = self._wait(link, Subscribed)
            if isinstance(subscribed, Subscribed) and subscribed.refused is not None:
                raise NotProven(f"the broker refuses our subscription: {subscribed.refused}")
            link.publish(topics.up(box.box, "reply"), message)
            published = self._wait(link, Published)
            if isinstance(published, Published) and published.code >= SUCCESS_BELOW:
                raise NotProven(f"the broker refuses our message: {published.reason}")
        finally:
            link.close()

    def _wait(self, link: PahoTransport, kind: type[LinkEvent]) -> LinkEvent:
        end_ns = self._clock.boottime_ns() + int(ANSWER_S * 1e9)
        while self._clock.boottime_ns() < end_ns:
            for event in link.turn(0.2):
                if isinstance(event, kind):
                    return event
        raise NotProven(f"the broker gave no answer in {ANSWER_S:g} s")


@contextmanager
def _opened(
    folder: Path,
    box: str,
    clock: Clock,
    new_id: Callable[[int], str],
    max_bytes: int = 64_000_000,
) -> Iterator[Outbox]:
    """An outbox, closed at the end. Raises OutboxError, BadInput where an agent uses it."""
    opened = Outbox.open(
        folder,
        box=box,
        boot=boot_id(),
        clock=clock,
        max_bytes=max_bytes,
        new_id=new_id,
        faults=FaultRegistry(clock.boottime_ns),
    )
    try:
        yield opened
    finally:
        opened.close()


def _data(event: Event, clock: Clock) -> EventData:
    return topics.event_data(event, begin=clock.utc(event.begin_ns))
