"""Command `selftest`: the running agent's part in a self-test.

`vigie selftest` runs the other steps in its own process and sends these over the control socket.
"""

import threading
from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec

from agent.base.model import SelfTestStep
from agent.commands.command import (
    CommandArgs,
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    ValidCommand,
    always,
)
from agent.commands.requester import CommandRejected

ARRIVAL_TIMEOUT_S = 45.0
"""The outbox resends after ten seconds, and a new connection takes up to fifteen."""


class Echo(CommandArgs, frozen=True, kw_only=True, tag_field="do", tag="echo"):
    """Send a message through the outbox, and reply when the centre has acknowledged it."""


class PublishSelfTestResult(CommandArgs, frozen=True, kw_only=True, tag_field="do", tag="publish"):
    """Publish a self-test's result as an event, and as a fault if a step failed."""

    steps: Annotated[tuple[SelfTestStep, ...], msgspec.Meta(min_length=1, max_length=16)]


class SelfTestReply(msgspec.Struct, frozen=True, kw_only=True):
    """Reply to `echo` (the message's travel time) or to `publish` (the event's id)."""

    arrived_ms: float | None = None
    event: str | None = None


Args: TypeAlias = Echo | PublishSelfTestResult

COMMAND = CommandType(
    verb="selftest",
    args=Args,
    result=SelfTestReply,
    summary="the self-test",
    actions=("maintain",),
    describe=lambda args: "echo" if isinstance(args, Echo) else "publish",
    is_idempotent=always,
    examples=(
        Echo(),
        PublishSelfTestResult(
            steps=(
                SelfTestStep(
                    name="outbox",
                    ok=True,
                    duration_ms=41.0,
                    message="3 messages committed, read again after a restart, and removed",
                ),
            )
        ),
    ),
    result_examples=(
        SelfTestReply(arrived_ms=38.2),
        SelfTestReply(event="019a4901-3c62-7d2a-9f0e-00000000000a"),
    ),
)


class SelfTestCommandHandler(CommandHandler):
    """Handler of `selftest`.

    `send(command_id, on_acked)` puts a message into the outbox and raises CommandRejected if it is not
    accepted; `on_acked` is called from any thread. `publish(steps)` returns the event's id.
    """

    command = COMMAND

    def __init__(
        self,
        send: Callable[[str, Callable[[], None]], None],
        publish: Callable[[tuple[SelfTestStep, ...]], str],
        clock_ns: Callable[[], int],
    ) -> None:
        self._send = send
        self._publish = publish
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._deadline_ns: int | None = None

    def run(
        self, command: ValidCommand, progress_sink: CommandProgressSink
    ) -> SelfTestReply | Deferred:
        """Send the message or publish the result. Raises: CommandRejected."""
        args: Args = command.args
        if isinstance(args, PublishSelfTestResult):
            return SelfTestReply(event=self._publish(args.steps))
        sent_ns = self._clock_ns()
        with self._lock:
            if self._deadline_ns is not None and sent_ns < self._deadline_ns:
                raise CommandRejected("busy", "another self-test's message is on its way")
            self._deadline_ns = sent_ns + int(ARRIVAL_TIMEOUT_S * 1e9)

        def on_acked() -> None:
            reply = SelfTestReply(arrived_ms=round((self._clock_ns() - sent_ns) / 1e6, 1))
            self._release()
            progress_sink.finish(lambda: reply)

        try:
            self._send(command.id, on_acked)
        except CommandRejected:
            self._release()
            raise
        return Deferred(timeout_s=ARRIVAL_TIMEOUT_S)

    def _release(self) -> None:
        with self._lock:
            self._deadline_ns = None
