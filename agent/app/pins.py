"""The pins of a box: their stage, command, health and capabilities."""

from collections.abc import Sequence
from functools import partial

from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.app.publisher import Publisher
from agent.config.pins import switchable_by_name
from agent.config_change.actuator_specs import PinSpec
from agent.gpio.gpio_command import GpioCommandHandler
from agent.gpio.gpio_stage import GpioStage
from agent.health.vitals.machine import soc_celsius
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.reporting.payloads import PinCapabilities
from agent.runtime.stage import Stage


class Pins:
    """Opened by the stage. `health` is thread-safe."""

    def __init__(
        self,
        spec: PinSpec,
        box: BoxContext,
        pipelines: Sequence[CameraPipeline],
        publisher: Publisher,
    ) -> None:
        night_modes = {pipeline.name: pipeline.read_night_mode for pipeline in pipelines}
        stage = GpioStage(
            spec.pins,
            spec.open_gpio,
            box.clock.boottime_ns,
            box.faults,
            new_id=box.new_id,
            on_event=publisher.publish_event,
            read_celsius=partial(soc_celsius, box.machine_root),
            read_night_mode=lambda camera: night_modes[camera](),
        )
        self.health, self.night_outputs = stage.health, stage.night_outputs
        is_switchable = switchable_by_name(spec.pins)
        self.capabilities = tuple(
            PinCapabilities(
                name=pin.name,
                kind=str(type(pin).__struct_config__.tag),
                switchable=is_switchable[pin.name],
            )
            for pin in spec.pins
        )
        """The pins' entries in the birth message."""
        self.stages: tuple[Stage, ...] = (stage,)
        """To be guarded, see `agent.app.actuators`."""
        self.feature = Feature(handlers=(GpioCommandHandler(stage.set_output),))
