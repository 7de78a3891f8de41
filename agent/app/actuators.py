"""Actuators of the box: heads, pins and the commands for them.

Most boxes have neither heads nor pins. The modules of both, and of their guard, are imported only on a
box that has some: with their libraries they take more memory than the box's own code.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from agent.app.actuator_specs import ActuatorSpecs, PinSpec
from agent.app.box_services import BoxServices
from agent.app.camera_pipeline import CameraPipeline
from agent.app.publisher import Publisher
from agent.base.health_model import DegradationLevel
from agent.base.model import IncomingCommand
from agent.capture.day_night import DayNightHandler, DayNightRequest, NightModeAccess
from agent.capture.snapshot_command import SnapshotCommandHandler
from agent.commands.command import CommandHandler, CommandProgressSink, Deferred, ValidCommand
from agent.commands.dispatcher import CommandDispatcher
from agent.commands.idempotency_store import IdempotencyStore
from agent.commands.local_command import LocalCommand, LocalCommandHandler
from agent.commands.requester import Requester
from agent.commands.signed_command import CommandAuthenticator
from agent.config.pins import output_lines, switchable_by_name
from agent.detection.image import encode_snapshot
from agent.health.vitals.machine import soc_celsius
from agent.reporting.payloads import HeadCapabilities, PinCapabilities
from agent.runtime.control_socket import ControlSocket
from agent.runtime.stage import Stage
from drivers.contracts import Pose

if TYPE_CHECKING:
    from agent.app.ptz_heads import PtzHeads
    from agent.failsafe.guard_stage import GuardedStage, GuardStage
    from agent.gpio.gpio_stage import GpioStage

COMMANDS_DB = "commands.db"


class Actuators:
    """Heads, pins and the command dispatcher of one box. Health and `on_command` are thread-safe."""

    def __init__(
        self,
        specs: ActuatorSpecs,
        services: BoxServices,
        publisher: Publisher,
        pipelines: Sequence[CameraPipeline],
        rng: random.Random,
        handlers: Iterable[CommandHandler] = (),
    ) -> None:
        """`handlers` are those of other parts of the box."""
        self._services = services
        self._publisher = publisher
        self._pipelines = {pipeline.name: pipeline for pipeline in pipelines}
        self._level: DegradationLevel = "full"
        self._pin_spec = specs.pins
        self._heads = self._open_heads(specs, rng) if specs.heads else None
        self._pins = None if specs.pins is None else self._open_pins(specs.pins)
        handlers = [*handlers, *self._make_handlers()]
        self._dispatcher = CommandDispatcher(
            handlers,
            IdempotencyStore(services.state_dir / COMMANDS_DB, services.clock, services.faults),
            services.clock,
            _make_authenticator(services, handlers),
        )
        self.control_socket = ControlSocket(services.state_dir, services.clock.boottime_ns)
        local_commands = LocalCommandHandler(
            self._dispatcher.submit_local, services.clock, services.new_id
        )
        self.control_socket.add_method(LocalCommand, local_commands.handle)
        day_night = DayNightHandler(
            {
                pipeline.name: NightModeAccess(
                    access=pipeline.access(),
                    read=pipeline.read_night_mode,
                    hold=pipeline.hold_night,
                )
                for pipeline in pipelines
            },
            self._night_outputs,
            services.clock.boottime_ns,
        )
        self.control_socket.add_method(DayNightRequest, day_night.handle)
        self._guarded_stages: tuple[GuardedStage, ...] = ()
        self.stages: tuple[Stage, ...] = (
            self.control_socket,
            *self._dispatcher.stages,
            *(() if self._heads is None else self._heads.stages),
            *(() if self._pins is None else (self._pins,)),
        )
        self.guard = _make_guard(specs, self._is_at_rest)
        """Stops moving heads and active outputs if the agent dies. None if the box has neither."""
        if self.guard is not None:
            # The command stages too: one that hangs may hold an order that is not carried out yet.
            self.stages = self._guarded_stages = _guard_stages(self.stages)

    def set_level(self, level: DegradationLevel) -> None:
        """Suspend tours from `record_only` on."""
        self._level = level

    def resume_command(self, command: ValidCommand, deferred: Deferred) -> CommandProgressSink:
        """Continue a command that an earlier run has accepted. Called before the stages start."""
        publish_reply = partial(self._publisher.publish_reply, address=command.reply_address)
        return self._dispatcher.resume(command, publish_reply, deferred)

    def on_command(self, incoming: IncomingCommand) -> None:
        """Queue a command that came over MQTT. Never blocks."""
        self._dispatcher.submit(incoming)

    def health_fields(self) -> dict[str, Any]:
        """Return the health of commands, heads and pins."""
        return {
            "commands": self._dispatcher.health(),
            "heads": () if self._heads is None else self._heads.health(),
            "pins": None if self._pins is None else self._pins.health(),
        }

    def run_local_command(self, incoming: IncomingCommand) -> None:
        """Queue a command of the box itself. Never blocks."""
        self._dispatcher.submit_local(incoming)

    def lease_holder(self, head: str) -> Requester | None:
        """Return the holder of a head's lease, or None."""
        return None if self._heads is None else self._heads.lease_holder(head)

    def stored_presets(self) -> dict[str, dict[str, Pose]]:
        """Return the pose of each preset that the box itself stores, by head. Thread-safe."""
        return {} if self._heads is None else self._heads.stored_presets()

    def on_scenes_replaced(self, pipeline: CameraPipeline) -> None:
        """Take the other presets that scenes of a camera were drawn at. Thread-safe."""
        if self._heads is not None:
            self._heads.on_scenes_replaced(pipeline)

    def head_capabilities(self) -> tuple[HeadCapabilities, ...]:
        """Return the heads' entries in the birth message."""
        return () if self._heads is None else self._heads.capabilities()

    def pin_capabilities(self) -> tuple[PinCapabilities, ...]:
        """Return the pins' entries in the birth message."""
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

    def _is_at_rest(self) -> bool:
        """Return True if nothing moves or is switched any more. Called after the stages' stop."""
        is_stop_pending = self._heads is not None and self._heads.stop_pending
        return not is_stop_pending and all(stage.is_released for stage in self._guarded_stages)

    def _night_outputs(self, camera: str) -> dict[str, bool]:
        return {} if self._pins is None else self._pins.night_outputs(camera)

    def _open_heads(self, specs: ActuatorSpecs, rng: random.Random) -> "PtzHeads":
        from agent.app.ptz_heads import PtzHeads  # noqa: PLC0415 - see the module's docstring

        return PtzHeads(
            specs.heads,
            self._services,
            self._pipelines,
            self._publisher,
            rng,
            should_suspend_tours=lambda: self._level in ("record_only", "heartbeat"),
        )

    def _open_pins(self, spec: PinSpec) -> "GpioStage":
        from agent.gpio.gpio_stage import GpioStage  # noqa: PLC0415 - see the module's docstring

        return GpioStage(
            spec.pins,
            spec.open_gpio,
            self._services.clock.boottime_ns,
            self._services.faults,
            new_id=self._services.new_id,
            on_event=self._publisher.publish_event,
            read_celsius=partial(soc_celsius, self._services.machine_root),
            read_night_mode=lambda camera: self._pipelines[camera].read_night_mode(),
        )

    def _make_handlers(self) -> list[CommandHandler]:
        snapshot_handler = SnapshotCommandHandler(
            {name: pipeline.access() for name, pipeline in self._pipelines.items()},
            encode_snapshot,
            self._publisher.publish_snapshot,
            self._publisher.record_snapshot_view,
            self._services.clock.boottime_ns,
        )
        handlers: list[CommandHandler] = [snapshot_handler]
        if self._heads is not None:
            handlers.append(self._heads.handler)
        if self._pins is not None:
            from agent.gpio.gpio_command import GpioCommandHandler  # noqa: PLC0415 - see the top

            handlers.append(GpioCommandHandler(self._pins.set_output))
        return handlers


def _make_authenticator(
    services: BoxServices, handlers: Sequence[CommandHandler]
) -> CommandAuthenticator | None:
    if services.authority is None:
        return None
    return CommandAuthenticator(
        services.authority, services.control, services.box_id, handlers, services.clock
    )


def _guard_stages(stages: Iterable[Stage]) -> "tuple[GuardedStage, ...]":
    from agent.failsafe.guard_stage import GuardedStage  # noqa: PLC0415 - see the module's docstring

    return tuple(GuardedStage(stage) for stage in stages)


def _make_guard(specs: ActuatorSpecs, is_at_rest: Callable[[], bool]) -> "GuardStage | None":
    switched_lines = () if specs.pins is None else output_lines(specs.pins.pins)
    if not specs.heads and not switched_lines:
        return None
    from agent.failsafe.guard_stage import Duties, GuardStage, HeadDuty, PinsDuty  # noqa: PLC0415 - see the module's docstring

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
