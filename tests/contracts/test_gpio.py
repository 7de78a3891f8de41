"""drivers.contracts.Gpio: every driver of pins keeps this contract, word for word.

Two pins are joined by a wire, so that what an output does comes back as an input's edge. With
`--hardware gpio.gpio` the same suite runs on a board, with a jumper between BCM 22 and BCM 27 (pins 15
and 13 of the header).
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gpiozero
import msgspec
import pytest
from gpiozero.pins.mock import MockConnectedPin

from drivers.catalog import driver_names, load_gpio_driver
from drivers.contracts import Gpio, GpioEdge, GpioLine
from drivers.edge_queue import MAX_EDGES
from drivers.errors import DriverError
from simulation.gpio import fake
from tests.conftest import hardware_options

IN, OUT = 22, 27
PATIENCE_S = 60.0

Level = Callable[[int], bool]


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Board(msgspec.Struct, frozen=True):
    """A driver, and the board's far end if the driver has one."""

    driver: str
    level: Level | None
    options: dict[str, Any] = {}

    def open(self, *lines: GpioLine) -> Gpio:
        module = load_gpio_driver(self.driver)
        return module.open_gpio(msgspec.convert(self.options, module.Options), lines, boottime_ns)


def mock_board(monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    gpiozero.Device.ensure_pin_factory()
    factory = gpiozero.Device.pin_factory
    factory.pin(OUT, pin_class=MockConnectedPin, input_pin=factory.pin(IN))
    yield Board("gpio", lambda pin: bool(factory.pin(pin).state))
    factory.reset()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "board" in metafunc.fixturenames:
        real = [f"real {driver}" for driver in hardware_options(metafunc.config, "gpio")]
        metafunc.parametrize("board", ["fake", "mock", *real], indirect=True)


@pytest.fixture
def board(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    if request.param == "fake":
        chip = fake.fake_chip(request.node.name)
        chip.connect(OUT, IN)
        yield Board("fake", chip.read_level, {"chip": request.node.name})
    elif request.param == "mock":
        yield from mock_board(monkeypatch)
    else:
        driver = request.param.removeprefix("real ")
        yield Board(driver, None, hardware_options(request.config, "gpio")[driver])


def contact(**more: Any) -> GpioLine:
    return GpioLine(name="contact", pin=IN, direction="in", **more)


def relay(**more: Any) -> GpioLine:
    return GpioLine(name="relay", pin=OUT, direction="out", **more)


@pytest.fixture
def pins(board: Board) -> Iterator[Gpio]:
    opened = board.open(relay(), contact())
    yield opened
    opened.close()


def test_the_suite_runs_over_every_driver_there_is() -> None:
    assert set(driver_names("gpio")) == {"fake", "gpio"}


def test_an_output_is_inactive_from_the_moment_it_is_open(pins: Gpio) -> None:
    assert not pins.is_active("relay")
    assert not pins.is_active("contact")


def test_a_driven_output_keeps_its_level_at_the_other_end(pins: Gpio) -> None:
    for active in (True, True, False, True):
        pins.set_output("relay", active=active)
        assert pins.is_active("relay") == active
        assert pins.is_active("contact") == active


def test_a_change_of_an_input_is_one_edge_with_its_time(pins: Gpio) -> None:
    before_ns = boottime_ns()
    pins.set_output("relay", active=True)
    pins.set_output("relay", active=True)
    pins.set_output("relay", active=False)
    first, second = (pins.read_edge(PATIENCE_S) for _ in range(2))
    assert isinstance(first, GpioEdge)
    assert isinstance(second, GpioEdge)
    assert (first.name, first.active, second.active) == ("contact", True, False)
    assert before_ns <= first.t_ns <= second.t_ns <= boottime_ns()
    assert pins.read_edge(0) is None


@pytest.mark.parametrize("in_low", [False, True])
@pytest.mark.parametrize("out_low", [False, True])
@pytest.mark.parametrize("pull", ["up", "down", "none"])
def test_active_follows_the_lines_configuration_at_any_pull(
    board: Board, pull: Any, in_low: bool, out_low: bool
) -> None:
    pins = board.open(relay(active_low=out_low), contact(active_low=in_low, pull=pull))
    try:
        # The mock's pull is stronger than its wire, until the output is written to.
        pins.set_output("relay", active=False)
        while pins.read_edge(0):
            pass
        for active in (True, False):
            pins.set_output("relay", active=active)
            high = active != out_low
            assert pins.is_active("contact") == (high != in_low)
            edge = pins.read_edge(PATIENCE_S)
            assert edge is not None
            assert edge.active == (high != in_low)
            if board.level is not None:
                assert board.level(OUT) == high
    finally:
        pins.close()


def test_a_wait_ends_in_time_with_none(pins: Gpio) -> None:
    assert pins.read_edge(0.01) is None


def test_a_waiting_thread_is_woken(pins: Gpio) -> None:
    ended = threading.Event()

    def wait() -> None:
        assert pins.read_edge(PATIENCE_S * 10) is None
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    pins.wake()
    assert ended.wait(PATIENCE_S)
    thread.join()


def test_a_wake_before_the_wait_counts_once(pins: Gpio) -> None:
    pins.wake()
    assert pins.read_edge(PATIENCE_S * 10) is None
    pins.set_output("relay", active=True)
    assert pins.read_edge(PATIENCE_S) is not None


def test_unread_edges_are_dropped_oldest_first_and_counted(board: Board) -> None:
    if board.level is None:
        pytest.skip("a real chip may lose edges before they get here")
    pins = board.open(relay(), contact())
    for number in range(MAX_EDGES + 10):
        pins.set_output("relay", active=number % 2 == 0)
    edges = []
    while (edge := pins.read_edge(0)) is not None:
        edges.append(edge)
    assert len(edges) == MAX_EDGES
    assert pins.dropped_edges == 10
    assert edges[-1].active == pins.is_active("contact")
    pins.close()


@pytest.mark.parametrize("active_low", [False, True])
def test_closing_sets_every_output_inactive_and_releases_the_lines(
    board: Board, active_low: bool
) -> None:
    pins = board.open(relay(active_low=active_low), contact())
    pins.set_output("relay", active=True)
    pins.close()
    pins.close()
    if board.level is not None:
        assert board.level(OUT) == active_low
    again = board.open(relay(active_low=active_low), contact())
    assert not again.is_active("relay")
    again.close()


def test_closed_pins_refuse_every_call(board: Board) -> None:
    pins = board.open(relay(), contact())
    pins.close()
    for call in (
        lambda: pins.is_active("contact"),
        lambda: pins.set_output("relay", active=True),
        lambda: pins.read_edge(0),
    ):
        with pytest.raises(DriverError) as refused:
            call()
        assert refused.value.kind == "closed"


def test_closing_ends_a_wait(board: Board) -> None:
    pins = board.open(contact())
    ended = threading.Event()

    def wait() -> None:
        with contextlib.suppress(DriverError):
            pins.read_edge(PATIENCE_S * 10)
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    pins.close()
    assert ended.wait(PATIENCE_S)
    thread.join()


def test_a_busy_pin_is_reported_and_pins_opened_before_it_are_released(board: Board) -> None:
    first = board.open(contact())
    with pytest.raises(DriverError, match="'contact'") as refused:
        board.open(relay(), contact())
    assert refused.value.kind == "busy"
    first.close()
    second = board.open(relay(), contact())
    second.close()


def test_a_pin_that_the_board_does_not_have_is_absent(board: Board) -> None:
    with pytest.raises(DriverError, match=r"'none' \(53\)") as refused:
        board.open(GpioLine(name="none", pin=53, direction="in"))
    assert refused.value.kind == "absent"


def test_an_input_cannot_be_driven(pins: Gpio) -> None:
    with pytest.raises(DriverError) as refused:
        pins.set_output("contact", active=True)
    assert refused.value.kind == "unsupported"
