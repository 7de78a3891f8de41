"""What the running agent does for a self-test: sends its message, tells its result, knows the fault.

Part of the wiring: the verb is `agent.app.selftest_command`.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from agent.app import selftest_result
from agent.app.selftest_command import VERB, SelfTestCommandHandler
from agent.base.clock import Clock
from agent.base.model import BOX, CommandProgress, Event, SelfTestStep
from agent.commands.requester import CommandRejected
from agent.faults.registry import FaultCode, FaultRegistry
from agent.reporting import topics
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.writer import OutboxError

log = logging.getLogger(__name__)

FAULT: FaultCode = "SVC-02"
SUBJECT = "self-test"
_DETAIL_MOST = 400


class SelfTestService:
    """Offers the verb. The fault of a self-test that failed before this start is raised again.

    `event` takes an event for the outbox; `new_id` makes an id of a `t_ns`.
    """

    def __init__(
        self,
        state: Path,
        outbox: Outbox,
        event: Callable[[Event], None],
        new_id: Callable[[int], str],
        clock: Clock,
        faults: FaultRegistry,
    ) -> None:
        self._outbox = outbox
        self._event = event
        self._new_id = new_id
        self._clock = clock
        self._faults = faults
        self.verb = SelfTestCommandHandler(self.send, self.tell, clock.boottime_ns)
        before = selftest_result.read(state)
        if before is not None:
            self._judge(before.steps)

    def send(self, command: str, on_arrived: Callable[[], None]) -> None:
        """Put a message into the outbox; see `SelfTestVerb`."""
        news = CommandProgress(
            command=command, verb=VERB, share=0.0, detail="a self-test's message to the centre"
        )
        draft = topics.reply_draft(
            news,
            self._clock.boottime_ns(),
            topic=topics.reply_topic(self._outbox.box, None),
            correlation=None,
        )
        try:
            self._outbox.put(draft, on_arrived)
        except OutboxError as error:
            raise CommandRejected("failed", str(error)) from error

    def tell(self, steps: tuple[SelfTestStep, ...]) -> str:
        """Make the event and the fault; see `SelfTestVerb`."""
        event = event_of(steps, self._clock.boottime_ns(), self._new_id)
        self._judge(steps)
        self._event(event)
        return event.event

    def _judge(self, steps: tuple[SelfTestStep, ...]) -> None:
        failed = [step for step in steps if not step.ok]
        if not failed:
            self._faults.clear(FAULT, SUBJECT)
            return
        detail = "; ".join(f"{step.name}: {step.said}" for step in failed)
        self._faults.raise_fault(FAULT, SUBJECT, detail[:_DETAIL_MOST])


def event_of(steps: tuple[SelfTestStep, ...], t_ns: int, new_id: Callable[[int], str]) -> Event:
    """The event that tells a self-test's result."""
    return Event(
        event=new_id(t_ns),
        rev=1,
        kind="selftest",
        phase="moment",
        camera=BOX,
        t_ns=t_ns,
        begin_ns=t_ns,
        name="passed" if all(step.ok for step in steps) else "failed",
        steps=steps,
    )
