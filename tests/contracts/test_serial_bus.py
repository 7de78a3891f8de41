"""drivers.serial_bus over pseudo-terminals and TCP: sharing, order, stops, answers, noise, re-plugging."""

import os
import socket
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from drivers.errors import DriverError
from drivers.serial_bus import BUSES, BusClient
from drivers.serial_port import SerialPort, SerialSettings
from drivers.serial_worker import MAX_MESSAGE_GAP_S, MAX_QUEUED_JOBS

PATIENCE_S = 60.0


class Lines:
    """A protocol of lines: what ends with a line feed is a message, and `#` is noise."""

    def __init__(self) -> None:
        self._kept = b""
        self.noise_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        self.noise_bytes += data.count(b"#")
        *lines, self._kept = (self._kept + data.replace(b"#", b"")).split(b"\n")
        return lines

    def flush(self) -> None:
        self.noise_bytes += len(self._kept)
        self._kept = b""


class Terminal:
    """The far end of a port: what arrives there, one frame of four bytes after the other."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.plug()

    def plug(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.port = os.ttyname(slave)
        # One end stays open, so that bytes written without a reader are kept.
        self._slave = slave
        self.link.symlink_to(self.port)

    def pull(self) -> None:
        self.link.unlink()
        os.close(self.master)
        os.close(self._slave)

    def frame(self) -> bytes:
        data = b""
        while len(data) < 4:
            data += os.read(self.master, 4 - len(data))
        return data

    def frames(self, count: int) -> list[bytes]:
        return [self.frame() for _ in range(count)]

    def write(self, data: bytes) -> None:
        os.write(self.master, data)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path / "adapter")
    yield made
    made.pull()


OpenClient = Callable[..., BusClient[bytes]]


@pytest.fixture
def open_client(terminal: Terminal) -> Iterator[OpenClient]:
    """Take a seat on the terminal's bus, until the test ends."""
    seats = []

    def seated(head: str = "a", *, path: Path | None = None, **how: object) -> BusClient[bytes]:
        settings = {name: how.pop(name) for name in ("baud", "rs485", "rs485_pin") if name in how}
        line = SerialSettings(port=str(path or terminal.link), **{"baud": 115200, **settings})  # type: ignore[arg-type]
        seats.append(BUSES.attach(head, line, Lines(), **how))  # type: ignore[arg-type]
        return seats[-1]

    yield seated
    for seat in seats:
        seat.close()
    assert BUSES.health() == ()


def anything(message: bytes) -> bytes:
    return message


class Call(threading.Thread):
    """A call in a thread of its own, and how it ended."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work = work
        self.result: object = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._work()
        except DriverError as error:
            self.result = error

    def ended(self) -> object:
        self.join(PATIENCE_S)
        assert not self.is_alive()
        return self.result


def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    tick = threading.Event()
    for _ in range(10_000):
        if true():
            return
        tick.wait(0.001)
    pytest.fail("it never came true")


def waiting() -> int:
    """How many orders and questions are in the queue."""
    (bus,) = BUSES._workers
    return len(bus._job_queue)


def stops_waiting() -> int:
    (bus,) = BUSES._workers
    return len(bus._stop_queue)


def fails(kind: str, expected_message: str, work: Callable[[], object]) -> None:
    with pytest.raises(DriverError, match=expected_message) as caught:
        work()
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value)


def test_two_heads_share_one_port_and_their_frames_are_sent_in_order(
    terminal: Terminal, open_client: OpenClient
) -> None:
    # One of them names the device, the other a link to it.
    first, second = open_client("a"), open_client("b", path=Path(terminal.port))
    for number in range(5):
        first.send(b"a00%d" % number)
        second.send(b"b00%d" % number)
    assert terminal.frames(10) == [b"%c00%d" % (name, n) for n in range(5) for name in b"ab"]
    (health,) = BUSES.health()
    assert health.heads == ("a", "b")
    assert (health.frames_sent, health.open_count, health.is_open) == (10, 1, True)


def test_heads_on_one_line_must_have_equal_settings(open_client: OpenClient) -> None:
    open_client("a", baud=2400)
    fails(
        "unsupported",
        r"'b': port .*: baud = 9600, and 2400 for a",
        lambda: open_client("b", baud=9600),
    )


def test_a_port_is_busy_for_other_programs_until_its_last_head_is_closed(
    terminal: Terminal, open_client: OpenClient
) -> None:
    other = SerialPort(SerialSettings(port=terminal.port))
    first, second = open_client("a"), open_client("b")
    fails("busy", "another program has it", other.open)
    first.close()
    fails("busy", "another program has it", other.open)
    second.close()
    other.open()
    fails("busy", "'c': port .*another program has it", lambda: open_client("c"))
    other.close()
    open_client("c").send(b"c000")


@pytest.mark.parametrize(
    ("port", "kind", "expected_message"),
    [
        ("/dev/vigie-none", "absent", "no such device"),
        ("/dev/null", "unsupported", "no serial port"),
        ("/etc/passwd", "unsupported", "no serial port"),
        ("socket://127.0.0.1:1", "absent", "refused"),
    ],
)
def test_an_unusable_port_is_reported_in_one_line(
    port: str, kind: str, expected_message: str
) -> None:
    line = SerialSettings(port=port)
    fails(
        kind, f"'a': port '{port}': .*{expected_message}", lambda: BUSES.attach("a", line, Lines())
    )
    assert BUSES.health() == ()


def test_a_port_without_permission_is_reported(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    # The tests may run as root, which nothing is denied to: the kernel's refusal is simulated.
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("serial.serialposix.os.open", denied)
    port = SerialPort(SerialSettings(port=terminal.port))
    fails("unsupported", "denied to this user; members of the group dialout", port.open)


def test_parity_that_the_port_cannot_do_is_unsupported(terminal: Terminal) -> None:
    # A pseudo-terminal refuses parity where nothing else is new, with an error that is no OSError.
    plain = SerialPort(SerialSettings(port=terminal.port))
    plain.open()
    plain.close()
    port = SerialPort(SerialSettings(port=terminal.port, parity="even"))
    fails("unsupported", "parity = 'even'", port.open)


def test_rs485_without_kernel_support_is_unsupported(open_client: OpenClient) -> None:
    fails(
        "unsupported",
        "no RS-485: set rs485 to 'off' or to 'gpio'",
        lambda: open_client(rs485="kernel"),
    )


class Pin:
    """The pin that enables the transmitter, and its recorded levels."""

    def __init__(self, reported: list[str]) -> None:
        self._reported = reported

    def on(self) -> None:
        self._reported.append("on")

    def off(self) -> None:
        self._reported.append("off")

    def close(self) -> None:
        self._reported.append("close")


def test_a_pin_turns_the_transmitter_on_for_each_frame_and_off_when_the_port_is_lost(
    terminal: Terminal, open_client: OpenClient
) -> None:
    reported: list[str] = []
    pins: list[int] = []

    def pin(number: int) -> Pin:
        pins.append(number)
        return Pin(reported)

    seat = open_client(rs485="gpio", rs485_pin=18, open_port=lambda line: SerialPort(line, pin))
    seat.send(b"a000")
    seat.send(b"a001")
    assert terminal.frames(2) == [b"a000", b"a001"]
    assert (pins, reported) == ([18], ["on", "off"] * 2)
    terminal.pull()
    fails("absent", "was lost", lambda: seat.send(b"a002"))
    assert reported[-1] == "close"
    terminal.plug()
    seat.send(b"a003")
    assert pins == [18, 18]
    seat.close()
    assert reported[-1] == "close"


def test_a_stop_overtakes_queued_jobs_and_cancels_its_heads_motions(
    terminal: Terminal, open_client: OpenClient
) -> None:
    first, second = open_client("a"), open_client("b")
    asking = Call(lambda: first.query(b"a??\n", anything, timeout_s=60))
    assert terminal.frame() == b"a??\n"
    calls = [
        Call(lambda: second.move(b"b>>\n")),
        Call(lambda: first.move(b"a>>\n", b"a>2\n")),
        Call(lambda: first.send(b"aSET")),
    ]
    until(lambda: waiting() == 4)
    stop = Call(lambda: first.stop(b"a!!\n"))
    until(lambda: stops_waiting() == 1)
    terminal.write(b"a=1\n")
    assert asking.ended() == b"a=1"
    assert terminal.frame() == b"a!!\n"
    assert stop.ended() is None
    assert sorted(terminal.frames(2)) == [b"aSET", b"b>>\n"]
    assert [call.ended() for call in calls] == [None] * 3
    first.send(b"aEND")
    assert terminal.frame() == b"aEND"


def test_a_stop_is_sent_between_two_tries_of_a_query(
    terminal: Terminal, open_client: OpenClient
) -> None:
    first, second = open_client("a"), open_client("b")
    asking = Call(lambda: first.query(b"a??\n", anything, timeout_s=0.5, attempts=3))
    assert terminal.frame() == b"a??\n"
    Call(lambda: second.stop(b"b!!\n")).ended()
    assert terminal.frames(3) == [b"b!!\n", b"a??\n", b"a??\n"]
    error = asking.ended()
    assert isinstance(error, DriverError)
    assert error.kind == "timeout"
    assert str(error) == "head 'a': does not answer within 0.5 s"
    assert BUSES.health()[0].unanswered == 1


def test_a_newer_motion_replaces_a_queued_one(terminal: Terminal, open_client: OpenClient) -> None:
    first, second = open_client("a"), open_client("b")
    asking = Call(lambda: second.query(b"b??\n", anything, timeout_s=60))
    assert terminal.frame() == b"b??\n"
    old = Call(lambda: first.move(b"a>1\n"))
    until(lambda: waiting() == 2)
    new = Call(lambda: first.move(b"a>2\n"))
    assert old.ended() is None
    terminal.write(b"b=1\n")
    assert asking.ended() == b"b=1"
    assert new.ended() is None
    assert terminal.frame() == b"a>2\n"


def test_a_head_is_notified_of_its_motions_in_sending_order(
    terminal: Terminal, open_client: OpenClient
) -> None:
    seat, reported = open_client(), list[str]()
    calls = [
        *[
            Call(lambda: seat.move(b"a>>\n", on_sent=lambda: reported.append("move")))
            for _ in range(8)
        ],
        Call(lambda: seat.stop(b"a!!\n", b"a!!\n", on_sent=lambda: reported.append("stop"))),
    ]
    assert [call.ended() for call in calls] == [None] * 9
    seat.send(b"aEND")
    went = []
    while (frame := terminal.frame()) != b"aEND":
        went.append({b"a>>\n": "move", b"a!!\n": "stop"}[frame])
    stop = went.index("stop")
    assert went[stop + 1] == "stop"
    assert reported == went[: stop + 1] + went[stop + 2 :]


def test_an_answer_is_distinguished_from_other_frames_and_noise_is_counted(
    terminal: Terminal, open_client: OpenClient
) -> None:
    received: list[bytes] = []
    first, second = open_client("a", on_message=received.append), open_client("b")

    def mine(message: bytes) -> bytes | None:
        return message if message.startswith(b"a=") else None

    asking = Call(lambda: first.query(b"a??\n", mine, timeout_s=5))
    assert terminal.frame() == b"a??\n"
    for piece in (b"##b=1\n", b"a=", b"#2", b"\na=3\n"):
        terminal.write(piece)
    assert asking.ended() == b"a=2"
    until(lambda: len(received) == 2)
    assert received == [b"b=1", b"a=3"]
    health = BUSES.health()[0]
    # Three bytes of noise, although two heads received them.
    assert (health.noise_bytes, health.bytes_received) == (3, 15)
    second.close()


def test_an_incomplete_frame_is_dropped_after_a_silence(
    terminal: Terminal, open_client: OpenClient
) -> None:
    received: list[bytes] = []
    open_client(on_message=received.append)
    terminal.write(b"half")
    until(lambda: BUSES.health()[0].bytes_received == 4)
    threading.Event().wait(2 * MAX_MESSAGE_GAP_S)  # a silence takes its time
    terminal.write(b"whole\n")
    until(lambda: received == [b"whole"])
    assert BUSES.health()[0].noise_bytes == 4


def test_jobs_above_the_limit_are_rejected_and_stops_are_not(
    terminal: Terminal, open_client: OpenClient
) -> None:
    seat = open_client()
    asking = Call(lambda: seat.query(b"a??\n", anything, timeout_s=60))
    assert terminal.frame() == b"a??\n"
    orders = [Call(lambda: seat.send(b"a000")) for _ in range(MAX_QUEUED_JOBS - 1)]
    until(lambda: waiting() == MAX_QUEUED_JOBS)
    fails("busy", f"'a': {MAX_QUEUED_JOBS} orders wait", lambda: seat.send(b"a001"))
    stop = Call(lambda: seat.stop(b"a!!\n"))
    until(lambda: stops_waiting() == 1)
    terminal.write(b"a=1\n")
    assert terminal.frame() == b"a!!\n"
    stop.ended()
    assert asking.ended() == b"a=1"
    assert [order.ended() for order in orders] == [None] * len(orders)


def test_frames_keep_their_distance(terminal: Terminal, open_client: OpenClient) -> None:
    # 4 bytes at 2400 baud are 16.7 ms on the line, and 20 ms of silence follow.
    began = monotonic()
    seat = open_client(baud=2400, turnaround_s=0.02)
    for _ in range(6):
        seat.send(b"a000")
    assert monotonic() - began >= 5 * 0.036
    terminal.frames(6)


def test_an_unplugged_adapter_is_absent_until_it_returns_under_its_link(
    terminal: Terminal, open_client: OpenClient
) -> None:
    seat, other = open_client("a"), open_client("b")
    for number in range(3):
        terminal.pull()
        until(lambda: not BUSES.health()[0].is_open)
        fails("absent", "was lost", seat.open)
        for work in (
            seat.open,
            lambda: seat.send(b"a000"),
            lambda: seat.move(b"a000"),
            lambda: other.stop(b"b000"),
            lambda: seat.query(b"a000", anything, timeout_s=1),
        ):
            fails("absent", "no such device", work)
        terminal.plug()
        other.stop(b"b!!%d" % number)
        assert terminal.frame() == b"b!!%d" % number
        assert BUSES.health()[0].open_count == number + 2


def test_each_head_on_a_lost_line_learns_of_it_once_and_a_stop_passes(
    terminal: Terminal, open_client: OpenClient
) -> None:
    seat, other = open_client("a"), open_client("b")
    terminal.pull()
    until(lambda: not BUSES.health()[0].is_open)
    terminal.plug()
    seat.stop(b"a!!\n")
    assert terminal.frame() == b"a!!\n"
    third = open_client("c")
    works = [seat.open, lambda: other.move(b"b000"), lambda: third.send(b"c000")]
    for work in works[:2]:
        fails("absent", "was lost", work)
    for work in works:
        work()
    assert terminal.frames(2) == [b"b000", b"c000"]
    assert BUSES.health()[0].open_count == 2


def test_a_call_that_waits_for_an_answer_fails_when_the_adapter_is_unplugged(
    terminal: Terminal, open_client: OpenClient
) -> None:
    seat = open_client()
    asking = Call(lambda: seat.query(b"a??\n", anything, timeout_s=30))
    assert terminal.frame() == b"a??\n"
    terminal.pull()
    error = asking.ended()
    assert isinstance(error, DriverError)
    assert error.kind == "absent"
    terminal.plug()


def test_a_blocked_line_times_out_and_its_queue_is_dropped(
    terminal: Terminal, open_client: OpenClient
) -> None:
    seat = open_client(baud=1_000_000)
    # The far end does not read: the kernel's buffer fills up.
    fails("timeout", "takes no more bytes", lambda: seat.send(bytes(1_000_000)))
    os.set_blocking(terminal.master, False)
    while True:
        try:
            os.read(terminal.master, 65536)
        except BlockingIOError:
            break
    os.set_blocking(terminal.master, True)
    fails("absent", "was lost", lambda: seat.send(b"a000"))
    seat.send(b"a000")
    assert terminal.frame()[-4:] == b"a000"


def test_a_closed_bus_client_raises_closed_and_leaks_nothing(open_client: OpenClient) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would hold them open

    before = open_files(), threading.active_count()
    for _ in range(10):
        first, second = open_client("a"), open_client("b")
        first.close()
        first.close()
        fails("closed", "'a': closed", lambda first=first: first.send(b"a000"))  # type: ignore[misc]
        second.send(b"b000")
        second.close()
        fails("closed", "'b': closed", lambda second=second: second.stop(b"b000"))  # type: ignore[misc]
    assert (open_files(), threading.active_count()) == before


def test_closing_a_bus_client_cancels_its_jobs(terminal: Terminal, open_client: OpenClient) -> None:
    first, second = open_client("a"), open_client("b")
    asking = Call(lambda: second.query(b"b??\n", anything, timeout_s=60))
    assert terminal.frame() == b"b??\n"
    waits = Call(lambda: first.send(b"a000"))
    until(lambda: waiting() == 2)
    first.close()
    error = waits.ended()
    assert isinstance(error, DriverError)
    assert (error.kind, str(error)) == ("closed", "head 'a': closed")
    terminal.write(b"b=1\n")
    assert asking.ended() == b"b=1"


def test_a_line_over_tcp_answers_is_lost_and_comes_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = SerialSettings(port=f"socket://127.0.0.1:{server.getsockname()[1]}", baud=115200)
        seat = BUSES.attach("a", line, Lines())
        try:
            for turn in range(2):
                link, _ = server.accept()
                with link:
                    asking = Call(lambda: seat.query(b"a??\n", anything, timeout_s=5))
                    assert link.recv(4, socket.MSG_WAITALL) == b"a??\n"
                    link.sendall(b"a=%d\n" % turn)
                    assert asking.ended() == b"a=%d" % turn
                until(lambda: not BUSES.health()[0].is_open)
                fails("absent", "was lost", seat.open)
                seat.open()
            server.accept()[0].close()
        finally:
            seat.close()


def test_an_idle_line_over_tcp_returns_no_bytes_and_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = SerialPort(
            SerialSettings(port=f"socket://127.0.0.1:{server.getsockname()[1]}", baud=9600)
        )
        line.open()
        link, _ = server.accept()
        with link:
            assert line.read() == b""
            assert line.is_open
            line.write(b"a??\n")
            assert link.recv(4, socket.MSG_WAITALL) == b"a??\n"
        line.close()
