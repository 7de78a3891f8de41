"""Command `log`: lines of the agent's journal, without the secrets of this box."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

import msgspec

from agent.base.clock import rfc3339
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
from agent.config.redaction import Redactor
from agent.diagnostics.agent_log.journal import TIMEOUT_S, LogExtract, LogLevel, format_line
from agent.runtime.worker import Worker

DEFAULT_BYTES, MIN_BYTES, MAX_BYTES = 20_000, 1000, 60_000
"""At 100 kbit/s the largest reply delays an emergency by five seconds."""
MAX_QUEUED = 2

UtcTime = Annotated[datetime, msgspec.Meta(tz=True)]


class LogArgs(CommandArgs, frozen=True, kw_only=True):
    """A span, by default the newest lines; the lowest level; and the bytes of text that fit into the reply."""

    begin: UtcTime | None = None
    end: UtcTime | None = None
    level: LogLevel = "info"
    max_bytes: Annotated[int, msgspec.Meta(ge=MIN_BYTES, le=MAX_BYTES)] = DEFAULT_BYTES


class LogResult(msgspec.Struct, frozen=True, kw_only=True):
    """The newest lines of the span that fit, oldest first, each with its time, UTC.

    `is_complete`: the span has no older ones. The older ones are those with `end` = the time of the first line here.
    """

    line_count: int
    is_complete: bool
    text: str


ReadLog: TypeAlias = Callable[[datetime | None, datetime | None, LogLevel, int], LogExtract]
"""Reads the journal. Raises: OSError."""


class _LogRequest(msgspec.Struct, frozen=True):
    args: LogArgs
    sink: CommandProgressSink


COMMAND = CommandType(
    verb="log",
    args=LogArgs,
    result=LogResult,
    summary="lines of the agent's log",
    actions=("maintain",),
    describe=lambda args: f"from {args.level} on",
    is_idempotent=always,
    examples=(
        LogArgs(),
        LogArgs(
            begin=datetime(2026, 11, 3, 7, 30, tzinfo=UTC),
            end=datetime(2026, 11, 3, 7, 45, tzinfo=UTC),
            level="warning",
            max_bytes=40000,
        ),
    ),
    result_examples=(
        LogResult(
            line_count=1,
            is_complete=True,
            text="2026-11-03T07:41:05.250Z WARNING broker: broker.example.org:8883: no answer in 5 s",
        ),
    ),
)


class LogCommandHandler(CommandHandler):
    """Handles `log`. `stage` reads the journal in a thread of its own.

    `make_redactor` reads the secrets of this box. `record_action` takes the requester and the action for the custody
    log.
    """

    command = COMMAND

    def __init__(
        self,
        read_log: ReadLog,
        make_redactor: Callable[[], Redactor],
        record_action: Callable[[str, str], None],
    ) -> None:
        self._read_log = read_log
        self._make_redactor = make_redactor
        self._record_action = record_action
        self.stage = Worker("log", self._handle, MAX_QUEUED, drops_at_close=True)

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        """Queue the request. Raises: CommandRejected."""
        args: LogArgs = command.args
        if args.begin is not None and args.end is not None and args.begin >= args.end:
            raise CommandRejected(
                "malformed",
                f"begin = {rfc3339(args.begin)}: allowed: before end = {rfc3339(args.end)}",
            )
        if not self.stage.put(_LogRequest(args, progress_sink)):
            raise CommandRejected("busy", f"{MAX_QUEUED} requests for the log wait already")
        self._record_action(command.requester.by, "the agent's log was read")
        return Deferred(timeout_s=(MAX_QUEUED + 1) * TIMEOUT_S)

    def _handle(self, request: _LogRequest) -> None:
        args = request.args
        try:
            extract = self._read_log(args.begin, args.end, args.level, args.max_bytes)
        except OSError as error:
            reason = f"the journal cannot be read: {error.strerror or error}"
            request.sink.finish(lambda: _reject(reason))
            return
        result = build_result(extract, self._make_redactor(), args.max_bytes)
        request.sink.finish(lambda: result)


def build_result(extract: LogExtract, redactor: Redactor, max_bytes: int) -> LogResult:
    """Return the lines without secrets. A text that grew by that loses its oldest lines. Pure.

    They are redacted together: a key in PEM has many lines.
    """
    text = redactor.redact_text("\n".join(map(format_line, extract.lines)))
    lines = text.splitlines()
    kept: list[str] = []
    size_bytes = 0
    for line in reversed(lines):
        size_bytes += len(line.encode("utf-8", "replace")) + 1
        if size_bytes > max_bytes:
            break
        kept.append(line)
    return LogResult(
        line_count=len(kept),
        is_complete=extract.is_complete and len(kept) == len(lines),
        text="\n".join(reversed(kept)),
    )


def _reject(reason: str) -> LogResult:
    raise CommandRejected("unavailable", reason)
