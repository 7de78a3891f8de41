"""Checks of the messages: a test outbox, and the round trip to the broker.

The box's id is its MQTT client id, and the broker closes the first of two connections with one id.
So if an agent runs, the check asks it to send. If none runs, the outbox's lock keeps an agent from
starting while this process is connected.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from agent.base.clock import Clock, boot_id
from agent.base.errors import UserError
from agent.base.message import Message, message_of
from agent.base.model import CommandProgress, Event, SelfTestStep
from agent.commands.local_command import run_command
from agent.commands.requester import CommandRejected
from agent.config.configuration import Config
from agent.diagnostics.selftest.checks import CheckFailed
from agent.diagnostics.selftest.selftest_command import (
    ARRIVAL_TIMEOUT_S,
    COMMAND,
    Args,
    Echo,
    PublishSelfTestResult,
    SelfTestReply,
)
from agent.faults.registry import FaultRegistry
from agent.reporting import centre_topics, outgoing_messages, topics
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.packets import Connack, Puback, Suback
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.reporting.mqtt.send_window import MIN_FAILURE_CODE
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.writer import OutboxError
from agent.reporting.payloads import EventData, SeqRange
from agent.reporting.renewal.credentials import current_broker

REPLY_TIMEOUT_S = 10.0
COMMIT_TIMEOUT_S = 30.0
SENT_BY_AGENT = Message("the agent has it and sends it to the centre")
IN_OUTBOX = Message("in the outbox until the agent runs again")


class _AgentRejected(CheckFailed):
    """The agent has rejected the request."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(Message("the running agent rejects the test: {reason}", reason=reason))
        self.kind = kind
        self.reason = reason


def check_outbox(
    folder: Path, events: Sequence[Event], clock: Clock, new_id: Callable[[int], str]
) -> Message:
    """Check that messages are committed, survive a reopening unchanged, and leave once acknowledged.

    Raises CheckFailed.
    """
    if not events:
        raise CheckFailed(Message("no message to test with: the pattern gave no event"))
    try:
        with _open_outbox(folder, "selftest", clock, new_id) as outbox:
            data = [msgspec.json.encode(_event_data(event, clock)) for event in events]
            tickets = [
                outbox.put(outgoing_messages.build_event_message(_event_data(event, clock)))
                for event in events
            ]
            if not all(ticket.wait(COMMIT_TIMEOUT_S) for ticket in tickets):
                raise CheckFailed(
                    Message(
                        "no message was committed to the disk in {timeout_s:g} s",
                        timeout_s=COMMIT_TIMEOUT_S,
                    )
                )
            epoch = outbox.epoch
        with _open_outbox(folder, "selftest", clock, new_id) as outbox:
            fetched = outbox.fetch(len(events) + 1)
            if outbox.epoch != epoch or [message.data for message in fetched] != data:
                raise CheckFailed(
                    Message(
                        "{count} of {expected} messages were there after a restart",
                        count=len(fetched),
                        expected=len(data),
                    )
                )
            outbox.acknowledge(epoch, (SeqRange(fetched[0].seq, fetched[-1].seq),))
        with _open_outbox(folder, "selftest", clock, new_id) as outbox:
            if outbox.depth:
                raise CheckFailed(
                    Message("{count} acknowledged messages stay in the outbox", count=outbox.depth)
                )
    except OutboxError as error:
        raise CheckFailed(message_of(error)) from error
    return Message(
        "{count} messages committed, read again after a restart, and removed", count=len(data)
    )


class BrokerRoundTrip:
    """The round trip from a box to its broker: through its agent if one runs, else directly.

    `cancel` ends the check of another thread, which then closes the outbox: after CONNECT_TIMEOUT_S at the latest.
    """

    def __init__(self, config: Config, clock: Clock, new_id: Callable[[int], str]) -> None:
        self._config = config
        self._clock = clock
        self._new_id = new_id
        self._state_dir = Path(config.box.state)
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """End the check. Thread-safe."""
        self._cancelled.set()

    def check(self) -> Message:
        """Send a message and wait for its acknowledgement. Raises CheckFailed."""
        try:
            result = self._ask_agent(Echo(), ARRIVAL_TIMEOUT_S + REPLY_TIMEOUT_S)
        except _AgentRejected as error:
            if error.kind != "failed":
                raise
            raise CheckFailed(
                Message(
                    "the agent's message was not acknowledged in {timeout_s:g} s: {reason}",
                    timeout_s=ARRIVAL_TIMEOUT_S,
                    reason=error.reason,
                )
            ) from error
        if result is None:
            return self._check_without_agent()
        return Message(
            "the agent's message was acknowledged after {arrived_ms:.0f} ms",
            arrived_ms=result.arrived_ms,
        )

    def publish(self, steps: tuple[SelfTestStep, ...], event: Event) -> tuple[Message, str | None]:
        """Publish the result as an event. Return a sentence on its delivery, and the event's id."""
        try:
            result = self._ask_agent(PublishSelfTestResult(steps=steps), REPLY_TIMEOUT_S)
        except CheckFailed as error:
            return Message("not delivered: {error}", error=message_of(error)), None
        if result is not None:
            return SENT_BY_AGENT, result.event
        try:
            with self._open_own_outbox() as outbox:
                outbox.put(
                    outgoing_messages.build_event_message(_event_data(event, self._clock))
                ).wait(COMMIT_TIMEOUT_S)
        except (OutboxError, UserError) as error:
            return Message("not delivered: {error}", error=message_of(error)), None
        return IN_OUTBOX, event.event

    def _ask_agent(self, args: Args, timeout_s: float) -> SelfTestReply | None:
        """Return the running agent's reply, or None if no agent runs. Raises CheckFailed."""
        try:
            return run_command(self._state_dir, COMMAND.verb, args, SelfTestReply, timeout_s)
        except CommandRejected as error:
            raise _AgentRejected(error.code, str(error)) from error
        except (UserError, OSError) as error:
            raise CheckFailed(message_of(error)) from error

    def _check_without_agent(self) -> Message:
        """Connect with the box's credentials. Only while the outbox's lock keeps an agent from starting."""
        try:
            with self._open_own_outbox() as outbox:
                started_ns = self._clock.boottime_ns()
                self._publish_progress(outbox)
                elapsed_ms = (self._clock.boottime_ns() - started_ns) / 1e6
        except (OutboxError, UserError, MqttConnectionError) as error:
            raise CheckFailed(message_of(error)) from error
        return Message(
            "no agent runs; the broker accepted the box's credentials and a message in "
            "{elapsed_ms:.0f} ms",
            elapsed_ms=elapsed_ms,
        )

    def _open_own_outbox(self) -> AbstractContextManager[Outbox]:
        """Open the box's own outbox. Raises OutboxError, or UserError if an agent uses it."""
        return _open_outbox(
            self._state_dir / "outbox",
            self._config.box.id,
            self._clock,
            self._new_id,
            self._config.outbox.max_bytes,
            self._config.broker.centres,
        )

    def _publish_progress(self, outbox: Outbox) -> None:
        """Raises LinkError, UserError and CheckFailed."""
        progress = CommandProgress(
            command="selftest", verb=COMMAND.verb, progress=0.0, detail="a self-test"
        )
        message = topics.encode("reply", outbox.envelope_now(), msgspec.json.encode(progress))
        transport = PahoTransport(current_broker(self._config), outbox.box, None)
        try:
            transport.connect()
            transport.wait_for(Connack, REPLY_TIMEOUT_S, self._cancelled.is_set)
            transport.subscribe([centre_topics.ack_topic(outbox.box, "+")])
            subscribed = transport.wait_for(Suback, REPLY_TIMEOUT_S, self._cancelled.is_set)
            if subscribed.failure_reason is not None:
                reason = subscribed.failure_reason
                raise CheckFailed(
                    Message("the broker rejects the subscription: {reason}", reason=reason)
                )
            transport.publish(topics.up_topic(outbox.box, "reply"), message)
            published = transport.wait_for(Puback, REPLY_TIMEOUT_S, self._cancelled.is_set)
            if published.reason_code >= MIN_FAILURE_CODE:
                raise CheckFailed(
                    Message("the broker rejects the message: {reason}", reason=published.reason)
                )
        finally:
            transport.close()


@contextmanager
def _open_outbox(
    folder: Path,
    box_id: str,
    clock: Clock,
    new_id: Callable[[int], str],
    max_bytes: int = 64_000_000,
    centres: tuple[str, ...] = (),
) -> Iterator[Outbox]:
    """Open an outbox, and close it at the end. Raises OutboxError, or UserError if an agent uses it."""
    outbox = Outbox.open(
        folder,
        box=box_id,
        boot=boot_id(),
        clock=clock,
        max_bytes=max_bytes,
        new_id=new_id,
        faults=FaultRegistry(clock.boottime_ns),
        centres=centres,
    )
    try:
        yield outbox
    finally:
        outbox.close()


def _event_data(event: Event, clock: Clock) -> EventData:
    return outgoing_messages.build_event_data(event, begin=clock.utc(event.begin_ns))
