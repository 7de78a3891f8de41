"""Terminal over a line of bytes: any terminal program, on any cable.

Plain text of 80 columns goes out, and keys come in: ASCII in English, UTF-8 in French and Arabic. An escape
sequence is sent only for a picture that the technician asks for (`query`, `draw`): backspace, carriage return and
newline move the cursor. Long output stops at
`-- more --`.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from agent.base.message import Message, Text
from agent.console.errors import ConsoleError
from agent.console.keystrokes import Key, KeyDecoder
from agent.console.messages import render
from agent.faults.texts import Language

COLUMNS = 80
ROWS = 24
MAX_LINE_CHARS = 200
_NO_BREAK_SPACE = "\u00a0"
"""Before the colon in French: `str.isprintable` is false for it."""
HISTORY = 20
MORE_PROMPT = Message("-- more -- (space: page, enter: line, q: stop) ")
MAX_ANSWER_BYTES = 4096
"""Of a terminal program to a query, with keys that were typed meanwhile."""
DRAIN_QUIET_S = 1.0
MAX_DRAIN_S = 20.0
"""Longest wait for a file transfer's leftovers on the line to end."""


class HungUp(Exception):
    """The other end of the line is gone."""


class IdleTimeout(Exception):
    """No key was pressed for too long."""


class Cancelled(Exception):
    """Ctrl-C: the technician cancels."""


class EndOfInput(Exception):
    """Ctrl-D on an empty line: the technician leaves."""


class ByteLine(Protocol):
    """Line of bytes to the other end."""

    def read(self, timeout_s: float) -> bytes:
        """Return the bytes that have come, or none if none came in time. Raises HungUp."""
        ...

    def write(self, data: bytes) -> None:
        """Send all bytes. Raises HungUp, also if the other end accepts none for too long."""
        ...

    def is_drained(self) -> bool:
        """True if all written bytes have left this end."""
        ...

    def without_flow_control(self) -> AbstractContextManager[None]:
        """Return a context in which Ctrl-S and Ctrl-Q are bytes like others. Raises HungUp."""
        ...


class Terminal:
    """Screen and keyboard. `idle_timeout_s` without a key raises IdleTimeout; None: never.

    Messages are printed in `language`; values in them, and plain text, are sanitized.
    """

    def __init__(
        self,
        byte_line: ByteLine,
        clock_ns: Callable[[], int],
        *,
        rows: int = ROWS,
        language: Language = "en",
    ) -> None:
        self.language: Language = language
        self.columns = COLUMNS
        self.rows = rows
        self.idle_timeout_s: float | None = None
        self.paging = True
        self.poll_notice: Callable[[], Text | None] = lambda: None
        """Called each second while a line is read: returns a notice to print, or None."""
        self.is_used_elsewhere: Callable[[float], bool] = lambda _duration_s: False
        """True if the technician has been active within this time, though not at the keys."""
        self._byte_line = byte_line
        self.clock_ns = clock_ns
        self._decoder = KeyDecoder()
        self._pending_keys: list[Key] = []
        self._lines_shown = 0
        self._last_key_ns = clock_ns()

    def render(self, text: Text) -> str:
        """Return the printable text in the terminal's language, in ASCII if that is English."""
        return render(text, self.language, self._sanitize)

    def print(self, *lines: Text) -> None:
        """Print lines, wrapped at the edge. Stops at each full page; q there raises Cancelled."""
        self._print_rendered(*(self.render(line) for line in lines or ("",)))

    def _print_rendered(self, *lines: str) -> None:
        for line in lines:
            for part in wrap(line, self.columns - 1):
                self._pause_at_page_end()
                self._byte_line.write(part.encode() + b"\r\n")
                self._lines_shown += 1

    def table(self, rows: Iterable[Sequence[Text]], indent: str = "") -> None:
        """Print rows in columns; the last column is wrapped within itself."""
        cells = [[self.render(cell) for cell in row] for row in rows]
        if not cells:
            return
        widths = [
            max(width(row[i]) for row in cells if i < len(row)) for i in range(len(cells[0]) - 1)
        ]
        for row in cells:
            label = "".join(f"{pad(cell, w)}  " for cell, w in zip(row, widths, strict=False))
            self._print_hanging(indent + label, row[-1])

    def print_hanging(self, label: Text, text: Text) -> None:
        """Print a label, and a text that is wrapped below its own beginning."""
        self._print_hanging(self.render(label), self.render(text))

    def _print_hanging(self, label: str, text: str) -> None:
        label_width = width(label)
        first, *more = wrap(text, max(20, self.columns - 1 - label_width))
        self._print_rendered((label + first).rstrip(), *(" " * label_width + part for part in more))

    def write(self, text: Text) -> None:
        """Print text at the cursor."""
        self._byte_line.write(self.render(text).encode())

    def overwrite_line(self, text: Text) -> None:
        """Replace the text of the current line, padded with blanks."""
        line = self.render(text)[: self.columns - 1]
        self._byte_line.write(b"\r" + pad(line, self.columns - 1).encode())

    def clear_line(self) -> None:
        """Replace the current line by blanks, with the cursor at its beginning."""
        self._byte_line.write(b"\r" + b" " * (self.columns - 1) + b"\r")

    def flush_line(self, timeout_s: float = 5.0) -> None:
        """Wait until the output has left: on a slow cable pictures must not queue up."""
        deadline_ns = self.clock_ns() + int(timeout_s * 1e9)
        while not self._byte_line.is_drained() and self.clock_ns() < deadline_ns:
            self._pending_keys += self._decoder.feed(self._byte_line.read(0.02))

    def query(
        self, request: bytes, answer_pattern: re.Pattern[bytes], timeout_s: float
    ) -> re.Match[bytes] | None:
        """Send a query to the terminal program; return its answer, or None if none came in time.

        What else has come meanwhile are keys. Raises HungUp.
        """
        self.flush_line()
        self._byte_line.write(request)
        deadline_ns = self.clock_ns() + int(timeout_s * 1e9)
        received, answer = b"", None
        while answer is None and len(received) < MAX_ANSWER_BYTES:
            remaining_s = (deadline_ns - self.clock_ns()) / 1e9
            if remaining_s <= 0:
                break
            received += self._byte_line.read(remaining_s)
            answer = answer_pattern.search(received)
        keys = received if answer is None else received[: answer.start()] + received[answer.end() :]
        self._pending_keys += self._decoder.feed(keys)
        return answer

    def draw(self, graphics: bytes) -> None:
        """Send a picture in the terminal program's own graphics; the next line begins below it."""
        self._byte_line.write(graphics + b"\r\n")
        self.new_page()

    def new_page(self) -> None:
        """Begin a page here: the technician has read everything so far."""
        self._lines_shown = 0

    def read_key(self, timeout_s: float) -> Key | None:
        """Return the next key, or None if none came in time. Raises HungUp or IdleTimeout."""
        deadline_ns = self.clock_ns() + int(timeout_s * 1e9)
        while not self._pending_keys:
            remaining_s = (deadline_ns - self.clock_ns()) / 1e9
            data = self._byte_line.read(max(0.0, min(remaining_s, 1.0)))
            self._pending_keys += self._decoder.feed(data)
            if data:
                self._last_key_ns = self.clock_ns()
            elif self._is_idle():
                raise IdleTimeout
            if not self._pending_keys and remaining_s <= 0:
                return None
        return self._pending_keys.pop(0)

    def read_line(
        self,
        prompt: Text,
        history: Sequence[str] = (),
        max_chars: int = MAX_LINE_CHARS,
        *,
        is_secret: bool = False,
    ) -> str:
        """Read a line and strip it. Raises HungUp, IdleTimeout, Cancelled or EndOfInput.

        A secret is neither shown nor stripped.
        """
        echo = (lambda _data: None) if is_secret else self._byte_line.write
        self.write(prompt)
        self.new_page()
        line, history_index, has_beeped = "", len(history), False
        while True:
            key = self.read_key(1.0)
            if key is None:
                self._print_notice(prompt, "" if is_secret else line)
                continue
            if key == "enter":
                self._byte_line.write(b"\r\n")
                return line if is_secret else line.strip()
            if key == "cancel":
                self._byte_line.write(b"^C\r\n")
                raise Cancelled
            if key == "eof" and not line:
                self._byte_line.write(b"\r\n")
                raise EndOfInput
            if key in ("backspace", "kill_line"):
                erase_count = len(line) if key == "kill_line" else min(1, len(line))
                line = line[: len(line) - erase_count]
                echo(b"\b \b" * erase_count)
            elif key in ("up", "down") and history:
                history_index = min(
                    max(0, history_index + (-1 if key == "up" else 1)), len(history)
                )
                self._byte_line.write(b"\b \b" * len(line))
                line = history[history_index] if history_index < len(history) else ""
                self._byte_line.write(line.encode())
            elif len(key) == 1 and len(line) < max_chars:
                line += key
                echo(key.encode())
            elif len(key) == 1 and not has_beeped:
                has_beeped = True
                self._byte_line.write(b"\a")

    def confirm(self, question: Message, word: str) -> bool:
        """Ask for a word, and return True if exactly that was typed."""
        prompt = Message("{question} Type {word} and press enter: ", question=question, word=word)
        return self.read_line(prompt) == word

    def choose(self, options: Sequence[str]) -> int:
        """Ask for one of several options, and return its index. Raises ConsoleError.

        The only option is chosen without a question.
        """
        if len(options) == 1:
            return 0
        self.table([(str(number), option) for number, option in enumerate(options, 1)])
        typed = self.read_line(Message("Which: "))
        if typed not in {str(number) for number in range(1, len(options) + 1)}:
            raise ConsoleError(
                Message(
                    "{typed!r}: allowed: a number from 1 to {count}",
                    typed=typed,
                    count=len(options),
                )
            )
        return int(typed) - 1

    @contextmanager
    def raw_line(self) -> Iterator[ByteLine]:
        """Return the line of bytes for a file; bytes left on it afterwards are discarded."""
        self.flush_line()
        with self._byte_line.without_flow_control():
            try:
                yield self._byte_line
            finally:
                deadline_ns = self.clock_ns() + int(MAX_DRAIN_S * 1e9)
                while self._byte_line.read(DRAIN_QUIET_S) and self.clock_ns() < deadline_ns:
                    pass
                self._decoder = KeyDecoder()
                self.discard_input()

    def discard_input(self) -> None:
        """Discard typed-ahead keys: they are not meant for the next technician."""
        self._pending_keys.clear()
        self._last_key_ns = self.clock_ns()

    def _print_notice(self, prompt: Text, line: str) -> None:
        """Print a notice on lines of its own, then the prompt and the current line again."""
        notice = self.poll_notice()
        if notice is not None:
            self.new_page()
            self._byte_line.write(b"\r\n")
            self.print(notice)
            self.write(prompt)
            self.write(line)

    def _is_idle(self) -> bool:
        return (
            self.idle_timeout_s is not None
            and self.clock_ns() - self._last_key_ns > self.idle_timeout_s * 1_000_000_000
            and not self.is_used_elsewhere(self.idle_timeout_s)
        )

    def _pause_at_page_end(self) -> None:
        if not self.paging or self._lines_shown < self.rows - 1:
            return
        prompt = self.render(MORE_PROMPT)
        self._byte_line.write(prompt.encode())
        try:
            while True:
                key = self.read_key(1.0)
                if key in ("q", "Q", "cancel", "eof"):
                    raise Cancelled
                if key == "enter":
                    self._lines_shown -= 1
                    return
                if key in (" ", "down"):
                    self._lines_shown = 0
                    return
        finally:
            self._byte_line.write(b"\r" + b" " * width(prompt) + b"\r")

    def _sanitize(self, text: str) -> str:
        return sanitize(text, utf8=self.language != "en")


def sanitize(text: str, *, utf8: bool = False) -> str:
    """Replace characters that move the cursor, ring the bell or reorder a line: logs and devices are not
    trusted.

    Unless `utf8`, the result is ASCII, with accents removed.
    """
    printable = "".join(c if c.isprintable() or c == _NO_BREAK_SPACE else " " for c in text)
    if utf8:
        return printable
    decomposed = unicodedata.normalize("NFKD", printable)
    return "".join(c if c.isascii() else "?" for c in decomposed if not unicodedata.combining(c))


def width(text: str) -> int:
    """Return the columns of a text: combining marks and directional isolates take none."""
    return sum(unicodedata.category(c) not in ("Mn", "Cf") for c in text)


def pad(text: str, columns: int) -> str:
    """Pad a text with blanks to a width."""
    return text + " " * (columns - width(text))


def wrap(text: str, width: int) -> list[str]:
    """Wrap text at blanks, if there are any, to lines of `width` that keep its indentation."""
    lines, rest = [], text.rstrip()
    indent = " " * min(len(rest) - len(rest.lstrip()), width // 2)
    while len(rest) > width:
        cut = rest.rfind(" ", len(indent) + 1, width + 1)
        cut = cut if cut > 0 else width
        lines.append(rest[:cut].rstrip())
        rest = indent + rest[cut:].lstrip()
    return [*lines, rest]
