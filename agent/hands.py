"""The wiring of what the box moves and switches: its heads, its pins, and who may command them."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec

from agent.clock import Clock
from agent.control.command import Verb
from agent.control.desk import Arrival, Desk
from agent.control.guard_stage import Duties, GuardStage, HeadDuty, PinsDuty
from agent.control.head_stage import HeadStage
from agent.control.ledger import Ledger
from agent.control.local_desk import LocalDesk
from agent.control.pins import Pins
from agent.control.round_look import Gallery
from agent.control.verbs.gpio import GpioVerb
from agent.control.verbs.ptz import Mounted, PtzVerb
from agent.control.verbs.snapshot import Shown, SnapshotVerb
from agent.faults import FaultBoard
from agent.fittings import Fittings, PinFitting
from agent.model import CommandHealth, Event, HeadHealth, PinHealth, Reply, Sight
from agent.mounting import Carried, mount
from agent.pins_config import outputs, switchable
from agent.report.connection import CommandReceived
from agent.report.payloads import HeadAbility, PinAbility
from agent.stage import Stage
from drivers.media import Frame
from drivers.serial_bus import BUSES

HEADS = "heads"
COMMANDS = "commands.db"


class Ties(msgspec.Struct, frozen=True, kw_only=True):
    """What the hands need of the rest of the box.

    `cameras` are those that a picture may be asked of, `carried` the one on each head, by the head.
    `celsius` and `night`: see `Pins`; `encode`: see `SnapshotVerb`. `gallery` is where pictures go
    that somebody asked for. `reply` takes what is said to a command that came over MQTT.
    """

    state: Path
    cameras: Mapping[str, Shown]
    carried: Mapping[str, Carried]
    new_id: Callable[[int], str]
    event: Callable[[Event], None]
    celsius: Callable[[], float | None]
    night: Callable[[str], bool | None]
    encode: Callable[[Frame, int], bytes]
    gallery: Gallery
    reply: Callable[[Reply, CommandReceived], None]


class Hands:
    """Heads, pins and commands of one box. Any thread may ask for health and give commands."""

    def __init__(
        self,
        fittings: Fittings,
        ties: Ties,
        clock: Clock,
        faults: FaultBoard,
        rng: random.Random,
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._ties = ties
        gallery = ties.gallery
        self._mounted = {
            fitting.config.name: mount(
                fitting,
                ties.state / HEADS / fitting.config.name,
                ties.carried.get(fitting.config.name),
                gallery,
                clock,
                faults,
                rng,
            )
            for fitting in fittings.heads
        }
        self._carriers = {one.camera: one for one in self._mounted.values() if one.camera}
        self._pin_config = fittings.pins
        self._pins = None if fittings.pins is None else self._open_pins(fittings.pins)
        self._snapshots = SnapshotVerb(
            ties.cameras, ties.encode, gallery.snapshot, gallery.snapshot_viewed
        )
        duties = _duties(fittings)
        self.guard = None if duties is None else GuardStage(duties)
        """Stops what moves when the agent dies. It stands before the others, and goes after them;
        None where nothing moves."""
        self._desk = Desk(self._verbs(), Ledger(ties.state / COMMANDS, clock, faults), clock)
        self._local = LocalDesk(ties.state, self._desk.take, clock, ties.new_id)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Those that bring commands first, then those that obey them."""
        heads = (
            HeadStage(mounted.head, self._clock, self._faults, partial(_noise_bytes, name))
            for name, mounted in self._mounted.items()
        )
        pins = () if self._pins is None else (self._pins,)
        return (self._local, *self._desk.stages, *heads, *pins)

    def on_command(self, received: CommandReceived) -> None:
        """A command came over MQTT. Never blocks."""
        arrival = Arrival(
            verb=received.verb,
            payload=received.payload,
            via="MQTT",
            answer=lambda reply: self._ties.reply(reply, received),
            retained=received.retained,
        )
        self._desk.take(arrival)

    def on_sight(self, camera: str, frame: Frame, sight: Sight) -> None:
        """A frame that detection has looked at, and what it saw."""
        self._snapshots.offer(camera, frame)
        carrier = self._carriers.get(camera)
        if carrier is None:
            return
        if carrier.sweep is not None:
            carrier.sweep.offer(frame)
        if carrier.tracker is not None:
            carrier.tracker.look(sight)

    def commands_health(self) -> CommandHealth:
        """Of the commands."""
        return self._desk.health()

    def heads_health(self) -> tuple[HeadHealth, ...]:
        """Of each head."""
        return tuple(mounted.head.health() for mounted in self._mounted.values())

    def pins_health(self) -> PinHealth | None:
        """Of the pins, None where the box has none."""
        return None if self._pins is None else self._pins.health()

    def head_abilities(self) -> tuple[HeadAbility, ...]:
        """For the birth."""
        return tuple(_head_ability(mounted) for mounted in self._mounted.values())

    def pin_abilities(self) -> tuple[PinAbility, ...]:
        """For the birth."""
        if self._pin_config is None:
            return ()
        may = switchable(self._pin_config.pins)
        return tuple(
            PinAbility(
                name=pin.name,
                kind=str(type(pin).__struct_config__.tag),
                switchable=may[pin.name],
            )
            for pin in self._pin_config.pins
        )

    def _verbs(self) -> list[Verb]:
        verbs: list[Verb] = [PtzVerb(self._mounted, self._clock.boottime_ns), self._snapshots]
        if self._pins is not None:
            verbs.append(GpioVerb(self._pins.drive))
        return verbs

    def _open_pins(self, fitting: PinFitting) -> Pins:
        return Pins(
            fitting.pins,
            fitting.open_gpio,
            self._clock.boottime_ns,
            self._faults,
            new_id=self._ties.new_id,
            on_event=self._ties.event,
            celsius=self._ties.celsius,
            night=self._ties.night,
        )


def _duties(fittings: Fittings) -> Duties | None:
    """What the guard has to do, None where nothing moves and nothing is switched."""
    heads = tuple(
        HeadDuty(name=one.config.name, driver=one.config.driver, options=one.config.options)
        for one in fittings.heads
    )
    pins = None
    if fittings.pins is not None and (lines := outputs(fittings.pins.pins)):
        pins = PinsDuty(
            driver=fittings.pins.config.driver, options=fittings.pins.config.options, lines=lines
        )
    return Duties(heads=heads, pins=pins) if heads or pins else None


def _noise_bytes(head: str) -> int:
    """What came over the line of a head and was no message of anybody."""
    return sum(bus.noise_bytes for bus in BUSES.health() if head in bus.heads)


def _head_ability(mounted: Mounted) -> HeadAbility:
    head = mounted.head
    abilities = head.abilities
    return HeadAbility(
        name=head.name,
        camera=mounted.camera,
        absolute=None if abilities is None else abilities.absolute,
        zoom=None if abilities is None else abilities.zoom_ratio > 1,
        focus=None if abilities is None else abilities.focus,
        aux=() if abilities is None else abilities.aux,
        presets=tuple(preset.name for preset in head.presets()),
        tours=tuple(tour.name for tour in head.config.tour),
    )
