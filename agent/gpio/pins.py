"""The stage `pins`: reads the contacts of the box, and turns its lamps, fans and relays.

It waits for an edge until something is due: a blink, the end of a debounce, a relay's time. What it
finds out and what it decides is in the pure parts: `box_contacts`, `blink`, `thermostat`, `relay`.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

from agent.base.health_model import PinHealth
from agent.base.model import Event
from agent.commands.requester import CommandRejected
from agent.config.pins import (
    BeaconPin,
    DoorPin,
    FanPin,
    HeaterPin,
    Input,
    IrCutPin,
    IrLampPin,
    Pin,
    PowerGoodPin,
    SirenPin,
    StatusLedPin,
    UpsLowPin,
    lines,
    switchable,
)
from agent.faults.registry import FaultRegistry
from agent.gpio.contacts import Contact, NewId, contact
from agent.gpio.status_led import StatusLed, worst_first
from agent.gpio.thermostat import Thermostat
from agent.gpio.timed_relay import TimedRelay
from drivers.contracts import Gpio, Line
from drivers.errors import DriverError

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 1.0
TEMPERATURE_EVERY_S = 5.0
BATCH_S = 0.005
"""After edges, so long until the next look: a contact that flutters does not keep a core busy."""
EDGES_AT_ONCE = 1024


class GpioStage:
    """All pins of the box.

    Invariant: whatever ends a turn but its own end closes the pins, and closing sets every output
    inactive. The next turn opens them anew.
    """

    name = "pins"

    def __init__(
        self,
        pins: Sequence[Pin],
        open_gpio: Callable[[Sequence[Line]], Gpio],
        clock_ns: Callable[[], int],
        faults: FaultRegistry,
        *,
        new_id: NewId,
        on_event: Callable[[Event], None],
        celsius: Callable[[], float | None],
        night: Callable[[str], bool | None],
    ) -> None:
        """`open_gpio` opens lines, or raises DriverError. `celsius` is how warm the processor is,
        `night` whether a camera of that name takes its pictures for darkness; None: unknown.
        """
        self._lines = lines(pins)
        self._open_gpio = open_gpio
        self._clock_ns = clock_ns
        self._faults = faults
        self._on_event = on_event
        self._celsius = celsius
        self._night = night
        self._switchable = switchable(pins)
        self._contacts: dict[str, Contact] = {
            pin.name: contact(pin, new_id) for pin in pins if isinstance(pin, Input)
        }
        self._leds = [pin.name for pin in pins if isinstance(pin, StatusLedPin)]
        self._blinker = StatusLed()
        self._fans = [pin.name for pin in pins if isinstance(pin, FanPin)]
        self._heaters = [pin.name for pin in pins if isinstance(pin, HeaterPin)]
        self._thermostat = Thermostat([p for p in pins if isinstance(p, FanPin | HeaterPin)])
        self._climate: dict[str, bool] = {}
        self._temperature_due_ns = 0
        self._followers = [pin for pin in pins if isinstance(pin, IrLampPin | IrCutPin)]
        self._relays = {
            pin.name: TimedRelay(pin.longest_on_s)
            for pin in pins
            if isinstance(pin, SirenPin | BeaconPin)
        }
        self._longest_s = {
            pin.name: pin.longest_on_s for pin in pins if isinstance(pin, SirenPin | BeaconPin)
        }
        self._lock = threading.Lock()
        self._gpio: Gpio | None = None
        self._driven: dict[str, bool] = {}
        self._dropped = 0

    def run_once(self, stopping: threading.Event) -> None:
        """Look, then wait for an edge. Raises DriverError where the pins cannot be opened or fail."""
        with ExitStack() as safe:
            safe.callback(self._let_go)
            try:
                self._turn(stopping)
            except DriverError as error:
                self._faults.raise_fault("GPI-01", self.name, str(error))
                raise
            safe.pop_all()
        self._faults.clear("GPI-01", self.name)

    def close(self) -> None:
        """Every output is inactive."""
        self._let_go()

    def set_output(self, name: str, active: bool, for_s: float | None, by: str) -> None:  # noqa: FBT001 - as the verb `gpio` calls it
        """Switch a switchable pin: on for `for_s` seconds, None for as long as it may, or off. The
        latest call counts. From any thread. Raises Refused.
        """
        relay = self._may_drive(name, active, for_s)
        with self._lock:
            gpio, now_ns = self._gpio, self._clock_ns()
            if gpio is None:
                raise CommandRejected("absent", f"pin {name!r}: the pins are not open")
            if not active:
                relay.switch_off(now_ns)
            else:
                wanted_s = self._longest_s[name] if for_s is None else for_s
                free_ns = relay.switch_on(now_ns, wanted_s)
                if free_ns is not None:
                    raise CommandRejected(
                        "busy",
                        f"pin {name!r} was on for its longest time; "
                        f"again in {(free_ns - now_ns) / 1e9:.0f} s",
                    )
            try:
                self._set(gpio, name, active=relay.is_on(now_ns))
            except DriverError as error:
                relay.switch_off(now_ns)
                raise CommandRejected("absent", str(error)) from error
            finally:
                gpio.wake()
        log.info("pin %s: %s, for %s", name, "on" if active else "off", by)

    def health(self) -> PinHealth:
        """How the pins stand; what nobody knows, or what there is no pin for, is None."""
        with self._lock:
            gpio, driven = self._gpio, dict(self._driven)
        alarms = {
            kind: _any(c.alarm for c in self._contacts.values() if isinstance(c.pin, kind))
            for kind in (DoorPin, PowerGoodPin, UpsLowPin)
        }
        lost = alarms[PowerGoodPin]
        return PinHealth(
            door_open=alarms[DoorPin],
            mains=None if lost is None else not lost,
            battery_low=alarms[UpsLowPin],
            fan=_any(driven.get(name) for name in self._fans),
            heater=_any(driven.get(name) for name in self._heaters),
            relays_on=tuple(name for name in self._relays if driven.get(name)),
            edges_dropped=self._dropped + (0 if gpio is None else gpio.dropped),
        )

    def _turn(self, stopping: threading.Event) -> None:
        gpio = self._opened()
        due_ns = self._look(gpio)
        wait_s = min(LONGEST_WAIT_S, (due_ns - self._clock_ns()) / 1e9)
        edge = gpio.edge(max(0.0, wait_s))
        if edge is None:
            return
        for _ in range(EDGES_AT_ONCE):
            self._tell(self._contacts[edge.name].feed(edge.t_ns, active=edge.active))
            edge = gpio.edge(0)
            if edge is None:
                break
        stopping.wait(BATCH_S)

    def _opened(self) -> Gpio:
        with self._lock:
            if self._gpio is None:
                self._gpio = self._open_gpio(self._lines)
                self._driven = {line.name: False for line in self._lines if line.direction == "out"}
                self._temperature_due_ns = 0
            return self._gpio

    def _let_go(self) -> None:
        with self._lock:
            gpio, self._gpio = self._gpio, None
            self._driven.clear()
            for relay in self._relays.values():
                relay.switch_off(self._clock_ns())
            if gpio is not None:
                self._dropped += gpio.dropped
                gpio.close()
        for known in self._contacts.values():
            known.forget()

    def _look(self, gpio: Gpio) -> int:
        """Read and drive everything once. When something is due next."""
        now_ns = self._clock_ns()
        due = [now_ns + round(LONGEST_WAIT_S * 1e9)]
        for name, known in self._contacts.items():
            # The level, and not the edges alone: of those some may have been dropped.
            self._tell(known.feed(now_ns, active=gpio.is_active(name)))
            self._tell(known.settle(now_ns))
            self._judge(name, known)
            due += [] if known.due_ns is None else [known.due_ns]
        wanted = self._automatic(now_ns)
        due += [self._blinker.due_ns] if self._leds else []
        with self._lock:
            for name, relay in self._relays.items():
                wanted[name] = relay.is_on(now_ns)
                relay_due_ns = relay.due_ns(now_ns)
                due += [] if relay_due_ns is None else [relay_due_ns]
            # What goes off goes first: a heater never meets a fan.
            for name in sorted(wanted, key=wanted.__getitem__):
                self._set(gpio, name, active=wanted[name])
        return min(due)

    def _automatic(self, now_ns: int) -> dict[str, bool]:
        """What nobody switches by hand."""
        if now_ns >= self._temperature_due_ns and (self._fans or self._heaters):
            self._climate = self._thermostat.step(self._celsius())
            self._temperature_due_ns = now_ns + round(TEMPERATURE_EVERY_S * 1e9)
        wanted = dict(self._climate)
        wanted |= {pin.name: bool(self._night(pin.camera)) for pin in self._followers}
        if self._leds:
            lit = self._blinker.step(now_ns, worst_first(self._faults.active()))
            wanted |= dict.fromkeys(self._leds, lit)
        return wanted

    def _set(self, gpio: Gpio, name: str, *, active: bool) -> None:
        """Under the lock."""
        if self._driven[name] != active:
            gpio.drive(name, active=active)
            self._driven[name] = active

    def _judge(self, name: str, known: Contact) -> None:
        if known.alarm:
            self._faults.raise_fault(known.code, name, f"pin {known.pin.pin}")
        elif known.alarm is False:
            self._faults.clear(known.code, name)

    def _tell(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._on_event(event)

    def _may_drive(self, name: str, active: bool, for_s: float | None) -> TimedRelay:  # noqa: FBT001 - as `drive`
        if name not in self._switchable:
            raise CommandRejected("unknown", f"pin {name!r}: there is none of this name")
        if not self._switchable[name]:
            raise CommandRejected("forbidden", f"pin {name!r} is not switchable by command")
        longest_s = self._longest_s[name]
        if active and for_s is not None and not 0 < for_s <= longest_s:
            raise CommandRejected(
                "forbidden", f"pin {name!r} may be on for {longest_s:g} s, not for {for_s:g} s"
            )
        return self._relays[name]


def _any(states: Iterable[bool | None]) -> bool | None:
    """Whether any is so: None where none is known to be, and not all are known."""
    found = list(states)
    if any(found):
        return True
    return False if found and None not in found else None
