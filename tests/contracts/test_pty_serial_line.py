"""simulation.heads.pty_serial_line: transmission, loss, unplugging and plugging in."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from simulation.heads.pty_serial_line import NO_NOISE, LineNoise, PtySerialLine


class Parrot:
    """Echoes its input under its own name, and once sends unrequested output."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.received = b""
        self.has_pending_output = False

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        self.received += data
        if self.has_pending_output:
            self.has_pending_output = False
            return b"by itself"
        return self.name + data if data else b""


@pytest.fixture
def birds() -> tuple[Parrot, Parrot]:
    return Parrot(b"a"), Parrot(b"b")


@pytest.fixture
def line(tmp_path: Path, birds: tuple[Parrot, Parrot]) -> Iterator[PtySerialLine]:
    line = PtySerialLine(tmp_path / "by-id", birds, lambda: 0)
    yield line
    line.close()


def test_all_bytes_arrive_at_every_head_and_all_answers_come_back(
    line: PtySerialLine, birds: tuple[Parrot, Parrot]
) -> None:
    every = bytes(range(256))
    with serial.Serial(str(line.link), timeout=60, exclusive=True) as port:
        port.write(every)
        assert port.read(514) == b"a" + every + b"b" + every
    assert [bird.received for bird in birds] == [every, every]


def test_a_head_sends_its_pending_output(line: PtySerialLine, birds: tuple[Parrot, Parrot]) -> None:
    with serial.Serial(str(line.link), timeout=60) as port:
        birds[0].has_pending_output = True
        port.write(b"1")
        assert port.read(11) == b"by itselfb1"


def test_an_unplugged_adapter_returns_under_the_same_path(line: PtySerialLine) -> None:
    with serial.Serial(str(line.link), timeout=60) as port:
        line.unplug()
        with pytest.raises(serial.SerialException):
            port.read(1)
    with pytest.raises(serial.SerialException):
        serial.Serial(str(line.link))
    line.plug_in()
    with serial.Serial(str(line.link), timeout=60) as port:
        port.write(b"2")
        assert port.read(4) == b"a2b2"


def test_unplugged_lines_leave_nothing_open(line: PtySerialLine) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would hold them open

    before = open_files()
    for _ in range(20):
        line.unplug()
        line.plug_in()
    assert open_files() == before


def test_a_muted_line_receives_and_does_not_answer(
    line: PtySerialLine, birds: tuple[Parrot, Parrot]
) -> None:
    with serial.Serial(str(line.link), timeout=60) as port:
        line.set_muted(on=True)
        port.write(b"3")
        port.timeout = 0.05
        assert port.read(1) == b""
        line.set_muted(on=False)
        port.timeout = 10
        port.write(b"4")
        assert port.read(4) == b"a4b4"
    assert birds[0].received == b"34"


def test_a_host_that_does_not_read_blocks_no_head(
    line: PtySerialLine, birds: tuple[Parrot, Parrot]
) -> None:
    with serial.Serial(str(line.link), timeout=60, write_timeout=60) as port:
        for _ in range(100):
            port.write(bytes(1000))
        port.write(b"end")
        while not birds[1].received.endswith(b"end"):
            port.read(1)
    assert len(birds[0].received) == 100_003


@pytest.mark.parametrize(
    ("noise", "least", "most"),
    [
        (NO_NOISE, 10_000, 10_000),
        (LineNoise(drop=0.1), 8_800, 9_200),
        (LineNoise(repeat=0.1), 10_800, 11_200),
        (LineNoise(flip=0.1), 10_000, 10_000),
    ],
)
def test_noise_is_random_and_reproducible(noise: LineNoise, least: int, most: int) -> None:
    sent = bytes(10_000)
    arrived = noise.apply(sent, random.Random(3))
    assert least <= len(arrived) <= most
    assert arrived == noise.apply(sent, random.Random(3))
    damaged = sum(byte != 0 for byte in arrived)
    assert (800 < damaged < 1200) == (noise.flip > 0)
    assert all(byte.bit_count() <= 1 for byte in arrived)
