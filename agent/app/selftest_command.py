"""`selftest`: the running agent's part in a self-test: a message to the centre, and the result.

`vigie selftest` does the rest in a process of its own and asks for these over the box's own door.
"""

import threading
from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec

from agent.base.model import SelfTestStep
from agent.commands.command import CommandProgressSink, Deferred, ValidCommand
from agent.commands.requester import CommandRejected

VERB = "selftest"
ARRIVES_WITHIN_S = 45.0
"""The outbox sends again after ten seconds and a new connection takes up to fifteen."""


class Echo(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="do",
    tag="echo",
):
    """Send a message through the outbox, and reply when it has arrived."""


class Tell(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="do",
    tag="tell",
):
    """This is what a self-test has found: it becomes an event, and a fault where a step failed."""

    steps: Annotated[tuple[SelfTestStep, ...], msgspec.Meta(min_length=1, max_length=16)]


class SelfTestTold(msgspec.Struct, frozen=True, kw_only=True):
    """To `echo`, how long the message was on its way; to `tell`, the event's id."""

    arrived_ms: float | None = None
    event: str | None = None


Args: TypeAlias = Echo | Tell
Result: TypeAlias = SelfTestTold


class SelfTestCommandHandler:
    """See `agent.commands.command.Verb`.

    `send(command, on_arrived)` puts a message about a command into the outbox, and raises Refused
    where it is not taken; `on_arrived` is called from any thread. `tell(steps)` makes the event and
    gives its id.
    """

    name = VERB
    args = Args
    priority_lanes = ()

    def __init__(
        self,
        send: Callable[[str, Callable[[], None]], None],
        tell: Callable[[tuple[SelfTestStep, ...]], str],
        clock_ns: Callable[[], int],
    ) -> None:
        self._send = send
        self._tell = tell
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._late_ns: int | None = None

    def subject(self, args: Args) -> str:
        """What is asked."""
        return "echo" if isinstance(args, Echo) else "tell"

    def is_idempotent(self, args: Args) -> bool:
        """A second message or event does no harm."""
        return True

    def priority_lane(self, args: Args) -> str | None:
        """It waits its turn."""
        return None

    def run(self, order: ValidCommand, course: CommandProgressSink) -> SelfTestTold | Deferred:
        """Do it."""
        args: Args = order.args
        if isinstance(args, Tell):
            return SelfTestTold(event=self._tell(args.steps))
        sent_ns = self._clock_ns()
        with self._lock:
            if self._late_ns is not None and sent_ns < self._late_ns:
                raise CommandRejected("busy", "a self-test's message is on its way already")
            self._late_ns = sent_ns + int(ARRIVES_WITHIN_S * 1e9)

        def arrived() -> None:
            told = SelfTestTold(arrived_ms=round((self._clock_ns() - sent_ns) / 1e6, 1))
            self._free()
            course.finish(lambda: told)

        try:
            self._send(order.id, arrived)
        except CommandRejected:
            self._free()
            raise
        return Deferred(within_s=ARRIVES_WITHIN_S)

    def _free(self) -> None:
        with self._lock:
            self._late_ns = None
