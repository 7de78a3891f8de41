"""The line that a technician sits at: whatever program he has, on whatever cable.

Plain text of 80 columns goes out, and keys come in. No escape sequence is ever sent: a backspace, a
carriage return and a newline move the cursor. What is long stops at `-- more --`.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from agent.base.errors import UserError
from agent.console.keystrokes import Key, KeyDecoder

COLUMNS = 80
ROWS = 24
LONGEST_LINE = 200
HISTORY = 20
MORE = "-- more -- (space: page, enter: line, q: stop) "
HUSH_S = 1.0
HUSH_MOST_S = 20.0
"""So long what a transfer leaves on the line may go on."""


class HungUp(Exception):
    """Nobody is at the other end any more."""


class Idle(Exception):
    """Nobody has pressed a key for too long."""


class Cancelled(Exception):
    """Ctrl-C: he wants none of what is going on."""


class EndOfInput(Exception):
    """Ctrl-D on an empty line: he wants to go."""


class ByteLine(Protocol):
    """Bytes to and from the other end."""

    def read(self, timeout_s: float) -> bytes:
        """What has come; nothing where nothing came in time. Raises HungUp."""
        ...

    def write(self, data: bytes) -> None:
        """Send it all. Raises HungUp, also where the other end takes nothing for too long."""
        ...

    def drained(self) -> bool:
        """Whether what was written has left this end."""
        ...

    def clear(self) -> AbstractContextManager[None]:
        """Meanwhile every byte goes through: none holds the output or lets it go on."""
        ...


class Terminal:
    """One screen and keyboard. `idle_s` is how long nobody may press a key, None for ever."""

    def __init__(
        self,
        wire: ByteLine,
        clock_ns: Callable[[], int],
        *,
        rows: int = ROWS,
        utf8: bool = False,
    ) -> None:
        self.columns = COLUMNS
        self.rows = rows
        self.idle_s: float | None = None
        self.paging = True
        self.watch: Callable[[], str | None] = lambda: None
        """Asked each second while nothing is typed: what he is to be told now."""
        self._utf8 = utf8
        self._wire = wire
        self.clock_ns = clock_ns
        self._keys = KeyDecoder()
        self._waiting: list[Key] = []
        self._shown = 0
        self._touched_ns = clock_ns()

    def print(self, *lines: str) -> None:
        """Lines, folded at the edge. Stops at each full page: raises Cancelled where he wants no
        more.
        """
        for line in lines or ("",):
            for part in folded(self._plain(line), self.columns - 1):
                self._page()
                self._wire.write(self._bytes(part) + b"\r\n")
                self._shown += 1

    def table(self, rows: Iterable[Sequence[str]], indent: str = "") -> None:
        """Rows in columns; what the last one holds is folded under itself."""
        rows = [[self._plain(cell) for cell in row] for row in rows]
        if not rows:
            return
        widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]) - 1)]
        for row in rows:
            self.print_hanging(
                indent + "".join(f"{cell:<{w}}  " for cell, w in zip(row, widths, strict=False)),
                row[-1],
            )

    def print_hanging(self, head: str, text: str) -> None:
        """A head, and a text that is folded under its own beginning."""
        first, *more = folded(self._plain(text), max(20, self.columns - 1 - len(head)))
        self.print((head + first).rstrip(), *(" " * len(head) + part for part in more))

    def write(self, text: str) -> None:
        """Text where the cursor is."""
        self._wire.write(self._bytes(self._plain(text)))

    def overwrite_line(self, text: str) -> None:
        """Text instead of what this line holds: from its beginning, filled up with blanks."""
        line = self._plain(text)[: self.columns - 1]
        self._wire.write(b"\r" + self._bytes(f"{line:<{self.columns - 1}}"))

    def flush_line(self, timeout_s: float = 5.0) -> None:
        """Wait until what was said has gone down the cable: a picture must not queue up."""
        end_ns = self.clock_ns() + int(timeout_s * 1e9)
        while not self._wire.drained() and self.clock_ns() < end_ns:
            self._waiting += self._keys.feed(self._wire.read(0.02))

    def new_page(self) -> None:
        """He has just read everything: a page begins here."""
        self._shown = 0

    def key(self, timeout_s: float) -> Key | None:
        """The next key, None where none came in time. Raises HungUp and Idle."""
        end_ns = self.clock_ns() + int(timeout_s * 1e9)
        while not self._waiting:
            left_s = (end_ns - self.clock_ns()) / 1e9
            data = self._wire.read(max(0.0, min(left_s, 1.0)))
            self._waiting += self._keys.feed(data)
            if data:
                self._touched_ns = self.clock_ns()
            elif self._idle():
                raise Idle
            if not self._waiting and left_s <= 0:
                return None
        return self._waiting.pop(0)

    def ask(self, prompt: str, history: Sequence[str] = (), most: int = LONGEST_LINE) -> str:
        """A line, without blanks around it. Raises HungUp, Idle, Cancelled and EndOfInput."""
        self.write(prompt)
        self.new_page()
        line, past, told = "", len(history), False
        while True:
            key = self.key(1.0)
            if key is None:
                self._tell(prompt + line)
                continue
            if key == "enter":
                self._wire.write(b"\r\n")
                return line.strip()
            if key == "cancel":
                self._wire.write(b"^C\r\n")
                raise Cancelled
            if key == "end" and not line:
                self._wire.write(b"\r\n")
                raise EndOfInput
            if key in ("back", "kill"):
                gone = len(line) if key == "kill" else min(1, len(line))
                line = line[: len(line) - gone]
                self._wire.write(b"\b \b" * gone)
            elif key in ("up", "down") and history:
                past = min(max(0, past + (-1 if key == "up" else 1)), len(history))
                self._wire.write(b"\b \b" * len(line))
                line = history[past] if past < len(history) else ""
                self._wire.write(line.encode())
            elif len(key) == 1 and len(line) < most:
                line += key
                self._wire.write(key.encode())
            elif len(key) == 1 and not told:
                told = True
                self._wire.write(b"\a")

    def confirm(self, question: str, word: str) -> bool:
        """Whether he types exactly this word."""
        return self.ask(f"{question} Type {word} and enter: ") == word

    def choose(self, options: Sequence[str]) -> int:
        """Which of several he means, from 0; the only one unasked. Raises BadInput."""
        if len(options) == 1:
            return 0
        self.table([(str(number), option) for number, option in enumerate(options, 1)])
        text = self.ask("Which: ")
        if text not in {str(number) for number in range(1, len(options) + 1)}:
            raise UserError(f"{text!r}: allowed: a number from 1 to {len(options)}")
        return int(text) - 1

    @contextmanager
    def clear_line(self) -> Iterator[ByteLine]:
        """The bare line, for a file. What is still on it afterwards is no key of his."""
        self.flush_line()
        with self._wire.clear():
            try:
                yield self._wire
            finally:
                end_ns = self.clock_ns() + int(HUSH_MOST_S * 1e9)
                while self._wire.read(HUSH_S) and self.clock_ns() < end_ns:
                    pass
                self._keys = KeyDecoder()
                self.forget()

    def forget(self) -> None:
        """What was typed ahead is not for who comes next."""
        self._waiting.clear()
        self._touched_ns = self.clock_ns()

    def _tell(self, standing: str) -> None:
        """What the watch has to say, on lines of its own; then what stood on this one again."""
        told = self.watch()
        if told is not None:
            self.new_page()
            self._wire.write(b"\r\n")
            self.print(told)
            self.write(standing)

    def _idle(self) -> bool:
        return (
            self.idle_s is not None
            and self.clock_ns() - self._touched_ns > self.idle_s * 1_000_000_000
        )

    def _page(self) -> None:
        if not self.paging or self._shown < self.rows - 1:
            return
        self._wire.write(MORE.encode())
        try:
            while True:
                key = self.key(1.0)
                if key in ("q", "Q", "cancel", "end"):
                    raise Cancelled
                if key == "enter":
                    self._shown -= 1
                    return
                if key in (" ", "down"):
                    self._shown = 0
                    return
        finally:
            self._wire.write(b"\r" + b" " * len(MORE) + b"\r")

    def _plain(self, text: str) -> str:
        return plain(text, utf8=self._utf8)

    def _bytes(self, text: str) -> bytes:
        return text.encode("utf-8" if self._utf8 else "ascii", "replace")


def plain(text: str, *, utf8: bool = False) -> str:
    """Text that moves no cursor and rings no bell, whatever a log or a device says; in ASCII, with
    letters without their accents, unless `utf8`.
    """
    shown = "".join(c if c.isprintable() else " " for c in text)
    if utf8:
        return shown
    apart = unicodedata.normalize("NFKD", shown)
    return "".join(c if c.isascii() else "?" for c in apart if not unicodedata.combining(c))


def folded(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters, broken at blanks where there are some; what is indented
    goes on as far in.
    """
    lines, rest = [], text.rstrip()
    indent = " " * min(len(rest) - len(rest.lstrip()), width // 2)
    while len(rest) > width:
        cut = rest.rfind(" ", len(indent) + 1, width + 1)
        cut = cut if cut > 0 else width
        lines.append(rest[:cut].rstrip())
        rest = indent + rest[cut:].lstrip()
    return [*lines, rest]
