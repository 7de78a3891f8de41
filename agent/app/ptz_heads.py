"""The wiring of all heads of a box: their stages, the verb that moves them, what is said of them."""

import random
from functools import partial

import msgspec

from agent.app.actuator_deps import ActuatorDeps
from agent.app.actuator_specs import ActuatorSpecs, HeadSpec
from agent.app.mounting import mount
from agent.base.clock import Clock
from agent.base.health_model import HeadHealth
from agent.base.model import FrameResult
from agent.faults.registry import FaultRegistry
from agent.ptz.head_stage import HeadStage
from agent.ptz.ptz_command import HeadAssembly, PtzCommandHandler
from agent.reporting.payloads import HeadCapabilities
from agent.runtime.stage import Stage
from drivers.contracts import Ptz
from drivers.media import Frame
from drivers.serial_bus import BUSES

FOLDER = "heads"


class PtzHeads:
    """The heads of one box. Any thread may ask for health."""

    def __init__(
        self,
        fittings: ActuatorSpecs,
        ties: ActuatorDeps,
        clock: Clock,
        faults: FaultRegistry,
        rng: random.Random,
    ) -> None:
        self._reached: set[str] = set()
        self._mounted = {
            fitting.config.name: mount(
                msgspec.structs.replace(fitting, open_ptz=partial(self._open, fitting)),
                ties.state / FOLDER / fitting.config.name,
                ties.carried.get(fitting.config.name),
                ties.gallery,
                clock,
                faults,
                rng,
                ties.tours_rest,
            )
            for fitting in fittings.heads
        }
        self._carriers = {one.camera: one for one in self._mounted.values() if one.camera}
        self.verb = PtzCommandHandler(self._mounted, clock.boottime_ns)
        self.stages: tuple[Stage, ...] = tuple(
            HeadStage(mounted.head, clock, faults, partial(_noise_bytes, name))
            for name, mounted in self._mounted.items()
        )

    @property
    def stop_pending(self) -> bool:
        """Whether one of them was told to stop and nobody knows that it has. A head that was never
        open has not been moved either.
        """
        return any(
            mounted.head.link.stop_pending and name in self._reached
            for name, mounted in self._mounted.items()
        )

    def on_sight(self, camera: str, frame: Frame, sight: FrameResult) -> None:
        """A frame that detection has looked at, and what it saw."""
        carrier = self._carriers.get(camera)
        if carrier is None:
            return
        if carrier.sweep is not None:
            carrier.sweep.offer(frame)
        if carrier.tracker is not None:
            carrier.tracker.look(sight)

    def health(self) -> tuple[HeadHealth, ...]:
        """Of each head."""
        return tuple(mounted.head.health() for mounted in self._mounted.values())

    def abilities(self) -> tuple[HeadCapabilities, ...]:
        """For the birth."""
        return tuple(_ability(mounted) for mounted in self._mounted.values())

    def _open(self, fitting: HeadSpec) -> Ptz:
        opened = fitting.open_ptz()
        self._reached.add(fitting.config.name)
        return opened


def _noise_bytes(head: str) -> int:
    """What came over the line of a head and was no message of anybody."""
    return sum(bus.noise_bytes for bus in BUSES.health() if head in bus.heads)


def _ability(mounted: HeadAssembly) -> HeadCapabilities:
    head = mounted.head
    abilities = head.abilities
    return HeadCapabilities(
        name=head.name,
        camera=mounted.camera,
        absolute=None if abilities is None else abilities.absolute,
        zoom=None if abilities is None else abilities.zoom_ratio > 1,
        focus=None if abilities is None else abilities.focus,
        aux=() if abilities is None else abilities.aux,
        presets=tuple(preset.name for preset in head.presets()),
        tours=tuple(tour.name for tour in head.config.tour),
    )
