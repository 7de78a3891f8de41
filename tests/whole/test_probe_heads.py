"""`vigie probe --heads` with simulated heads on pseudo-terminals and behind TCP."""

import itertools
import json
import os
import select
import socket
import termios
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import serial

from agent.__main__ import main
from drivers import head_search
from drivers.head_search import SearchOptions, search_port
from simulation.heads.head_simulator import HeadSimulator
from simulation.heads.pelco_device import PelcoDevice
from simulation.heads.pty_serial_line import PtySerialLine, SimulatedDevice
from simulation.heads.visca_device import ViscaCameraChain
from tests.conftest import ManualClock
from tests.contracts.heads import MECHANICS, VISCA_SPECS
from tests.loopback_server import LoopbackServer

Captured = dict[str, Any]


class Bench:
    """Lines with heads, and the bodies that know whether they were moved."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.clock = ManualClock()
        self.bodies: list[HeadSimulator] = []
        self.lines: list[PtySerialLine] = []
        self.read_time_s: Callable[[], float] = monotonic

    def clock_s(self) -> float:
        """Return the time of a search, once the heads have answered what was sent."""
        assert all(line.wait_until_idle(60) for line in self.lines)
        return self.read_time_s()

    def body(self) -> HeadSimulator:
        self.bodies.append(HeadSimulator(MECHANICS, self.clock.now_ns))
        return self.bodies[-1]

    def line(self, name: str, sides: Sequence[SimulatedDevice]) -> str:
        head = PtySerialLine(self._folder / name, sides, self.clock.boottime_ns)
        self._stack.callback(head.close)
        self.lines.append(head)
        return str(head.link)

    def moved(self) -> bool:
        self.clock.advance_s(10)
        states = [body.state_at(self.clock.now_ns) for body in self.bodies]
        return any(one.moving or one.pan_deg or one.tilt_deg or one.zoom for one in states)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with ExitStack() as stack:
        bench = Bench(tmp_path, stack)
        monkeypatch.setattr(head_search, "search_port", partial(search_port, clock_s=bench.clock_s))
        yield bench
        assert not bench.moved()


@pytest.fixture
def vigie(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The command, which succeeds, and its output."""

    def run(*arguments: str) -> str:
        assert main(["probe", *arguments]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def lines_of(vigie: Callable[..., str]) -> Callable[..., list[Captured]]:
    """Return a function that probes serial lines and returns the results."""

    def ask(*ports: str, baud: str = "9600", addresses: str = "1-3") -> list[Captured]:
        named = [word for port in ports for word in ("--port", port)]
        requested = ("--heads", *named, "--baud", baud, "--addresses", addresses, "--json")
        found: list[Captured] = json.loads(vigie(*requested))["heads"]["found"]
        return found

    return ask


def heads(line: Captured) -> list[tuple[str, int]]:
    return [(head["answer"]["driver"], head["answer"]["address"]) for head in line["heads"]]


class At:
    """A head that listens at one baud rate; at any other it receives noise, and answers noise."""

    def __init__(self, side: SimulatedDevice, speed: int) -> None:
        self._side, self._speed = side, speed
        self.port: str | None = None

    @property
    def has_pending_output(self) -> bool:
        return False

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        if not data or self.port is None:
            return b""
        terminal = os.open(self.port, os.O_RDWR | os.O_NOCTTY)
        try:
            hears = termios.tcgetattr(terminal)[4] == self._speed
        finally:
            os.close(terminal)
        return self._side.exchange(data, t_ns) if hears else b"\x9a\xc3"


class Says:
    """Answers to the frames that it knows, and to nothing else."""

    def __init__(self, answers: dict[str, str]) -> None:
        self._answers = {bytes.fromhex(q): bytes.fromhex(a) for q, a in answers.items()}
        self.has_pending_output = False

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        return self._answers.get(data, b"")


def test_pelco_heads_are_found_by_their_addresses(
    bench: Bench, lines_of: Callable[..., list[Captured]]
) -> None:
    port = bench.line(
        "bus",
        [
            PelcoDevice(bench.body(), "D", 1),
            PelcoDevice(bench.body(), "D", 3, general_replies=True),
        ],
    )
    (line,) = lines_of(port)
    assert (line["state"], heads(line)) == ("free", [("pelco_d", 1), ("pelco_d", 3)])
    answer = line["heads"][0]["answer"]
    assert (answer["reports_position"], answer["pan_counts"], answer["tilt_counts"]) == (True, 0, 0)


def test_a_head_on_an_echoing_line_is_found(
    bench: Bench, lines_of: Callable[..., list[Captured]]
) -> None:
    port = bench.line("two-wire", [PelcoDevice(bench.body(), "D", 2, echoes=True)])
    (line,) = lines_of(port)
    assert heads(line) == [("pelco_d", 2)]
    (alone,) = lines_of(port, addresses="1")
    assert (alone["heads"], alone["unknown_traffic"]) == ([], []), "its echo is not a head"


def test_a_visca_chain_is_numbered_and_found(
    bench: Bench, lines_of: Callable[..., list[Captured]]
) -> None:
    chain = ViscaCameraChain([bench.body(), bench.body()], VISCA_SPECS)
    (line,) = lines_of(bench.line("chain", [chain]), addresses="9")
    assert heads(line) == [("visca", 1), ("visca", 2)]


def test_a_camera_without_broadcast_is_queried_by_its_address(
    bench: Bench, lines_of: Callable[..., list[Captured]]
) -> None:
    camera = Says(
        {
            "82 09 06 12 FF": "A0 50 0F 0E 06 00 00 00 0C 08 FF",
            "82 09 00 02 FF": "A0 50 00 20 04 0E 01 00 02 FF",
        }
    )
    (line,) = lines_of(bench.line("camera", [camera]))
    assert heads(line) == [("visca", 2)]
    answer = line["heads"][0]["answer"]
    assert (answer["pan_counts"], answer["vendor_id"], answer["model_id"]) == (-416, 32, 1038)


GENERAL_RESPONSE = {"FF 02 00 51 00 00 53": "FF 02 00 53"}


def test_a_head_with_general_responses_only_is_found_without_a_position(
    bench: Bench, lines_of: Callable[..., list[Captured]]
) -> None:
    port = bench.line("old", [Says(GENERAL_RESPONSE)])
    (line,) = lines_of(port)
    assert heads(line) == [("pelco_d", 2)]
    assert line["heads"][0]["answer"]["reports_position"] is False


def test_an_answer_that_the_search_has_no_processor_to_read_in_time_is_found(bench: Bench) -> None:
    port = bench.line("old", [Says(GENERAL_RESPONSE)])
    times_s = itertools.count(0.0, 10.0)
    terminal = os.open(port, os.O_RDWR | os.O_NOCTTY)

    def clock_s() -> float:
        """At the second call the time for the answer is over, and the answer has come."""
        time_s = next(times_s)
        if time_s == 10:
            assert select.select([terminal], [], [], 60)[0]
        return time_s

    wanted = SearchOptions(drivers=("pelco_d",), baud=(9600,), addresses=(2,))
    (head,) = search_port(port, wanted, threading.Event(), clock_s).heads
    os.close(terminal)
    assert head.answer.address == 2


def test_the_baud_rate_at_which_a_head_answers_is_reported(
    bench: Bench, lines_of: Callable[..., list[Captured]], vigie: Callable[..., str]
) -> None:
    side = At(PelcoDevice(bench.body(), "D", 1), termios.B2400)
    side.port = port = bench.line("slow", [side])
    (line,) = lines_of(port, baud="9600,2400,4800")
    assert [head["baud"] for head in line["heads"]] == [2400]
    (strange,) = lines_of(port, baud="9600")
    assert strange["heads"] == []
    assert strange["unknown_traffic"][0]["baud"] == 9600
    assert strange["unknown_traffic"][0]["first_bytes_hex"].startswith("9a c3")
    message = vigie("--heads", "--port", port, "--baud", "9600", "--addresses", "1")
    assert f"{port}: an answer in another protocol or at another baud rate" in message


def test_silent_and_unusable_lines_are_reported(
    bench: Bench, vigie: Callable[..., str], tmp_path: Path
) -> None:
    silent, held = bench.line("silent", []), bench.line("held", [])
    absent = str(tmp_path / "unplugged")
    ports = [word for port in (silent, held, absent, "/dev/null") for word in ("--port", port)]
    with serial.Serial(held, exclusive=True):
        message = vigie("--heads", *ports, "--baud", "9600", "--addresses", "1")
    assert "heads: nothing found" in message
    assert f"{silent}: no answer" in message
    assert f"{held}: busy: another program has it" in message
    assert f"{absent}: absent: no such device" in message
    assert "/dev/null: unsupported: is no serial port" in message
    assert "Pelco-P: no query that its makers agree on" in message


def test_a_cancelled_search_sends_no_more_queries(bench: Bench) -> None:
    stop = threading.Event()

    class Interrupts:
        has_pending_output = False
        received = b""

        def exchange(self, data: bytes, t_ns: int) -> bytes:
            self.received += data
            stop.set()
            return b""

    far = Interrupts()
    found = search_port(bench.line("line", [far]), SearchOptions(), stop, bench.clock_s)
    assert (found.heads, far.received) == ((), bytes.fromhex("88 30 01 FF"))


def serial_server(side: SimulatedDevice, bench: Bench, answer_count: int) -> LoopbackServer:
    """A head behind a serial port server. The time of a search begins with its last answer."""
    answers: list[bytes] = []

    def serve(peer: socket.socket) -> None:
        while data := peer.recv(4096):
            answer = side.exchange(data, bench.clock.now_ns)
            peer.sendall(answer)
            answers.append(answer)

    bench.read_time_s = lambda: monotonic() if len(answers) >= answer_count else 0.0
    return LoopbackServer(serve)


def test_heads_behind_a_serial_port_server_have_no_local_baud_rate(
    bench: Bench, lines_of: Callable[..., list[Captured]]
) -> None:
    with serial_server(ViscaCameraChain([bench.body()], VISCA_SPECS), bench, 3) as server:
        (line,) = lines_of(f"socket://127.0.0.1:{server.port}", baud="9600,2400")
    assert heads(line) == [("visca", 1)]
    assert line["heads"][0]["baud"] is None
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = f"socket://127.0.0.1:{gone.getsockname()[1]}"
    (line,) = lines_of(closed)
    assert (line["state"], line["heads"]) == ("absent", [])


def test_the_snippet_names_the_port_and_the_baud_rate(
    bench: Bench, vigie: Callable[..., str]
) -> None:
    port = bench.line("bus", [PelcoDevice(bench.body(), "D", 1)])
    requested = ("--heads", "--port", port, "--baud", "2400", "--addresses", "1", "--toml")
    (head,) = tomllib.loads(vigie(*requested))["head"]
    assert head["driver"] == "pelco_d"
    assert head["options"] == {"port": port, "baud": 2400, "address": 1, "position": "query"}
