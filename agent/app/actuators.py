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
from agent.config.pins import output_lines, switchable_by_name
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt.connection import ReceivedCommand
from agent.reporting.payloads import HeadCapabilities, PinCapabilities
from agent.runtime.stage import Stage
from drivers.media import Frame

COMMANDS_DB = "commands.db"


class PtzHeadGroup(Protocol):
    """See `agent.app.ptz_heads.Heads`."""

    @property
    def handler(self) -> CommandHandler:
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

    def on_frame_result(self, camera: str, frame: Frame, result: FrameResult) -> None:
        """A frame that detection has looked at, and what it saw."""
        ...

    def health(self) -> tuple[HeadHealth, ...]:
        """Of each."""
        ...

    def capabilities(self) -> tuple[HeadCapabilities, ...]:
        """For the birth."""
        ...


class PinStage(Stage, Protocol):
    """See `agent.gpio.gpio_stage.Pins`."""

    def set_output(self, name: str, active: bool, for_s: float | None, by: str) -> None:  # noqa: FBT001 - as there
        """Switch one."""
        ...

    def health(self) -> PinHealth:
        """Of them all."""
        ...


class FailsafeStage(Stage, Protocol):
    """See `agent.failsafe.guard_stage.GuardStage`."""

    def start_process(self) -> None:
        """Put the guard there."""
        ...

    def hand_over(self) -> None:
        """The agent is at its end: what has not come to rest is the guard's."""
        ...


class ReleasableStage(Stage, Protocol):
    """See `agent.failsafe.guard_stage.Guarded`."""

    @property
    def is_released(self) -> bool:
        """Whether it was closed in good order."""
        ...


class Actuators:
    """Heads, pins and commands of one box. Any thread may ask for health and give commands."""

    def __init__(
        self,
        specs: ActuatorSpecs,
        deps: ActuatorDeps,
        clock: Clock,
        faults: FaultRegistry,
        rng: random.Random,
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._deps = deps
        self._heads = self._open_heads(specs, rng) if specs.heads else None
        self._pin_spec = specs.pins
        self._pins = None if specs.pins is None else self._open_pins(specs.pins)
        self._snapshot_handler = SnapshotCommandHandler(
            deps.access_by_camera,
            deps.encode_jpeg,
            deps.snapshot_sink.publish_snapshot,
            deps.snapshot_sink.record_snapshot_view,
        )
        self._dispatcher = CommandDispatcher(
            self._make_handlers(),
            IdempotencyStore(deps.state_dir / COMMANDS_DB, clock, faults),
            clock,
        )
        self._socket_server = CommandSocketServer(
            deps.state_dir, self._dispatcher.submit, clock, deps.new_id
        )
        stages = self._all_stages()
        self._guarded_stages: tuple[ReleasableStage, ...] = ()
        self.guard = _make_guard(specs, self._is_at_rest)
        """Stops what moves when the agent dies. It stands before the others, and goes after them;
        None where nothing moves."""
        if self.guard is not None:
            # Those that bring commands too: one that hangs may have an order on its way.
            stages = self._guarded_stages = _guard_stages(stages)
        self.stages: tuple[Stage, ...] = stages
        """Those that bring commands first, then those that obey them."""

    def on_command(self, received: ReceivedCommand) -> None:
        """A command came over MQTT. Never blocks."""
        incoming = IncomingCommand(
            verb=received.verb,
            payload=received.payload,
            via="MQTT",
            send_reply=lambda reply: self._deps.send_reply(reply, received),
            retained=received.retained,
        )
        self._dispatcher.submit(incoming)

    def on_frame_result(self, camera: str, frame: Frame, result: FrameResult) -> None:
        """A frame that detection has looked at, and what it saw."""
        self._snapshot_handler.offer(camera, frame)
        if self._heads is not None:
            self._heads.on_frame_result(camera, frame, result)

    def commands_health(self) -> CommandHealth:
        """Of the commands."""
        return self._dispatcher.health()

    def heads_health(self) -> tuple[HeadHealth, ...]:
        """Of each head."""
        return () if self._heads is None else self._heads.health()

    def pins_health(self) -> PinHealth | None:
        """Of the pins, None where the box has none."""
        return None if self._pins is None else self._pins.health()

    def head_capabilities(self) -> tuple[HeadCapabilities, ...]:
        """For the birth."""
        return () if self._heads is None else self._heads.capabilities()

    def pin_capabilities(self) -> tuple[PinCapabilities, ...]:
        """For the birth."""
        if self._pin_spec is None:
            return ()
        is_switchable = switchable_by_name(self._pin_spec.pins)
        return tuple(
            PinCapabilities(
                name=pin.name,
                kind=str(type(pin).__struct_config__.tag),
                switchable=is_switchable[pin.name],
            )
            for pin in self._pin_spec.pins
        )

    def _all_stages(self) -> tuple[Stage, ...]:
        heads = () if self._heads is None else self._heads.stages
        pins = () if self._pins is None else (self._pins,)
        return (self._socket_server, *self._dispatcher.stages, *heads, *pins)

    def _is_at_rest(self) -> bool:
        """Whether nothing moves or is switched any more, once the stages were to have ended."""
        is_stop_pending = self._heads is not None and self._heads.stop_pending
        return not is_stop_pending and all(stage.is_released for stage in self._guarded_stages)

    def _open_heads(self, specs: ActuatorSpecs, rng: random.Random) -> PtzHeadGroup:
        from agent.app.ptz_heads import PtzHeads  # noqa: PLC0415 - see the top

        return PtzHeads(specs, self._deps, self._clock, self._faults, rng)

    def _make_handlers(self) -> list[CommandHandler]:
        handlers: list[CommandHandler] = [self._snapshot_handler, *self._deps.handlers]
        if self._heads is not None:
            handlers.append(self._heads.handler)
        if self._pins is not None:
            from agent.gpio.gpio_command import GpioCommandHandler  # noqa: PLC0415 - see the top

            handlers.append(GpioCommandHandler(self._pins.set_output))
        return handlers

    def _open_pins(self, spec: PinSpec) -> PinStage:
        from agent.gpio.gpio_stage import GpioStage  # noqa: PLC0415 - see the top

        return GpioStage(
            spec.pins,
            spec.open_gpio,
            self._clock.boottime_ns,
            self._faults,
            new_id=self._deps.new_id,
            on_event=self._deps.on_event,
            read_celsius=self._deps.read_celsius,
            read_night_mode=self._deps.read_night_mode,
        )


def _guard_stages(stages: Iterable[Stage]) -> tuple[ReleasableStage, ...]:
    from agent.failsafe.guard_stage import GuardedStage  # noqa: PLC0415 - see the top

    return tuple(GuardedStage(stage) for stage in stages)


def _make_guard(specs: ActuatorSpecs, is_at_rest: Callable[[], bool]) -> FailsafeStage | None:
    """What stops and lets go when the agent dies, None where nothing moves and nothing is switched."""
    switched_lines = () if specs.pins is None else output_lines(specs.pins.pins)
    if not specs.heads and not switched_lines:
        return None
    from agent.failsafe.guard_stage import Duties, GuardStage, HeadDuty, PinsDuty  # noqa: PLC0415 - see the top

    heads = tuple(
        HeadDuty(name=spec.config.name, driver=spec.config.driver, options=spec.config.options)
        for spec in specs.heads
    )
    pins = None
    if specs.pins is not None and switched_lines:
        pins = PinsDuty(
            driver=specs.pins.config.driver,
            options=specs.pins.config.options,
            lines=switched_lines,
        )
    return GuardStage(Duties(heads=heads, pins=pins), is_at_rest)
