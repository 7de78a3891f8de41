"""The GPIO stage: read the contacts of the box, and drive its lamps, fans and relays.

It waits for an edge until the next action is due: a blink, the end of a debounce, a relay's time.
The decisions are pure: `contacts`, `status_led`, `Thermostat`, `TimedRelay`.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

from agent.base.event_lifecycle import NewId
from agent.base.health_model import PinHealth
from agent.base.message import Message
from agent.base.model import Event
from agent.commands.requester import CommandRejected
from agent.config.pins import (
    BeaconPin,
    DoorPin,
    FanPin,
    HeaterPin,
    InputPin,
    IrCutPin,
    IrLampPin,
    Pin,
    PowerGoodPin,
    SirenPin,
    StatusLedPin,
    UpsLowPin,
    gpio_lines,
    switchable_by_name,
)
from agent.faults.registry import FaultRegistry
from agent.gpio.contacts import Contact, make_contact
from agent.gpio.status_led import StatusLed
from drivers.contracts import Gpio, GpioLine
from drivers.errors import DriverError

log = logging.getLogger(__name__)

MAX_WAIT_S = 1.0
TEMPERATURE_INTERVAL_S = 5.0
EDGE_BATCH_S = 0.005
"""The pause after edges: a contact that flutters does not keep a core busy."""
MAX_EDGES_PER_CYCLE = 1024
MIN_PAUSE_S = 5.0
"""A relay that was off for less than this had no pause: the time on counts on from before it."""


class Thermostat:
    """Switches each pin on at one temperature and off at another, so that none chatters.

    While the temperature is unknown the fans run and the heaters do not. No heater is on while a
    fan runs.
    """

    def __init__(self, pins: Sequence[FanPin | HeaterPin]) -> None:
        self._fans = {pin: True for pin in pins if isinstance(pin, FanPin)}
        self._heaters = {pin: False for pin in pins if isinstance(pin, HeaterPin)}

    def step(self, celsius: float | None) -> dict[str, bool]:
        """Return which pins are on at this temperature, by name."""
        for fan, was_on in self._fans.items():
            hot = celsius is None or celsius >= fan.on_celsius
            cool = celsius is not None and celsius <= fan.off_celsius
            self._fans[fan] = hot or (was_on and not cool)
        fan_on = any(self._fans.values())
        for heater, was_on in self._heaters.items():
            cold = celsius is not None and celsius <= heater.on_celsius
            warm = celsius is None or celsius >= heater.off_celsius
            self._heaters[heater] = not fan_on and (cold or (was_on and not warm))
        return {pin.name: on for pin, on in (*self._fans.items(), *self._heaters.items())}


class TimedRelay:
    """A relay that follows the latest request, and is never on beyond `max_on_s` without a pause."""

    def __init__(self, max_on_s: float) -> None:
        self._max_on_ns = round(max_on_s * 1e9)
        self._began_ns: int | None = None
        self._until_ns = 0

    def is_on(self, t_ns: int) -> bool:
        """Return whether it is on at `t_ns`."""
        return self._began_ns is not None and t_ns < self._until_ns

    def due_ns(self, t_ns: int) -> int | None:
        """Return when it goes off, or None if it is off."""
        return self._until_ns if self.is_on(t_ns) else None

    def switch_on(self, t_ns: int, for_s: float) -> int | None:
        """Switch on for `for_s`, or for the rest of the longest time.

        Returns None if that is done; otherwise, when the pause is over and it can be on again.
        """
        began_ns = self._began_ns
        pause_ends_ns = self._until_ns + round(MIN_PAUSE_S * 1e9)
        if began_ns is None or t_ns >= pause_ends_ns:
            began_ns = t_ns
        elif t_ns >= began_ns + self._max_on_ns:
            return pause_ends_ns
        self._began_ns = began_ns
        self._until_ns = min(t_ns + round(for_s * 1e9), began_ns + self._max_on_ns)
        return None

    def switch_off(self, t_ns: int) -> None:
        """Switch off."""
        if self.is_on(t_ns):
            self._until_ns = t_ns


class GpioStage:
    """The stage of all pins of the box.

    Invariant: a cycle that fails closes the pins, and closing sets every output inactive. The next
    cycle opens them again.
    """

    name = "pins"

    def __init__(
        self,
        pins: Sequence[Pin],
        open_gpio: Callable[[Sequence[GpioLine]], Gpio],
        clock_ns: Callable[[], int],
        faults: FaultRegistry,
        *,
        new_id: NewId,
        on_event: Callable[[Event], None],
        read_celsius: Callable[[], float | None],
        read_night_mode: Callable[[str], bool | None],
    ) -> None:
        """`open_gpio` opens lines, or raises DriverError. `read_celsius` returns the temperature of
        the processor, `read_night_mode` whether a camera is in night mode; None: unknown.
        """
        self._lines = gpio_lines(pins)
        self._open_gpio = open_gpio
        self._clock_ns = clock_ns
        self._faults = faults
        self._on_event = on_event
        self._read_celsius = read_celsius
        self._read_night_mode = read_night_mode
        self._switchable = switchable_by_name(pins)
        self._contacts: dict[str, Contact] = {
            pin.name: make_contact(pin, new_id) for pin in pins if isinstance(pin, InputPin)
        }
        self._led_names = [pin.name for pin in pins if isinstance(pin, StatusLedPin)]
        self._status_led = StatusLed()
        self._fan_names = [pin.name for pin in pins if isinstance(pin, FanPin)]
        self._heater_names = [pin.name for pin in pins if isinstance(pin, HeaterPin)]
        self._thermostat = Thermostat([pin for pin in pins if isinstance(pin, FanPin | HeaterPin)])
        self._thermostat_outputs: dict[str, bool] = {}
        self._temperature_due_ns = 0
        self._night_pins = [pin for pin in pins if isinstance(pin, IrLampPin | IrCutPin)]
        self._relays = {
            pin.name: TimedRelay(pin.max_on_s)
            for pin in pins
            if isinstance(pin, SirenPin | BeaconPin)
        }
        self._max_on_s = {
            pin.name: pin.max_on_s for pin in pins if isinstance(pin, SirenPin | BeaconPin)
        }
        self._lock = threading.Lock()
        self._gpio: Gpio | None = None
        self._output_states: dict[str, bool] = {}
        self._dropped_edges = 0

    def run_once(self, stopping: threading.Event) -> None:
        """Update all pins, then wait for an edge. Raises: DriverError if the pins fail."""
        with ExitStack() as cleanup:
            cleanup.callback(self.close)
            try:
                self._run_cycle(stopping)
            except DriverError as error:
                self._faults.raise_fault("GPI-01", self.name, error)
                raise
            cleanup.pop_all()
        self._faults.clear("GPI-01", self.name)

    def set_output(self, name: str, active: bool, for_s: float | None, by: str) -> None:  # noqa: FBT001 - as `GpioCommandHandler` calls it
        """Switch a switchable pin: on for `for_s` seconds, or its longest time if None, or off.

        The latest call counts. Thread-safe. Raises: CommandRejected.
        """
        relay = self._check_may_switch(name, active, for_s)
        with self._lock:
            gpio, now_ns = self._gpio, self._clock_ns()
            if gpio is None:
                raise CommandRejected("unavailable", f"pin {name!r}: the pins are not open")
            if not active:
                relay.switch_off(now_ns)
            else:
                duration_s = self._max_on_s[name] if for_s is None else for_s
                available_ns = relay.switch_on(now_ns, duration_s)
                if available_ns is not None:
                    raise CommandRejected(
                        "busy",
                        f"pin {name!r} was on for its max_on_s; "
                        f"again in {(available_ns - now_ns) / 1e9:.0f} s",
                    )
            try:
                self._drive_output(gpio, name, active=relay.is_on(now_ns))
            except DriverError as error:
                relay.switch_off(now_ns)
                raise CommandRejected("unavailable", str(error)) from error
            finally:
                gpio.wake()
        log.info("pin %s: %s, for %s", name, "on" if active else "off", by)

    def night_outputs(self, camera: str) -> dict[str, bool]:
        """Return the filters and lamps that follow the night mode of a camera, by pin; empty while the pins are closed."""
        with self._lock:
            states = dict(self._output_states)
        return {
            pin.name: states[pin.name]
            for pin in self._night_pins
            if pin.camera == camera and pin.name in states
        }

    def health(self) -> PinHealth:
        """Return the state of the pins; None for states that are unknown or have no pin."""
        with self._lock:
            gpio, output_states = self._gpio, dict(self._output_states)
        alarms = {
            kind: _any_known(
                contact.alarm
                for contact in self._contacts.values()
                if isinstance(contact.pin, kind)
            )
            for kind in (DoorPin, PowerGoodPin, UpsLowPin)
        }
        mains_lost = alarms[PowerGoodPin]
        return PinHealth(
            door_open=alarms[DoorPin],
            mains=None if mains_lost is None else not mains_lost,
            battery_low=alarms[UpsLowPin],
            fan=_any_known(output_states.get(name) for name in self._fan_names),
            heater=_any_known(output_states.get(name) for name in self._heater_names),
            relays_on=tuple(name for name in self._relays if output_states.get(name)),
            edges_dropped=self._dropped_edges + (0 if gpio is None else gpio.dropped_edges),
        )

    def _run_cycle(self, stopping: threading.Event) -> None:
        gpio = self._ensure_open()
        due_ns = self._update_pins(gpio)
        wait_s = min(MAX_WAIT_S, (due_ns - self._clock_ns()) / 1e9)
        edge = gpio.read_edge(max(0.0, wait_s))
        if edge is None:
            return
        for _ in range(MAX_EDGES_PER_CYCLE):
            self._publish_events(self._contacts[edge.name].feed(edge.t_ns, active=edge.active))
            edge = gpio.read_edge(0)
            if edge is None:
                break
        stopping.wait(EDGE_BATCH_S)

    def _ensure_open(self) -> Gpio:
        with self._lock:
            if self._gpio is None:
                self._gpio = self._open_gpio(self._lines)
                self._output_states = {
                    line.name: False for line in self._lines if line.direction == "out"
                }
                self._temperature_due_ns = 0
            return self._gpio

    def close(self) -> None:
        """Close the pins, which sets every output inactive. Raises: DriverError."""
        for contact in self._contacts.values():
            contact.reset()
        with self._lock:
            gpio, self._gpio = self._gpio, None
            self._output_states.clear()
            for relay in self._relays.values():
                relay.switch_off(self._clock_ns())
            if gpio is not None:
                self._dropped_edges += gpio.dropped_edges
                gpio.close()

    def _update_pins(self, gpio: Gpio) -> int:
        """Read and drive all pins once; return when the next action is due."""
        now_ns = self._clock_ns()
        due_times_ns = [now_ns + round(MAX_WAIT_S * 1e9)]
        for name, contact in self._contacts.items():
            # The level, and not the edges alone: some of those may have been dropped.
            self._publish_events(contact.feed(now_ns, active=gpio.is_active(name)))
            self._publish_events(contact.settle(now_ns))
            self._update_fault(name, contact)
            due_times_ns += [] if contact.due_ns is None else [contact.due_ns]
        outputs = self._automatic_outputs(now_ns)
        due_times_ns += [self._status_led.due_ns] if self._led_names else []
        with self._lock:
            for name, relay in self._relays.items():
                outputs[name] = relay.is_on(now_ns)
                relay_due_ns = relay.due_ns(now_ns)
                due_times_ns += [] if relay_due_ns is None else [relay_due_ns]
            # Switched off first: a heater is never on with a fan.
            for name in sorted(outputs, key=outputs.__getitem__):
                self._drive_output(gpio, name, active=outputs[name])
        return min(due_times_ns)

    def _automatic_outputs(self, now_ns: int) -> dict[str, bool]:
        """Return the outputs that no command switches."""
        if now_ns >= self._temperature_due_ns and (self._fan_names or self._heater_names):
            self._thermostat_outputs = self._thermostat.step(self._read_celsius())
            self._temperature_due_ns = now_ns + round(TEMPERATURE_INTERVAL_S * 1e9)
        outputs = dict(self._thermostat_outputs)
        outputs |= {pin.name: bool(self._read_night_mode(pin.camera)) for pin in self._night_pins}
        if self._led_names:
            codes = dict.fromkeys(fault.code for fault in self._faults.active())
            is_lit = self._status_led.step(now_ns, tuple(codes))
            outputs |= dict.fromkeys(self._led_names, is_lit)
        return outputs

    def _drive_output(self, gpio: Gpio, name: str, *, active: bool) -> None:
        """Set an output if its state changes. The lock is held."""
        if self._output_states[name] != active:
            gpio.set_output(name, active=active)
            self._output_states[name] = active

    def _update_fault(self, name: str, contact: Contact) -> None:
        if contact.alarm:
            self._faults.raise_fault(
                contact.code, name, Message("pin {name}", name=str(contact.pin.pin))
            )
        elif contact.alarm is False:
            self._faults.clear(contact.code, name)

    def _publish_events(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._on_event(event)

    def _check_may_switch(self, name: str, active: bool, for_s: float | None) -> TimedRelay:  # noqa: FBT001 - as `set_output`
        if name not in self._switchable:
            raise CommandRejected("unknown", f"pin {name!r}: no pin of this name")
        if not self._switchable[name]:
            raise CommandRejected("forbidden", f"pin {name!r} is not switchable by command")
        max_on_s = self._max_on_s[name]
        if active and for_s is not None and not 0 < for_s <= max_on_s:
            raise CommandRejected(
                "forbidden", f"pin {name!r} may be on for {max_on_s:g} s, not for {for_s:g} s"
            )
        return self._relays[name]


def _any_known(states: Iterable[bool | None]) -> bool | None:
    """Return whether any state is true; None if none is, and some are unknown."""
    known_or_none = list(states)
    if any(known_or_none):
        return True
    return False if known_or_none and None not in known_or_none else None
