"""Heads on a serial line, found by asking. Nothing is sent that moves one.

A line is asked at one speed after the other; where a head was found no other speed is tried. A port
that somebody has is left alone. Pelco-P has no questions that its makers agree upon, so its heads
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
from drivers.head_probe_codec import HeadAnswer, HeadDriver, Refused
from drivers.serial_port import SerialPort, SerialSettings
from drivers.serial_ports import Condition, PortState, condition

USUAL_BAUD = (9600, 2400, 4800)
"""VISCA's as delivered, and the two that are usual for Pelco-D."""
USUAL_ADDRESSES = tuple(range(1, 9))
ANSWER_S = 0.3
"""As long as the drivers wait."""
MOST_HEARD_BYTES = 4096
SHOWN_BYTES = 16


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and how patiently."""

    drivers: tuple[HeadDriver, ...] = ("visca", "pelco_d")
    baud: tuple[int, ...] = USUAL_BAUD
    addresses: tuple[int, ...] = USUAL_ADDRESSES
    answer_s: float = ANSWER_S


class FoundHead(msgspec.Struct, frozen=True, kw_only=True):
    """A head that answered. Without `baud` the far server sets the speed."""

    port: str
    baud: int | None
    answer: HeadAnswer


class Strange(msgspec.Struct, frozen=True, kw_only=True):
    """Something answers, in another protocol or at another speed. `hex` is how it begins."""

    baud: int | None
    bytes: int
    hex: str


class PortSearch(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one port. `strange` is told only where no head was found."""

    port: str
    state: PortState
    why: str | None = None
    heads: tuple[FoundHead, ...] = ()
    strange: tuple[Strange, ...] = ()


def search_port(
    port: str,
    wanted: Wanted,
    stop: threading.Event,
    clock_s: Callable[[], float] = monotonic,
) -> PortSearch:
    """Ask everybody on one line. Once `stop` is set nothing more is asked."""
    over_tcp = port.startswith("socket://")
    how = Condition(state="free") if over_tcp else condition(port)
    if how.state != "free":
        return PortSearch(port=port, state=how.state, why=how.why)
    strange: list[Strange] = []
    for baud in wanted.baud[:1] if over_tcp else wanted.baud:
        line = _Line(SerialSettings(port=port, baud=baud), wanted.answer_s, stop, clock_s)
        try:
            line.open()
            answers = _asked(line, wanted)
        except DriverError as error:
            return PortSearch(port=port, state=_state(error), why=_short(error, port))
        finally:
            line.close()
        told_baud = None if over_tcp else baud
        if answers:
            heads = tuple(FoundHead(port=port, baud=told_baud, answer=one) for one in answers)
            return PortSearch(port=port, state="free", heads=heads)
        if line.heard:
            begin = bytes(line.heard[:SHOWN_BYTES]).hex(" ")
            strange.append(Strange(baud=told_baud, bytes=len(line.heard), hex=begin))
    return PortSearch(port=port, state="free", strange=tuple(strange))


class _Line:
    """One line at one speed. `heard` is all that came and was no echo."""

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
        self.heard = bytearray()

    def open(self) -> None:
        self._port.open()

    def close(self) -> None:
        self._port.close()

    def ask(self, question: bytes, enough: Callable[[bytes], bool]) -> bytes:
        """What is heard after a question, until it is enough or nothing more is to be expected."""
        if self._stop.is_set():
            return b""
        if self._ready(0):
            self._hear(self._port.read())
        self._port.write(question)
        size = len(question) + questions.LONGEST_ANSWER_BYTES
        until_s = self._clock_s() + self._settings.line_time_s(size) + self._answer_s
        heard = bytearray()
        while len(heard) < MOST_HEARD_BYTES:
            left_s = until_s - self._clock_s()
            if left_s <= 0:
                break
            if self._ready(left_s):
                heard += self._port.read()
                if enough(questions.without_echo(bytes(heard), question)):
                    break
        answer = questions.without_echo(bytes(heard), question)
        self._hear(answer)
        return answer

    def _ready(self, timeout_s: float) -> bool:
        return bool(select.select([self._port.fileno()], [], [], timeout_s)[0])

    def _hear(self, data: bytes) -> None:
        self.heard += data[: MOST_HEARD_BYTES - len(self.heard)]


def _asked(line: _Line, wanted: Wanted) -> Sequence[HeadAnswer]:
    """Everybody at this speed."""
    found: list[HeadAnswer] = []
    if "visca" in wanted.drivers:
        found += _visca(line, wanted.addresses)
    if "pelco_d" in wanted.drivers:
        for address in wanted.addresses:
            head = _pelco(line, address)
            if head is not None:
                found.append(head)
    return found


def _visca(line: _Line, addresses: Sequence[int]) -> Sequence[HeadAnswer]:
    """The cameras of a chain, or those that stand alone and do not know the broadcast."""
    heard = line.ask(visca.ADDRESS_SET, lambda data: questions.numbered(data) is not None)
    count = questions.numbered(heard)
    asked = range(1, count + 1) if count else addresses
    found = []
    for address in asked:
        if address not in questions.VISCA_ADDRESSES:
            continue
        place = _inquire(line, address, visca.pan_tilt_inquiry(address))
        if place is not None:
            version = _inquire(line, address, questions.version_inquiry(address))
            found.append(questions.visca_head(address, place, version))
    return found


def _inquire(line: _Line, address: int, inquiry: bytes) -> bytes | Refused | None:
    heard = line.ask(inquiry, lambda data: questions.visca_answer(address, data) is not None)
    return questions.visca_answer(address, heard)


def _pelco(line: _Line, address: int) -> HeadAnswer | None:
    """One head of Pelco-D: it says where it is, or at least that it heard."""
    question = questions.pelco_query(address, "pan")
    heard = line.ask(
        question, lambda data: questions.pelco_counts(address, "pan", data) is not None
    )
    pan = questions.pelco_counts(address, "pan", heard)
    if pan is None:
        taken = questions.is_receipt(address, question, heard)
        return HeadAnswer(driver="pelco_d", address=address, tells_place=False) if taken else None
    heard = line.ask(
        questions.pelco_query(address, "tilt"),
        lambda data: questions.pelco_counts(address, "tilt", data) is not None,
    )
    tilt = questions.pelco_counts(address, "tilt", heard)
    return HeadAnswer(
        driver="pelco_d",
        address=address,
        tells_place=tilt is not None,
        pan_counts=pan,
        tilt_counts=tilt,
    )


def _state(error: DriverError) -> PortState:
    """A port's condition out of what opening it, or using it, brought."""
    if error.kind in ("busy", "absent", "timeout"):
        return error.kind
    return "denied" if isinstance(error.__cause__, PermissionError) else "unsupported"


def _short(error: DriverError, port: str) -> str:
    return str(error).removeprefix(f"port {port!r}: ")
