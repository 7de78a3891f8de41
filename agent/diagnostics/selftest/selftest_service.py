"""The agent's part in a self-test: sends its message, publishes its result, raises its fault.

The command is parsed in `agent.diagnostics.selftest.selftest_command`.
"""

import logging
from collections.abc import Callable
from functools import reduce
from pathlib import Path

from agent.base import selftest_result
from agent.base.clock import Clock
from agent.base.event_lifecycle import momentary_event
from agent.base.event_type import EventType
from agent.base.message import Message, join_sentences
from agent.base.model import BOX_EVENT_SOURCE, CommandProgress, Event, SelfTestStep
from agent.commands.requester import CommandRejected
from agent.diagnostics.selftest.selftest_command import COMMAND, SelfTestCommandHandler
from agent.faults.registry import FaultCode, FaultRegistry
from agent.reporting import outgoing_messages, topics
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.writer import OutboxError

log = logging.getLogger(__name__)

SELFTEST = EventType(
    kind="selftest", title="result of a self-test", begin="the box ran its self-test"
)
FAULT_CODE: FaultCode = "SVC-02"
FAULT_SUBJECT = "self-test"
_MAX_REASON_CHARS = 60


class SelfTestService:
    """Serves the `selftest` command. The fault of a self-test that failed earlier is raised again."""

    def __init__(
        self,
        state_dir: Path,
        outbox: Outbox,
        on_event: Callable[[Event], None],
        new_id: Callable[[int], str],
        clock: Clock,
        faults: FaultRegistry,
    ) -> None:
        self._outbox = outbox
        self._on_event = on_event
        self._new_id = new_id
        self._clock = clock
        self._faults = faults
        self.handler = SelfTestCommandHandler(self.send, self.publish_result, clock.boottime_ns)
        last_report = selftest_result.state_file(state_dir).read()
        if last_report is not None:
            self._update_fault(last_report.steps)

    def send(self, command_id: str, on_acked: Callable[[], None]) -> None:
        """Put a message into the outbox; `on_acked` is called when the centre has it.

        Raises: CommandRejected if the outbox does not accept it.
        """
        progress = CommandProgress(
            command=command_id,
            verb=COMMAND.verb,
            progress=0.0,
            detail="a self-test's message to the centre",
        )
        outgoing = outgoing_messages.build_reply_message(
            progress,
            self._clock.boottime_ns(),
            topic=topics.choose_reply_topic(self._outbox.box, None),
            correlation=None,
        )
        try:
            self._outbox.put(outgoing, on_acked)
        except OutboxError as error:
            raise CommandRejected("failed", str(error)) from error

    def publish_result(self, steps: tuple[SelfTestStep, ...]) -> str:
        """Publish the result as an event, raise or clear the fault, and return the event's id."""
        event = build_selftest_event(steps, self._clock.boottime_ns(), self._new_id)
        self._update_fault(steps)
        self._on_event(event)
        return event.event

    def _update_fault(self, steps: tuple[SelfTestStep, ...]) -> None:
        failed = [step for step in steps if not step.ok]
        if not failed:
            self._faults.clear(FAULT_CODE, FAULT_SUBJECT)
            return
        detail = reduce(
            join_sentences,
            (
                Message(
                    "{problem}: {reason}",
                    problem=step.name,
                    reason=step.message[:_MAX_REASON_CHARS],
                )
                for step in failed
            ),
        )
        self._faults.raise_fault(FAULT_CODE, FAULT_SUBJECT, detail)


def build_selftest_event(
    steps: tuple[SelfTestStep, ...], t_ns: int, new_id: Callable[[int], str]
) -> Event:
    """Make the event with a self-test's result."""
    return momentary_event(
        new_id,
        SELFTEST,
        BOX_EVENT_SOURCE,
        t_ns,
        name="passed" if all(step.ok for step in steps) else "failed",
        steps=steps,
    )
