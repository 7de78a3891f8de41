"""Actuators of the box: heads and pins, and the guard that stops them if the agent dies.

Most boxes have neither heads nor pins. The modules of both, and of their guard, are imported only on a
box that has some: with their libraries they take more memory than the box's own code.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.app.publisher import Publisher
from agent.base.health_model import HeadHealth, PinHealth
from agent.capture.day_night import DayNightHandler, DayNightRequest, NightModeAccess
from agent.commands.requester import Requester
from agent.config.pins import output_lines
from agent.config_change.actuator_specs import ActuatorSpecs, PinSpec
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.reporting.payloads import HeadCapabilities, PinCapabilities
from agent.runtime.control_socket import ControlSocket
from agent.runtime.stage import Stage
from agent.runtime.supervisor import Order
from drivers.contracts import Pose

if TYPE_CHECKING:
    from agent.app.pins import Pins
    from agent.app.ptz_heads import PtzHeads
    from agent.failsafe.guard_stage import GuardStage


class Actuators(msgspec.Struct, frozen=True):
    """The heads and the pins of one box, None if it has none. Thread-safe."""

    heads: "PtzHeads | None"
    pins: "Pins | None"

    @property
    def features(self) -> tuple[Feature, ...]:
        """The commands of both."""
        return tuple(part.feature for part in (self.heads, self.pins) if part is not None)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of both, to be guarded."""
        parts = (part for part in (self.heads, self.pins) if part is not None)
        return tuple(stage for part in parts for stage in part.stages)

    def head_health(self) -> tuple[HeadHealth, ...]:
        """Return the health of each head."""
        return () if self.heads is None else self.heads.health()

    def pin_health(self) -> PinHealth | None:
        """Return the health of the pins, or None without pins."""
        return None if self.pins is None else self.pins.health()

    def night_outputs(self, camera: str) -> dict[str, bool]:
        """Return the filters and lamps that follow the night mode of a camera, and whether each is active."""
        return {} if self.pins is None else self.pins.night_outputs(camera)

    def lease_holder(self, head: str) -> Requester | None:
        """Return the holder of a head's lease, or None."""
        return None if self.heads is None else self.heads.lease_holder(head)

    def stored_presets(self) -> Mapping[str, Mapping[str, Pose]]:
        """Return the pose of each preset that the box itself stores, by head."""
        return {} if self.heads is None else self.heads.stored_presets()

    def on_scenes_replaced(self, pipeline: CameraPipeline) -> None:
        """Take the other presets that scenes of a camera were drawn at."""
        if self.heads is not None:
            self.heads.on_scenes_replaced(pipeline)

    def head_capabilities(self) -> tuple[HeadCapabilities, ...]:
        """Return the heads' entries in the birth message."""
        return () if self.heads is None else self.heads.capabilities()

    def pin_capabilities(self) -> tuple[PinCapabilities, ...]:
        """Return the pins' entries in the birth message."""
        return () if self.pins is None else self.pins.capabilities


def make_actuators(
    specs: ActuatorSpecs,
    box: BoxContext,
    pipelines: Sequence[CameraPipeline],
    publisher: Publisher,
) -> Actuators:
    """Build the heads and the pins of a configuration."""
    return Actuators(
        _make_heads(specs, box, pipelines, publisher) if specs.heads else None,
        None if specs.pins is None else _make_pins(specs.pins, box, pipelines, publisher),
    )


def _make_heads(
    specs: ActuatorSpecs,
    box: BoxContext,
    pipelines: Sequence[CameraPipeline],
    publisher: Publisher,
) -> "PtzHeads":
    from agent.app.ptz_heads import PtzHeads  # noqa: PLC0415 - see the module's docstring

    return PtzHeads(specs.heads, box, pipelines, publisher)


def _make_pins(
    spec: PinSpec,
    box: BoxContext,
    pipelines: Sequence[CameraPipeline],
    publisher: Publisher,
) -> "Pins":
    from agent.app.pins import Pins  # noqa: PLC0415 - see the module's docstring

    return Pins(spec, box, pipelines, publisher)


def serve_day_night(
    box: BoxContext,
    pipelines: Sequence[CameraPipeline],
    actuators: Actuators,
    control_socket: ControlSocket,
) -> None:
    """Add the control socket's requests of the day and night test."""
    handler = DayNightHandler(
        {
            pipeline.name: NightModeAccess(
                access=pipeline.access(), read=pipeline.read_night_mode, hold=pipeline.hold_night
            )
            for pipeline in pipelines
        },
        actuators.night_outputs,
        box.clock.boottime_ns,
    )
    control_socket.add_method(DayNightRequest, handler.handle)


def guard_stages(
    specs: ActuatorSpecs, actuators: Actuators, command_stages: Iterable[Stage]
) -> tuple[Feature, "GuardStage | None"]:
    """Return the stages of the actuators and of the commands, and the guard if something moves or is switched.

    The command stages are guarded too: one that hangs may hold an order that is not carried out yet.
    """
    stages: tuple[Stage, ...] = (*command_stages, *actuators.stages)
    switched_lines = () if specs.pins is None else output_lines(specs.pins.pins)
    if not specs.heads and not switched_lines:
        return Feature(stages={Order.ACTUATORS: stages}), None
    from agent.failsafe.guard_stage import Duties, GuardedStage, GuardStage, HeadDuty, PinsDuty  # noqa: PLC0415 - see the module's docstring

    guarded = tuple(GuardedStage(stage) for stage in stages)

    def is_at_rest() -> bool:
        """Return True if nothing moves or is switched any more. Called after the stages' stop."""
        is_stop_pending = actuators.heads is not None and actuators.heads.stop_pending
        return not is_stop_pending and all(stage.is_released for stage in guarded)

    duties = Duties(
        heads=tuple(
            HeadDuty(name=spec.config.name, driver=spec.config.driver, options=spec.config.options)
            for spec in specs.heads
        ),
        pins=PinsDuty(
            driver=specs.pins.config.driver, options=specs.pins.config.options, lines=switched_lines
        )
        if specs.pins is not None and switched_lines
        else None,
    )
    guard = GuardStage(duties, is_at_rest)
    return Feature(stages={Order.ACTUATORS: guarded, Order.GUARD: (guard,)}), guard
