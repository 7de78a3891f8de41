"""agent.diagnostics.agent_log: lines by level and bytes, without secrets."""

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.clock import rfc3339
from agent.config.redaction import Redactor
from agent.diagnostics.agent_log import journal
from agent.diagnostics.agent_log.journal import (
    JournalEntry,
    LogExtract,
    LogLevel,
    LogLine,
    decode_entry,
    select_lines,
    take_newest,
)
from agent.diagnostics.agent_log.log_command import MAX_QUEUED, LogCommandHandler, build_result
from tests.parts.command_rig import MakeRig, decode_result, make_rig, rejection_of

__all__ = ["make_rig"]

BEGIN = datetime(2026, 11, 25, tzinfo=UTC)
NOTHING_SECRET = Redactor(())


def entries(*messages: str | list[int] | tuple[str, int]) -> list[JournalEntry]:
    """Entries, oldest first, a second apart; a pair is a line of systemd with its priority."""
    made = []
    for second, message in enumerate(messages):
        fields: dict[str, Any] = {
            "__REALTIME_TIMESTAMP": str(int(BEGIN.timestamp() * 1e6) + second * 1_000_000),
            "MESSAGE": message,
            "SYSLOG_IDENTIFIER": "vigie",
        }
        if isinstance(message, tuple):
            fields |= {"MESSAGE": message[0], "PRIORITY": str(message[1])}
            fields["SYSLOG_IDENTIFIER"] = "systemd"
        entry = decode_entry(msgspec.json.encode(fields))
        assert entry is not None
        made.append(entry)
    return made


def texts(level: LogLevel, made: Iterable[JournalEntry]) -> list[str]:
    """The selected lines, oldest first."""
    newest_first = reversed(list(made))
    return [line.text for line in select_lines(newest_first, level)][::-1]


STORY = entries(
    "INFO connected",
    "WARNING broker: gone",
    "ERROR stage mqtt: failed",
    "Traceback (most recent call last):",
    "ValueError: x",
    "INFO connected again",
    ("vigie-agent.service: Main process exited", 4),
    ("Failed to start vigie-agent.service", 3),
)


@pytest.mark.parametrize(
    ("level", "count", "first"),
    [("info", 8, "INFO connected"), ("warning", 6, "WARNING broker: gone")],
)
def test_a_level_includes_those_above_it(level: LogLevel, count: int, first: str) -> None:
    chosen = texts(level, STORY)
    assert (len(chosen), chosen[0]) == (count, first)


def test_a_traceback_belongs_to_its_error() -> None:
    assert texts("error", STORY) == [
        "ERROR stage mqtt: failed",
        "Traceback (most recent call last):",
        "ValueError: x",
        "Failed to start vigie-agent.service",
    ]


def test_lines_without_a_level_at_the_begin_of_a_span_count_as_information() -> None:
    torn = entries("ValueError: x", "ERROR again")
    assert texts("info", torn) == ["ValueError: x", "ERROR again"]
    assert texts("warning", torn) == ["ERROR again"]


def test_a_message_that_is_not_utf_8_or_has_no_end_is_bounded() -> None:
    binary, long = entries([255, 73, 10], "INFO " + "x" * 100_000)
    assert texts("info", [binary]) == ["\N{REPLACEMENT CHARACTER}I\n"]
    assert len(texts("info", [long])[0]) < journal.MAX_LINE_CHARS + 10


@given(st.binary(max_size=200) | st.dictionaries(st.text(max_size=9), st.integers()).map(str))
def test_a_line_that_is_no_entry_is_left_out(line: bytes | str) -> None:
    data = line.encode() if isinstance(line, str) else line
    assert decode_entry(data) is None or data.startswith(b"{")


def test_the_newest_lines_are_kept_if_not_all_fit() -> None:
    lines = [
        LogLine(time=rfc3339(BEGIN), level="info", text=f"INFO {number:02d} {'x' * 60}")
        for number in range(30)
    ]
    extract = take_newest(reversed(lines), 1000)
    assert not extract.is_complete
    assert extract.lines == tuple(lines[-len(extract.lines) :])
    size_bytes = sum(len(journal.format_line(line)) + 1 for line in extract.lines)
    assert 900 < size_bytes <= 1000
    assert take_newest(reversed(lines), 60_000) == LogExtract(lines=tuple(lines), is_complete=True)


def test_secrets_are_left_out_and_a_text_that_grew_loses_its_oldest_lines() -> None:
    lines = tuple(
        LogLine(time=rfc3339(BEGIN), level="info", text=f"INFO camera: s3cr {number}")
        for number in range(10)
    )
    extract = LogExtract(lines=lines, is_complete=True)
    whole = build_result(extract, Redactor(["s3cr"]), 10_000)
    assert (whole.line_count, whole.is_complete) == (10, True)
    assert "s3cr" not in whole.text
    assert whole.text.count("(left out)") == 10
    fewer = build_result(extract, Redactor(["s3cr"]), len(whole.text) - 1)
    assert (fewer.line_count, fewer.is_complete) == (9, False)
    assert whole.text.endswith(fewer.text)


def test_a_key_of_many_lines_is_left_out() -> None:
    pem = ["-----BEGIN PRIVATE KEY-----", "MIGHAgEAMBMGByqGSM49", "-----END PRIVATE KEY-----"]
    lines = tuple(
        LogLine(time=rfc3339(BEGIN), level="info", text=text) for text in ["INFO a", *pem]
    )
    text = build_result(LogExtract(lines=lines, is_complete=True), NOTHING_SECRET, 10_000).text
    assert "MIGHAgEAMBMGByqGSM49" not in text


class Journal:
    """The journal of a test; the arguments of each reading."""

    def __init__(self, error: OSError | None = None) -> None:
        self.asked: list[tuple[datetime | None, datetime | None, LogLevel, int]] = []
        self._error = error

    def read(
        self, begin: datetime | None, end: datetime | None, level: LogLevel, max_bytes: int
    ) -> LogExtract:
        self.asked.append((begin, end, level, max_bytes))
        if self._error is not None:
            raise self._error
        line = LogLine(time=rfc3339(BEGIN), level="info", text="INFO connected")
        return LogExtract(lines=(line,), is_complete=True)


def handler_of(source: Journal, actions: list[tuple[str, str]]) -> LogCommandHandler:
    return LogCommandHandler(
        source.read, lambda: NOTHING_SECRET, lambda by, action: actions.append((by, action))
    )


def test_the_log_is_read_on_a_thread_of_its_own_and_under_the_requesters_name(
    make_rig: MakeRig,
) -> None:
    source, actions = Journal(), list[tuple[str, str]]()
    handler = handler_of(source, actions)
    rig = make_rig(handler)
    args = {"begin": "2026-11-25T00:00:00Z", "level": "warning", "max_bytes": 5000}
    rig.run_command(args, verb="log")
    assert source.asked == []
    handler.stage.run_once(threading.Event())
    rig.run_once()
    assert source.asked == [(BEGIN, None, "warning", 5000)]
    assert decode_result(rig.replies[-1]) == {
        "line_count": 1,
        "is_complete": True,
        "text": "2026-11-25T00:00:00.000Z INFO connected",
    }
    assert actions == [("amina", "the agent's log was read")]


def test_a_journal_that_cannot_be_read_is_a_refusal(make_rig: MakeRig) -> None:
    handler = handler_of(Journal(PermissionError(13, "Permission denied")), [])
    rig = make_rig(handler)
    rig.run_command({}, verb="log")
    handler.stage.run_once(threading.Event())
    rig.run_once()
    assert rejection_of(rig.replies[-1]) == (
        "unavailable",
        "the journal cannot be read: Permission denied",
    )


def test_a_span_that_ends_before_it_begins_and_a_queue_that_is_full_are_refused(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(handler_of(Journal(), []))
    span = {"begin": "2026-11-25T00:00:01Z", "end": "2026-11-25T00:00:00Z"}
    code, why = rejection_of(rig.run_command(span, "span", verb="log"))
    assert code == "malformed"
    assert "allowed: before end = 2026-11-25T00:00:00.000Z" in why
    for number in range(MAX_QUEUED):
        rig.run_command({}, f"id-{number}", verb="log")
    assert rejection_of(rig.run_command({}, "more", verb="log"))[0] == "busy"
