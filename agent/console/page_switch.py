"""The switch of the page at the pole: the console's connection to vigie-page.service, and the child that does its acts.

The page is on as long as this process keeps both. The child does what the page asks for, under the technician's name,
as the agent's user; the process that serves the network has another user, and reads no file of the box.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from agent.base.message import Message, Text, decode_message, message_of
from agent.console import page_wire
from agent.console.act_server_process import (
    START_TIMEOUT_S,
    ActServerFailed,
    ActServerProcess,
    ActServerStart,
)
from agent.console.errors import ConsoleError
from agent.console.page_wire import (
    PAGE_REPORT_DECODER,
    PageEnded,
    PageJoined,
    PageLink,
    PageOrder,
    PageReady,
    PageRefused,
    PageReport,
    PageStart,
    PageUsed,
)
from agent.faults.texts import Language
from drivers.local_wire import LocalConnection, connect

ANSWER_TIMEOUT_S = START_TIMEOUT_S
"""The first message starts the unit, which takes as long as the child."""
END_GRACE_NS = 30_000_000_000
"""After the end of its time a unit that has not ended its page loses its console."""
MAX_REPORTS = 64
"""At once: a unit that never stops reporting does not hold the console."""
_UNIT_ENDED = Message("The page is off: its unit has ended.")
PageReportT = TypeVar("PageReportT", bound=PageReport)


class PageSwitch:
    """Turns the page of one box on and off. Used by one thread.

    `root` is the folder that contains `run`. `write_receipt` takes the action of a receipt, and may raise
    ConsoleError.
    """

    def __init__(
        self,
        root: Path,
        config_path: Path,
        clock_ns: Callable[[], int],
        write_receipt: Callable[[str], None],
    ) -> None:
        self._root = root
        self._config_path = config_path
        self._clock_ns = clock_ns
        self._write_receipt = write_receipt
        self._connection: LocalConnection | None = None
        self._act_server: ActServerProcess | None = None
        self._reports: deque[PageReport] = deque()
        self._notices: deque[Message] = deque()
        self._last_use_ns = 0
        self._ends_ns = 0
        self._unused_links = 0
        self.port = 0
        self.addresses: tuple[str, ...] = ()
        self.fingerprint = ""
        self.sessions = 0
        """Phones that are logged in, as of the last report."""

    def is_on(self) -> bool:
        """Handle the reports that have come; True from `turn_on` until the page has ended."""
        for _ in range(MAX_REPORTS):
            if self._connection is None or not self._read(0.0):
                break
        while self._reports:
            self._handle(self._reports.popleft())
        if self._connection is not None and self._clock_ns() - self._ends_ns > END_GRACE_NS:
            # The unit ends its page itself, unless a phone has taken it over.
            self._handle(PageEnded())
        return self._connection is not None

    @property
    def remaining_s(self) -> float:
        """Seconds until the page ends by itself."""
        return max(0.0, (self._ends_ns - self._clock_ns()) / 1e9)

    def turn_on(
        self,
        port: int,
        *,
        box_id: str,
        addresses: Sequence[str],
        technician: str,
        language: Language,
    ) -> str:
        """Turn the page on, and return the token of its first link. Raises ConsoleError."""
        if self.is_on():
            raise ConsoleError(
                Message("the page is on already, on port {port}: page off ends it", port=self.port)
            )
        self._notices.clear()
        self._unused_links = 0
        start = PageStart(port=port, box_id=box_id, addresses=tuple(addresses), language=language)
        try:
            self._connect()
            self._send(start)
            ready = self._wait_for(PageReady)
            # After the unit's answer: it refuses a second console, whose act server would replace the first one's.
            self._act_server = ActServerProcess(
                self._root,
                self._config_path,
                ActServerStart(technician=technician, language=language),
            )
        except ActServerFailed as error:
            raise self._lost(message_of(error)) from error
        except BaseException:
            self.turn_off()
            raise
        self.port, self.addresses, self.sessions = port, start.addresses, 0
        self.fingerprint = ready.fingerprint
        self._unused_links = 1
        self._last_use_ns = self._clock_ns()
        self._ends_ns = self._last_use_ns + int(start.duration_s * 1e9)
        return ready.token

    def new_link(self) -> str:
        """Return the token of a new one-time link. Raises ConsoleError."""
        if not self.is_on():
            raise ConsoleError(Message("the page is off; allowed: page on"))
        self._send(PageOrder(order="link"))
        token = self._wait_for(PageLink).token
        self._unused_links += 1
        return token

    def turn_off(self) -> None:
        """End the page, if it is on."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._reports.clear()
        act_server, self._act_server = self._act_server, None
        if act_server is not None:
            act_server.stop()

    def poll_notice(self) -> Text | None:
        """Return the next notice, or None: a phone has logged in, or the page has ended."""
        self.is_on()
        return self._notices.popleft() if self._notices else None

    def was_used_within(self, duration_s: float) -> bool:
        """True if a phone that is logged in has sent a request within this time."""
        return self.is_on() and self._clock_ns() - self._last_use_ns <= duration_s * 1e9

    def _connect(self) -> None:
        path = self._root / page_wire.SOCKET
        try:
            self._connection = connect(path, ANSWER_TIMEOUT_S, page_wire.MAX_MESSAGE_BYTES)
        except OSError as error:
            raise _not_on(f"{path}: {error.strerror or error}") from error

    def _send(self, message: PageStart | PageOrder) -> None:
        assert self._connection is not None  # noqa: S101 - for mypy
        # If it has refused already, its report says why.
        with suppress(BrokenPipeError, TimeoutError):
            self._connection.send(message, ANSWER_TIMEOUT_S)

    def _wait_for(self, kind: type[PageReportT]) -> PageReportT:
        """Wait for a report of a kind, and handle others. Raises ConsoleError if the page ends, or refuses."""
        deadline_ns = self._clock_ns() + int(ANSWER_TIMEOUT_S * 1e9)
        while True:
            while self._reports:
                report = self._reports.popleft()
                if isinstance(report, kind):
                    return report
                if isinstance(report, PageRefused):
                    raise self._lost(decode_message(report.reason))
                self._handle(report)
            remaining_s = (deadline_ns - self._clock_ns()) / 1e9
            if self._connection is None or remaining_s <= 0:
                raise self._lost(Message("no answer"))
            self._read(remaining_s)

    def _read(self, timeout_s: float) -> bool:
        """Read a report for up to `timeout_s`; return False if none came, or the page has ended."""
        assert self._connection is not None  # noqa: S101 - for mypy
        try:
            report = self._connection.receive(PAGE_REPORT_DECODER, timeout_s)
        except TimeoutError:
            return False
        except OSError:
            report = None
        if report is not None:
            self._reports.append(report)
            return True
        reports = tuple(self._reports)
        self.turn_off()
        self._reports.extend(reports)
        if not any(isinstance(report, PageEnded) for report in reports):
            self._notices.append(_UNIT_ENDED)
        return False

    def _handle(self, report: PageReport) -> None:
        match report:
            case PageUsed():
                self._last_use_ns = self._clock_ns()
            case PageJoined() if not self._unused_links:
                # A link logs one phone in: the unit reports what cannot be, and each report is a receipt.
                self.turn_off()
                self._notices.append(_UNIT_ENDED)
            case PageJoined():
                self._unused_links -= 1
                self._last_use_ns = self._clock_ns()
                self.sessions = report.sessions
                self._notices.append(
                    Message("The page: a phone at {address} is logged in.", address=report.address)
                )
                self._record(f"page: a phone at {report.address} is logged in")
            case PageEnded():
                self.turn_off()
                self._notices.append(Message("The page is off: its time is over."))
            case _:
                pass  # an answer that was no longer waited for

    def _record(self, action: str) -> None:
        try:
            self._write_receipt(action)
        except ConsoleError as error:
            self._notices.append(
                Message(
                    "CUS-01: no receipt of this could be written: {error}", error=message_of(error)
                )
            )

    def _lost(self, reason: Text) -> ConsoleError:
        self.turn_off()
        self._notices.clear()
        return _not_on(reason)


def _not_on(reason: Text) -> ConsoleError:
    return ConsoleError(Message("the page is not on: {reason}", reason=reason))
