"""Entries of the agent's unit in the journal, the newest first, and the lines that are selected of them."""

import io
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import IO, Annotated, Literal, get_args

import msgspec

from agent.base.clock import rfc3339, utc_from_unix_ns
from agent.base.json_decode import JsonDecoder, MalformedJson

UNITS = ("vigie-agent.service", "vigie-child@*.service")
"""Of the agent, and of its children that have a user of their own."""
TIMEOUT_S = 20.0
MAX_ENTRY_BYTES = 65_536
MAX_LINE_CHARS = 1000
MAX_SCANNED_ENTRIES = 50_000
"""A level that is rare must not read a month's journal: a quiet box writes about 2,000 entries a day."""

LogLevel = Literal["info", "warning", "error"]
LOG_LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)
"""From the lowest on."""
_LEVEL_BY_WORD: dict[str, LogLevel] = {
    "DEBUG": "info",
    "INFO": "info",
    "WARNING": "warning",
    "ERROR": "error",
    "CRITICAL": "error",
}
_ERROR_PRIORITY, _WARNING_PRIORITY = 3, 4
"""Of syslog(3); a lower number is more urgent."""


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `journalctl --output=json`. A message that is not UTF-8 is a list of bytes."""

    time_us: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,17}$(?!\n)")] = msgspec.field(
        name="__REALTIME_TIMESTAMP"
    )
    message: str | list[int] | None = msgspec.field(name="MESSAGE", default=None)
    identifier: str = msgspec.field(name="SYSLOG_IDENTIFIER", default="")
    priority: str = msgspec.field(name="PRIORITY", default="6")


_ENTRY_DECODER = JsonDecoder(JournalEntry)


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log."""

    time: str
    level: LogLevel
    text: str


def decode_entry(line: bytes) -> JournalEntry | None:
    """Return an entry, or None if the line is none."""
    try:
        return _ENTRY_DECODER.decode(line)
    except MalformedJson:
        return None


def select_lines(newest_first: Iterable[JournalEntry], level: LogLevel) -> Iterator[LogLine]:
    """Yield the lines of a level and above, the newest first. Pure.

    The agent's lines begin with their level. A line without one, such as one of a traceback, belongs to the line
    before it; systemd's own lines have a priority.
    """
    following: list[tuple[str, str]] = []
    for entry in newest_first:
        time = rfc3339(utc_from_unix_ns(int(entry.time_us) * 1000))
        text = _message_text(entry.message)
        own_level = _own_level(entry, text)
        if own_level is None:
            following.append((time, text))
            continue
        lines = [*following, (time, text)]
        following = []
        if LOG_LEVELS.index(own_level) >= LOG_LEVELS.index(level):
            for line_time, line_text in lines:
                yield LogLine(time=line_time, level=own_level, text=line_text)
    if level == LOG_LEVELS[0]:
        for line_time, line_text in following:
            yield LogLine(time=line_time, level=level, text=line_text)


def _own_level(entry: JournalEntry, text: str) -> LogLevel | None:
    if entry.identifier == "systemd":
        priority = int(entry.priority) if entry.priority.isdecimal() else _WARNING_PRIORITY + 1
        if priority <= _ERROR_PRIORITY:
            return "error"
        return "warning" if priority == _WARNING_PRIORITY else "info"
    return _LEVEL_BY_WORD.get(text.partition(" ")[0])


def _message_text(message: str | list[int] | None) -> str:
    if isinstance(message, list):
        message = bytes(value & 0xFF for value in message[:MAX_LINE_CHARS]).decode(
            "utf-8", "replace"
        )
    text = message or ""
    return text if len(text) <= MAX_LINE_CHARS else f"{text[:MAX_LINE_CHARS]} ..."


class LogExtract(msgspec.Struct, frozen=True, kw_only=True):
    """The newest lines that fit, oldest first. `is_complete`: there are no older ones in the span."""

    lines: tuple[LogLine, ...]
    is_complete: bool


def read_log(
    begin: datetime | None, end: datetime | None, level: LogLevel, max_bytes: int
) -> LogExtract:
    """Read the lines of the agent and its children of a level and above. Raises: OSError."""
    program = shutil.which("journalctl")
    if program is None:
        raise FileNotFoundError(2, "journalctl is not installed", "journal")
    options = ["--no-pager", "--quiet", "--reverse", "--output=json"]
    options += [f"--unit={unit}" for unit in UNITS]
    if begin is not None:
        options.append(f"--since=@{begin.timestamp():.6f}")
    if end is not None:
        options.append(f"--until=@{end.timestamp():.6f}")
    with subprocess.Popen(  # noqa: S603 - fixed words, and two numbers
        [program, *options, "--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        timer = threading.Timer(TIMEOUT_S, process.kill)
        timer.start()
        try:
            entries = _iter_entries(process.stdout or io.BytesIO())
            extract = take_newest(select_lines(entries, level), max_bytes)
            if not extract.lines:
                _check_exit(process)
        finally:
            timer.cancel()
            process.kill()
    return extract


def take_newest(newest_first: Iterable[LogLine], max_bytes: int) -> LogExtract:
    """Take the lines that fit into `max_bytes`, with their times and levels. Pure."""
    lines: list[LogLine] = []
    size_bytes = 0
    for line in newest_first:
        size_bytes += len(format_line(line).encode("utf-8", "replace")) + 1
        if size_bytes > max_bytes:
            return LogExtract(lines=tuple(reversed(lines)), is_complete=False)
        lines.append(line)
    return LogExtract(lines=tuple(reversed(lines)), is_complete=True)


def format_line(line: LogLine) -> str:
    """Return the line with its time and its level, which the text of an agent's own line begins with."""
    return f"{line.time} {line.text}"


def _iter_entries(stream: IO[bytes]) -> Iterator[JournalEntry]:
    for _ in range(MAX_SCANNED_ENTRIES):
        line = stream.readline(MAX_ENTRY_BYTES)
        if not line:
            return
        entry = decode_entry(line)
        if entry is not None:
            yield entry


def _check_exit(process: subprocess.Popen[bytes]) -> None:
    """Raise OSError if journalctl has failed, such as for lack of permission."""
    _, stderr = process.communicate()
    if process.returncode:
        reason = stderr.decode("utf-8", "replace").strip().splitlines()
        raise OSError(5, reason[0] if reason else "it failed or took too long", "journalctl")
