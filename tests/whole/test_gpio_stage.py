"""agent.gpio.gpio_stage over the fake chip and over gpiozero's mock, seen from the wires: a test sets
inputs and reads output levels.
"""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gpiozero
import msgspec
import pytest

from agent.base.model import Event
from agent.commands.requester import CommandRejected
from agent.config.pins import Pin
from agent.faults.registry import FaultRegistry
from agent.gpio.gpio_stage import GpioStage
from agent.runtime.stage import StageThread
from drivers.catalog import load_gpio_driver
from drivers.contracts import Gpio, GpioLine
from drivers.errors import DriverError
from simulation.gpio import fake
from tests.conftest import ManualClock

WAIT_S = 60.0

DOOR, BLOW, MAINS, UPS, LED, FAN, HEATER, LAMP, CUT, SIREN, BEACON = range(4, 15)

PINS = [
    {"kind": "door", "name": "door", "pin": DOOR},
    {"kind": "shock", "name": "blow", "pin": BLOW, "active_low": True, "fault_s": 600},
    {"kind": "power_good", "name": "mains", "pin": MAINS, "pull": "down"},
    {"kind": "ups_low", "name": "ups", "pin": UPS, "active_low": True},
    {"kind": "status_led", "name": "led", "pin": LED},
    {"kind": "fan", "name": "fan", "pin": FAN},
    {"kind": "heater", "name": "heater", "pin": HEATER, "active_low": True},
    {"kind": "ir_lamp", "name": "ir", "pin": LAMP, "camera": "north"},
    {"kind": "ir_cut", "name": "cut", "pin": CUT, "camera": "north", "active_low": True},
    {"kind": "siren", "name": "siren", "pin": SIREN, "active_low": True, "switchable": True},
    {"kind": "beacon", "name": "beacon", "pin": BEACON},
]
OUTPUTS_LOW = {HEATER, CUT, SIREN}
OUTPUTS = {LED, FAN, HEATER, LAMP, CUT, SIREN, BEACON}


class Wires(msgspec.Struct, frozen=True):
    """The box from outside."""

    put: Callable[[int, bool], None]
    level: Callable[[int], bool]
    open_gpio: Callable[[Sequence[GpioLine]], Gpio]


@pytest.fixture(params=["fake", "gpio"])
def wires(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> Iterator[Wires]:
    module = load_gpio_driver(request.param)

    def open_gpio(options: dict[str, Any], lines: Sequence[GpioLine]) -> Gpio:
        given = msgspec.convert(options, module.Options)
        return module.open_gpio(given, lines, clock.boottime_ns)

    if request.param == "fake":
        chip = fake.fake_chip(request.node.name)
        options = {"chip": request.node.name}
        yield Wires(
            lambda pin, high: chip.set_level(pin, high=high),
            chip.read_level,
            lambda lines: open_gpio(options, lines),
        )
        return
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    gpiozero.Device.ensure_pin_factory()
    factory = gpiozero.Device.pin_factory

    def put(pin: int, high: bool) -> None:
        (factory.pin(pin).drive_high if high else factory.pin(pin).drive_low)()

    yield Wires(put, lambda pin: bool(factory.pin(pin).state), lambda lines: open_gpio({}, lines))
    factory.reset()


class Box:
    """The stage with a clock that the test moves, its inputs and its outputs."""

    def __init__(self, wires: Wires, clock: ManualClock, pins: list[dict[str, Any]] = PINS) -> None:
        self.clock = clock
        self.wires = wires
        self.faults = FaultRegistry(clock.boottime_ns)
        self.events: list[Event] = []
        self.celsius: float | None = 50.0
        self.sensor_error: Exception | None = None
        self.night: bool | None = None
        self.gpio: Gpio | None = None
        count = itertools.count(1)
        self.pins = GpioStage(
            [msgspec.convert(pin, Pin) for pin in pins],
            self._open,
            clock.boottime_ns,
            self.faults,
            new_id=lambda _t_ns: f"event {next(count)}",
            on_event=self.on_event,
            read_celsius=self.read_celsius,
            read_night_mode=lambda camera: {"north": self.night}[camera],
        )

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def read_celsius(self) -> float | None:
        if self.sensor_error is not None:
            raise self.sensor_error
        return self.celsius

    def _open(self, lines: Sequence[GpioLine]) -> Gpio:
        self.gpio = self.wires.open_gpio(lines)
        return self.gpio

    def turn(self) -> None:
        """One turn that waits for nothing."""
        if self.gpio is not None:
            self.gpio.wake()
        self.pins.run_once(_STOPPING)

    def turns(self, seconds: float, each_s: float = 0.05) -> None:
        """Time goes by."""
        for _ in range(round(seconds / each_s)):
            self.clock.advance_s(each_s)
            self.turn()

    def touch(self, pin: int, *, high: bool) -> None:
        """A wire is touched, and a moment goes by until the next turn reads it."""
        self.wires.put(pin, high)
        self.clock.advance_s(0.001)
        self.turn()

    def codes(self) -> list[str]:
        return sorted(fault.code for fault in self.faults.active())

    def reported(self) -> list[tuple[str, str]]:
        reported = [(event.kind, event.phase) for event in self.events]
        self.events.clear()
        return reported

    def on(self) -> set[int]:
        """The outputs that are active, by their levels."""
        return {pin for pin in OUTPUTS if self.wires.level(pin) != (pin in OUTPUTS_LOW)}


_STOPPING = threading.Event()
_STOPPING.set()  # a turn with edges ends without its pause


@pytest.fixture
def box(wires: Wires, clock: ManualClock) -> Iterator[Box]:
    """A box whose door is shut, whose mains is present, and without a fault."""
    made = Box(wires, clock)
    made.turn()
    for pin, high in ((DOOR, False), (BLOW, True), (MAINS, True), (UPS, True)):
        made.wires.put(pin, high)
    made.turns(2)
    assert made.reported() == []
    assert made.codes() == []
    yield made
    made.pins.close()


@pytest.mark.raises_fault("GPI-02")
def test_a_door_that_opens_and_closes_is_a_fault_and_one_event(box: Box) -> None:
    for high in (True, False, True, False, True):  # it bounces
        box.touch(DOOR, high=high)
    assert box.reported() == []
    box.turns(0.2)
    assert box.reported() == [("door", "begin")]
    assert box.codes() == ["GPI-02"]
    assert box.pins.health().door_open is True
    box.turns(60, each_s=1)
    box.touch(DOOR, high=False)
    box.turns(0.2)
    assert box.reported() == [("door", "end")]
    assert box.codes() == []
    assert box.pins.health().door_open is False


@pytest.mark.raises_fault("GPI-03")
def test_a_shock_is_reported_at_once_and_its_fault_stays_for_a_while(box: Box) -> None:
    box.touch(BLOW, high=False)
    box.touch(BLOW, high=True)
    assert box.reported() == [("shock", "moment")]
    box.turn()
    assert box.codes() == ["GPI-03"]
    box.turns(599, each_s=1)
    assert box.codes() == ["GPI-03"]
    box.turns(2, each_s=1)
    assert box.codes() == []
    assert box.reported() == []


@pytest.mark.raises_fault("GPI-04", "GPI-05")
def test_mains_lost_and_back_is_an_event_and_an_empty_battery_a_fault(box: Box) -> None:
    box.touch(MAINS, high=False)
    box.turns(2)
    box.touch(UPS, high=False)
    box.turns(2)
    assert box.reported() == [("power", "begin")]
    assert box.codes() == ["GPI-04", "GPI-05"]
    health = box.pins.health()
    assert (health.mains, health.battery_low) == (False, True)
    box.touch(MAINS, high=True)
    box.touch(UPS, high=True)
    box.turns(2)
    assert box.reported() == [("power", "end")]
    assert box.codes() == []


def test_the_fan_runs_when_the_box_is_hot_or_the_temperature_unknown(box: Box) -> None:
    assert FAN not in box.on()
    for celsius, runs in ((70, True), (60, True), (54, False), (None, True), (50, False)):
        box.celsius = celsius
        box.turns(5, each_s=1)
        assert (FAN in box.on()) == runs
        assert box.pins.health().fan == runs


def test_the_heater_runs_when_it_is_cold_and_never_together_with_the_fan(box: Box) -> None:
    for celsius, on in ((0, {HEATER}), (10, {HEATER}), (None, {FAN}), (0, {HEATER}), (20, set())):
        box.celsius = celsius
        box.turns(5, each_s=1)
        assert box.on() & {FAN, HEATER} == on


def test_lamp_and_filter_follow_the_night_of_their_camera(box: Box) -> None:
    for night, on in ((True, {LAMP, CUT}), (None, set()), (True, {LAMP, CUT}), (False, set())):
        box.night = night
        box.turn()
        assert box.on() & {LAMP, CUT} == on


def test_the_led_shows_a_heartbeat_without_faults_and_then_the_code(box: Box) -> None:
    def seen(seconds: float) -> str:
        """As a person notes it: `l` and `s` for long and short, a blank for a long dark."""
        each_s = 0.05
        lit = []
        for _ in range(round(seconds / each_s)):
            box.turns(each_s)
            lit.append(LED in box.on())
        noted = ""
        for on, run in itertools.groupby(lit):
            for_s = len(list(run)) * each_s
            noted += ("l" if for_s > 0.5 else "s") if on else (" " if for_s > 2 else "")
        return noted

    assert seen(11) == "s s s s"
    box.touch(DOOR, high=True)
    assert " lllllss lllllss " in seen(40), "GPI-02"


def test_the_siren_sounds_on_request_and_never_longer_than_its_maximum(box: Box) -> None:
    box.pins.set_output("siren", True, 10, "ana")
    assert SIREN in box.on()
    assert box.pins.health().relays_on == ("siren",)
    box.turns(9.9)
    assert SIREN in box.on()
    box.turns(0.2)
    assert SIREN not in box.on()
    box.clock.advance_s(30)
    for _ in range(59):
        box.pins.set_output("siren", True, None, "ana")
        box.turns(1, each_s=0.5)
        assert SIREN in box.on()
    box.turns(1, each_s=0.5)
    assert SIREN not in box.on()
    with pytest.raises(CommandRejected, match="was on for its max_on_s; again in 5 s") as refused:
        box.pins.set_output("siren", True, None, "ana")
    assert refused.value.code == "busy"


def test_off_is_executed_at_once_for_any_requester(box: Box) -> None:
    box.pins.set_output("siren", True, 60, "ana")
    box.pins.set_output("siren", False, None, "omar")
    assert SIREN not in box.on()
    box.pins.set_output("siren", False, None, "omar")


@pytest.mark.parametrize(
    ("name", "for_s", "kind", "message"),
    [
        ("horn", 5, "unknown", "pin 'horn': no pin of this name"),
        ("beacon", 5, "forbidden", "pin 'beacon' is not switchable by command"),
        ("fan", 5, "forbidden", "pin 'fan' is not switchable by command"),
        ("door", 5, "forbidden", "pin 'door' is not switchable by command"),
        ("siren", 61, "forbidden", "pin 'siren' may be on for 60 s, not for 61 s"),
    ],
)
def test_a_pin_that_may_not_be_switched_is_rejected_with_a_message(
    box: Box, name: str, for_s: float, kind: str, message: str
) -> None:
    before = box.on()
    with pytest.raises(CommandRejected) as refused:
        box.pins.set_output(name, True, for_s, "ana")
    assert (refused.value.code, str(refused.value)) == (kind, message)
    assert box.on() == before


def test_closing_leaves_everything_off(box: Box) -> None:
    box.celsius, box.night = 80, True
    box.turns(5, each_s=1)
    box.pins.set_output("siren", True, 60, "ana")
    assert {FAN, LAMP, CUT, SIREN} <= box.on()
    box.pins.close()
    assert box.on() == set()
    with pytest.raises(CommandRejected) as refused:
        box.pins.set_output("siren", True, 60, "ana")
    assert refused.value.code == "unavailable"


def test_an_error_leaves_everything_off_and_the_next_turn_starts_again(box: Box) -> None:
    box.celsius, box.night = 80, True
    box.turns(5, each_s=1)
    box.pins.set_output("siren", True, 60, "ana")
    box.touch(DOOR, high=True)
    box.turns(0.2)
    assert box.reported() == [("door", "begin")]
    box.sensor_error = ArithmeticError("no such temperature")
    with pytest.raises(ArithmeticError):
        box.turns(5, each_s=1)
    assert box.on() == set()
    assert box.pins.health().door_open is None
    box.sensor_error = None
    box.gpio = None
    box.turn()
    box.wires.put(DOOR, True)
    box.wires.put(BLOW, True)
    box.wires.put(MAINS, True)
    box.wires.put(UPS, True)
    box.turns(2)
    assert box.reported() == [], "the door has been open all the time: the same event continues"
    assert box.on() - {LED} == {FAN, LAMP, CUT}, "the siren stays off"


@pytest.mark.raises_fault("GPI-02")
def test_contacts_are_unknown_after_a_close_that_failed(box: Box) -> None:
    box.touch(DOOR, high=True)
    box.turns(0.2)
    assert box.pins.health().door_open
    assert box.gpio is not None
    close = box.gpio.close

    def broken() -> None:
        close()
        raise DriverError("absent", "the chip is gone")

    box.gpio.close = broken  # type: ignore[method-assign]
    with pytest.raises(DriverError, match="gone"):
        box.pins.close()
    assert box.pins.health().door_open is None


@pytest.mark.raises_fault("GPI-01")
def test_pins_that_cannot_be_opened_are_a_fault_and_are_tried_again(
    wires: Wires, clock: ManualClock
) -> None:
    taken = wires.open_gpio([GpioLine(name="x", pin=SIREN, direction="out", active_low=True)])
    box = Box(wires, clock)
    with pytest.raises(DriverError) as refused:
        box.turn()
    assert refused.value.kind == "busy"
    assert box.codes() == ["GPI-01"]
    assert box.pins.health().mains is None
    taken.close()
    box.turn()
    assert "GPI-01" not in box.codes()
    box.pins.close()


def test_a_door_open_at_the_agents_start_is_reported(wires: Wires, clock: ManualClock) -> None:
    box = Box(wires, clock, [PINS[0]])
    box.turn()
    box.wires.put(DOOR, True)
    assert box.pins.health().door_open is None
    box.turns(0.2)
    assert box.reported() == [("door", "begin")]
    assert box.pins.health().fan is None
    box.pins.close()


def test_dropped_edges_leave_no_wrong_state(box: Box) -> None:
    for number in range(5000):
        box.wires.put(DOOR, number % 2 == 0)
    box.wires.put(DOOR, True)
    box.turns(0.5)
    assert box.reported() == [("door", "begin")]
    assert box.pins.health().edges_dropped > 3000


def test_the_stage_thread_wakes_for_an_edge_and_for_a_due_relay(
    wires: Wires,
) -> None:
    """With the real clock: nothing here waits for a turn of the stage."""

    class Running(Box):
        def on_event(self, event: Event) -> None:
            opens.set()

        def _open(self, lines: Sequence[GpioLine]) -> Gpio:
            gpio = super()._open(lines)
            opened.set()
            return gpio

    class RealClock(ManualClock):
        def boottime_ns(self) -> int:
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    opened, opens, went_off = threading.Event(), threading.Event(), threading.Event()
    box = Running(wires, RealClock(), [{**PINS[0], "debounce_s": 0.02}, PINS[9]])
    thread = StageThread(box.pins, box.clock.boottime_ns, random.Random(1), vital=False)
    thread.start()
    assert opened.wait(WAIT_S)
    wires.put(DOOR, False)
    wires.put(DOOR, True)
    assert opens.wait(WAIT_S)
    began_ns = box.clock.boottime_ns()
    box.pins.set_output("siren", True, 0.1, "ana")
    assert box.gpio is not None
    while SIREN in box.on():
        went_off.wait(0.005)
    took_s = (box.clock.boottime_ns() - began_ns) / 1e9
    assert took_s >= 0.1
    thread.stop()
    assert thread.join(WAIT_S)
