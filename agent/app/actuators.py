"""The wiring of what the box moves and switches: its heads, its pins, and who may command them.

Most boxes turn nothing and switch nothing. What moves heads, drives pins and guards them is loaded
where it is fitted: with what it brings it takes more memory than the box's own code.
"""

import random
from collections.abc import Callable, Iterable
from typing import Protocol

from agent.app.actuator_deps import ActuatorDeps
from agent.app.actuator_specs import ActuatorSpecs, PinSpec
from agent.base.clock import Clock
from agent.base.health_model import CommandHealth, HeadHealth, PinHealth
from agent.base.model import FrameResult
from agent.capture.snapshot_command import SnapshotCommandHandler
from agent.commands.command import CommandHandler
from agent.commands.dispatcher import CommandDispatcher, IncomingCommand
from agent.commands.idempotency_store import IdempotencyStore
from agent.commands.socket_server import CommandSocketServer
from agent.config.pins import outputs, switchable
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt.connection import CommandReceived
from agent.reporting.payloads import HeadCapabilities, PinCapabilities
from agent.runtime.stage import Stage
from drivers.media import Frame

COMMANDS = "commands.db"


class HeadsFitted(Protocol):
    """See `agent.app.ptz_heads.Heads`."""

    @property
    def verb(self) -> CommandHandler:
        """What commands them."""
        ...

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One for each."""
        ...

    @property
    def stop_pending(self) -> bool:
        """Whether one of them was told to stop and nobody knows that it has."""
        ...

    def on_sight(self, camera: str, frame: Frame, sight: FrameResult) -> None:
        """A frame that detection has looked at, and what it saw."""
        ...

    def health(self) -> tuple[HeadHealth, ...]:
        """Of each."""
        ...

    def abilities(self) -> tuple[HeadCapabilities, ...]:
        """For the birth."""
        ...


class PinsFitted(Stage, Protocol):
    """See `agent.gpio.pins.Pins`."""

    def set_output(self, name: str, active: bool, for_s: float | None, by: str) -> None:  # noqa: FBT001 - as there
        """Switch one."""
        ...

    def health(self) -> PinHealth:
        """Of them all."""
        ...


class Guarding(Stage, Protocol):
    """See `agent.failsafe.guard_stage.GuardStage`."""

    def start_process(self) -> None:
        """Put the guard there."""
        ...

    def hand_over(self) -> None:
        """The agent is at its end: what has not come to rest is the guard's."""
        ...


class LettingGo(Stage, Protocol):
    """See `agent.failsafe.guarded.Guarded`."""

    @property
    def is_released(self) -> bool:
        """Whether it was closed in good order."""
        ...


class Actuators:
    """Heads, pins and commands of one box. Any thread may ask for health and give commands."""

    def __init__(
        self,
        fittings: ActuatorSpecs,
        ties: ActuatorDeps,
        clock: Clock,
        faults: FaultRegistry,
        rng: random.Random,
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._ties = ties
        self._heads = self._mount(fittings, rng) if fittings.heads else None
        self._pin_config = fittings.pins
        self._pins = None if fittings.pins is None else self._open_pins(fittings.pins)
        self._snapshots = SnapshotCommandHandler(
            ties.cameras,
            ties.encode,
            ties.gallery.publish_snapshot,
            ties.gallery.record_snapshot_view,
        )
        self._desk = CommandDispatcher(
            self._verbs(), IdempotencyStore(ties.state / COMMANDS, clock, faults), clock
        )
        self._local = CommandSocketServer(ties.state, self._desk.submit, clock, ties.new_id)
        stages = self._all()
        self._guarded: tuple[LettingGo, ...] = ()
        self.guard = _guard(fittings, self._is_at_rest)
        """Stops what moves when the agent dies. It stands before the others, and goes after them;
        None where nothing moves."""
        if self.guard is not None:
            # Those that bring commands too: one that hangs may have an order on its way.
            stages = self._guarded = _guarded(stages)
        self.stages: tuple[Stage, ...] = stages
        """Those that bring commands first, then those that obey them."""

    def on_command(self, received: CommandReceived) -> None:
        """A command came over MQTT. Never blocks."""
        arrival = IncomingCommand(
            verb=received.verb,
            payload=received.payload,
            via="MQTT",
            answer=lambda reply: self._ties.reply(reply, received),
            retained=received.retained,
        )
        self._desk.submit(arrival)

    def on_sight(self, camera: str, frame: Frame, sight: FrameResult) -> None:
        """A frame that detection has looked at, and what it saw."""
        self._snapshots.offer(camera, frame)
        if self._heads is not None:
            self._heads.on_sight(camera, frame, sight)

    def commands_health(self) -> CommandHealth:
        """Of the commands."""
        return self._desk.health()

    def heads_health(self) -> tuple[HeadHealth, ...]:
        """Of each head."""
        return () if self._heads is None else self._heads.health()

    def pins_health(self) -> PinHealth | None:
        """Of the pins, None where the box has none."""
        return None if self._pins is None else self._pins.health()

    def head_abilities(self) -> tuple[HeadCapabilities, ...]:
        """For the birth."""
        return () if self._heads is None else self._heads.abilities()

    def pin_abilities(self) -> tuple[PinCapabilities, ...]:
        """For the birth."""
        if self._pin_config is None:
            return ()
        may = switchable(self._pin_config.pins)
        return tuple(
            PinCapabilities(
                name=pin.name,
                kind=str(type(pin).__struct_config__.tag),
                switchable=may[pin.name],
            )
            for pin in self._pin_config.pins
        )

    def _all(self) -> tuple[Stage, ...]:
        heads = () if self._heads is None else self._heads.stages
        pins = () if self._pins is None else (self._pins,)
        return (self._local, *self._desk.stages, *heads, *pins)

    def _is_at_rest(self) -> bool:
        """Whether nothing moves or is switched any more, once the stages were to have ended."""
        owes_stop = self._heads is not None and self._heads.stop_pending
        return not owes_stop and all(stage.is_released for stage in self._guarded)

    def _mount(self, fittings: ActuatorSpecs, rng: random.Random) -> HeadsFitted:
        from agent.app.ptz_heads import PtzHeads  # noqa: PLC0415 - see the top

        return PtzHeads(fittings, self._ties, self._clock, self._faults, rng)

    def _verbs(self) -> list[CommandHandler]:
        verbs: list[CommandHandler] = [self._snapshots, *self._ties.verbs]
        if self._heads is not None:
            verbs.append(self._heads.verb)
        if self._pins is not None:
            from agent.gpio.gpio_command import GpioCommandHandler  # noqa: PLC0415 - see the top

            verbs.append(GpioCommandHandler(self._pins.set_output))
        return verbs

    def _open_pins(self, fitting: PinSpec) -> PinsFitted:
        from agent.gpio.pins import GpioStage  # noqa: PLC0415 - see the top

        return GpioStage(
            fitting.pins,
            fitting.open_gpio,
            self._clock.boottime_ns,
            self._faults,
            new_id=self._ties.new_id,
            on_event=self._ties.event,
            celsius=self._ties.celsius,
            night=self._ties.night,
        )


def _guarded(stages: Iterable[Stage]) -> tuple[LettingGo, ...]:
    from agent.failsafe.guarded import GuardedStage  # noqa: PLC0415 - see the top

    return tuple(GuardedStage(stage) for stage in stages)


def _guard(fittings: ActuatorSpecs, is_at_rest: Callable[[], bool]) -> Guarding | None:
    """What stops and lets go when the agent dies, None where nothing moves and nothing is switched."""
    switched = () if fittings.pins is None else outputs(fittings.pins.pins)
    if not fittings.heads and not switched:
        return None
    from agent.failsafe.guard_stage import Duties, GuardStage, HeadDuty, PinsDuty  # noqa: PLC0415 - see the top

    heads = tuple(
        HeadDuty(name=one.config.name, driver=one.config.driver, options=one.config.options)
        for one in fittings.heads
    )
    pins = None
    if fittings.pins is not None and switched:
        pins = PinsDuty(
            driver=fittings.pins.config.driver,
            options=fittings.pins.config.options,
            lines=switched,
        )
    return GuardStage(Duties(heads=heads, pins=pins), is_at_rest)
