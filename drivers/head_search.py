"""Search for heads on a serial line by queries. No query moves a head.

The line is probed at one baud rate after the other, up to the first one with a head. A port that
another process has open is not touched. Pelco-P has no query that all makers answer, so its heads
cannot be found.
"""

import select
import threading
from collections.abc import Callable, Sequence
from time import monotonic

import msgspec

from drivers import head_probe_codec as questions
from drivers import visca_codec as visca
from drivers.errors import DriverError
from drivers.head_probe_codec import HeadAnswer, HeadDriver, InquiryRefused
from drivers.serial_port import SerialPort, SerialSettings
from drivers.serial_ports import PortCondition, PortState, port_condition

DEFAULT_BAUD_RATES = (9600, 2400, 4800)
"""VISCA's factory default, and the two that are usual for Pelco-D."""
DEFAULT_ADDRESSES = tuple(range(1, 9))
ANSWER_TIMEOUT_S = 0.3
"""The same time as the drivers wait."""
MAX_RECEIVED_BYTES = 4096
PREVIEW_BYTES = 16


class SearchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The protocols, baud rates and addresses of a search, and its timeout per query."""

    drivers: tuple[HeadDriver, ...] = ("visca", "pelco_d")
    baud: tuple[int, ...] = DEFAULT_BAUD_RATES
    addresses: tuple[int, ...] = DEFAULT_ADDRESSES
    answer_s: float = ANSWER_TIMEOUT_S


class FoundHead(msgspec.Struct, frozen=True, kw_only=True):
    """A head that answered. `baud` is None if a serial server on the network sets the speed."""

    port: str
    baud: int | None
    answer: HeadAnswer


class UnknownTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes in another protocol or at another speed. `first_bytes_hex` has the first of them."""

    baud: int | None
    received_bytes: int
    first_bytes_hex: str


class PortSearch(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one port's search. `unknown_traffic` is empty if a head was found."""

    port: str
    state: PortState
    reason: str | None = None
    heads: tuple[FoundHead, ...] = ()
    unknown_traffic: tuple[UnknownTraffic, ...] = ()


def search_port(
    port: str,
    search: SearchOptions,
    stop: threading.Event,
    clock_s: Callable[[], float] = monotonic,
) -> PortSearch:
    """Query all addresses on one line. After `stop` is set nothing more is sent."""
    is_tcp = port.startswith("socket://")
    checked = PortCondition(state="free") if is_tcp else port_condition(port)
    if checked.state != "free":
        return PortSearch(port=port, state=checked.state, reason=checked.reason)
    unknown: list[UnknownTraffic] = []
    for baud in search.baud[:1] if is_tcp else search.baud:
        line = _ProbeLine(SerialSettings(port=port, baud=baud), search.answer_s, stop, clock_s)
        try:
            line.open()
            answers = _probe_line(line, search)
        except DriverError as error:
            return PortSearch(
                port=port, state=_port_state(error), reason=_without_port_name(error, port)
            )
        finally:
            line.close()
        known_baud = None if is_tcp else baud
        if answers:
            heads = tuple(FoundHead(port=port, baud=known_baud, answer=one) for one in answers)
            return PortSearch(port=port, state="free", heads=heads)
        if line.received:
            first_bytes = bytes(line.received[:PREVIEW_BYTES]).hex(" ")
            unknown.append(
                UnknownTraffic(
                    baud=known_baud, received_bytes=len(line.received), first_bytes_hex=first_bytes
                )
            )
    return PortSearch(port=port, state="free", unknown_traffic=tuple(unknown))


class _ProbeLine:
    """One line at one baud rate. `received` has all bytes that were no echo."""

    def __init__(
        self,
        settings: SerialSettings,
        answer_s: float,
        stop: threading.Event,
        clock_s: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._answer_s = answer_s
        self._stop = stop
        self._clock_s = clock_s
        self._port = SerialPort(settings)
        self.received = bytearray()

    def open(self) -> None:
        self._port.open()

    def close(self) -> None:
        self._port.close()

    def query(self, request: bytes, is_complete: Callable[[bytes], bool]) -> bytes:
        """Return the answer to a query, once it is complete or its time is over."""
        if self._stop.is_set():
            return b""
        if self._is_readable(0):
            self._record(self._port.read())
        self._port.write(request)
        size = len(request) + questions.MAX_ANSWER_BYTES
        deadline_s = self._clock_s() + self._settings.line_time_s(size) + self._answer_s
        received = bytearray()
        while len(received) < MAX_RECEIVED_BYTES:
            left_s = deadline_s - self._clock_s()
            if self._is_readable(max(0.0, left_s)):
                received += self._port.read()
                if is_complete(questions.strip_echo(bytes(received), request)):
                    break
            elif left_s <= 0:
                # Only after a last look: an answer may have come while this thread waited for a processor.
                break
        answer = questions.strip_echo(bytes(received), request)
        self._record(answer)
        return answer

    def _is_readable(self, timeout_s: float) -> bool:
        return bool(select.select([self._port.fileno()], [], [], timeout_s)[0])

    def _record(self, data: bytes) -> None:
        self.received += data[: MAX_RECEIVED_BYTES - len(self.received)]


def _probe_line(line: _ProbeLine, search: SearchOptions) -> Sequence[HeadAnswer]:
    """Return the heads that answer at this baud rate."""
    found: list[HeadAnswer] = []
    if "visca" in search.drivers:
        found += _probe_visca(line, search.addresses)
    if "pelco_d" in search.drivers:
        for address in search.addresses:
            head = _probe_pelco(line, address)
            if head is not None:
                found.append(head)
    return found


def _probe_visca(line: _ProbeLine, addresses: Sequence[int]) -> Sequence[HeadAnswer]:
    """Return the cameras of a chain, or single ones that do not answer the broadcast."""
    received = line.query(
        visca.ADDRESS_SET, lambda data: questions.parse_chain_length(data) is not None
    )
    count = questions.parse_chain_length(received)
    probed = range(1, count + 1) if count else addresses
    found = []
    for address in probed:
        if address not in questions.VISCA_ADDRESSES:
            continue
        position = _send_inquiry(line, address, visca.pan_tilt_inquiry(address))
        if position is not None:
            version = _send_inquiry(line, address, questions.version_inquiry(address))
            found.append(questions.to_visca_head(address, position, version))
    return found


def _send_inquiry(line: _ProbeLine, address: int, inquiry: bytes) -> bytes | InquiryRefused | None:
    received = line.query(
        inquiry, lambda data: questions.find_visca_answer(address, data) is not None
    )
    return questions.find_visca_answer(address, received)


def _probe_pelco(line: _ProbeLine, address: int) -> HeadAnswer | None:
    """Return a Pelco-D head if it reports its position or at least acknowledges the query."""
    query = questions.pelco_query(address, "pan")
    received = line.query(
        query, lambda data: questions.find_pelco_counts(address, "pan", data) is not None
    )
    pan = questions.find_pelco_counts(address, "pan", received)
    if pan is None:
        is_acknowledged = questions.is_general_reply(address, query, received)
        return (
            HeadAnswer(driver="pelco_d", address=address, reports_position=False)
            if is_acknowledged
            else None
        )
    received = line.query(
        questions.pelco_query(address, "tilt"),
        lambda data: questions.find_pelco_counts(address, "tilt", data) is not None,
    )
    tilt = questions.find_pelco_counts(address, "tilt", received)
    return HeadAnswer(
        driver="pelco_d",
        address=address,
        reports_position=tilt is not None,
        pan_counts=pan,
        tilt_counts=tilt,
    )


def _port_state(error: DriverError) -> PortState:
    """Map an error of opening or using a port to the port's state."""
    if error.kind in ("busy", "absent", "timeout"):
        return error.kind
    return "denied" if isinstance(error.__cause__, PermissionError) else "unsupported"


def _without_port_name(error: DriverError, port: str) -> str:
    return str(error).removeprefix(f"port {port!r}: ")
