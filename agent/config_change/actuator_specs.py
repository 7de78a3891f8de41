"""Specifications of the heads and pins of a configuration, with their drivers' options checked."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from agent.base import checked_convert
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.message import Message, message_of
from agent.config.configuration import Config
from agent.config.heads import HeadConfig
from agent.config.pins import GpioConfig, Pin
from drivers import catalog
from drivers.contracts import Gpio, GpioLine, Ptz
from drivers.errors import DriverError

if TYPE_CHECKING:
    from agent.ptz.preset_store import Preset


class HeadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A configured head and the function that opens its driver; `presets` are those of the centre's configuration."""

    config: HeadConfig
    open_ptz: Callable[[], Ptz]
    presets: "Mapping[str, Preset]" = {}


class PinSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The configured pins, at least one, and the function that opens their lines."""

    config: GpioConfig
    pins: tuple[Pin, ...]
    open_gpio: Callable[[Sequence[GpioLine]], Gpio]


class ActuatorSpecs(msgspec.Struct, frozen=True, kw_only=True):
    """The heads and pins of a box; `pins` is None if it has none."""

    heads: tuple[HeadSpec, ...] = ()
    pins: PinSpec | None = None


def load_actuator_specs(config: Config, clock: Clock, context: str) -> ActuatorSpecs:
    """Load the drivers of a configuration's heads and pins and check their options.

    `context` prefixes messages, such as the file's name. Raises: UserError if a driver, an option or a
    tour is wrong.
    """
    heads = tuple(
        load_head_spec(head, clock, context, f"head[{index}]")
        for index, head in enumerate(config.head)
    )
    return ActuatorSpecs(
        heads=heads, pins=load_pin_spec(config, clock, context) if config.pin else None
    )


def load_head_spec(head: HeadConfig, clock: Clock, context: str, key_path: str) -> HeadSpec:
    """Load the driver of the head at `key_path` of the configuration, and check its options.

    Raises: UserError as `load_actuator_specs` does.
    """
    # Imported here: most boxes have no head, and panoramas and time zones take memory.
    from agent.ptz.automation import panorama_scan, schedule  # noqa: PLC0415

    schedule.check_tours(head, f"{context}: {key_path}")
    panorama_scan.check_sweep(head, f"{context}: {key_path}")
    try:
        module = catalog.load_ptz_driver(head.driver)
    except DriverError as error:
        raise UserError(
            Message(
                "{label}: {problem}",
                label=f"{context}: {key_path}.driver",
                problem=message_of(error),
            )
        ) from error
    options: msgspec.Struct = checked_convert.convert(
        head.options, module.Options, context, f"{key_path}.options"
    )

    def open_ptz() -> Ptz:
        return module.open_ptz(head.name, options, clock.boottime_ns)

    return HeadSpec(config=head, open_ptz=open_ptz)


def load_pin_spec(config: Config, clock: Clock, context: str) -> PinSpec:
    """Load the driver of the pins, and check its options. Raises: UserError as `load_actuator_specs` does."""
    try:
        module = catalog.load_gpio_driver(config.gpio.driver)
    except DriverError as error:
        raise UserError(
            Message(
                "{label}: {problem}", label=f"{context}: gpio.driver", problem=message_of(error)
            )
        ) from error
    options: msgspec.Struct = checked_convert.convert(
        config.gpio.options, module.Options, context, "gpio.options"
    )

    def open_gpio(lines: Sequence[GpioLine]) -> Gpio:
        return module.open_gpio(options, lines, clock.boottime_ns)

    return PinSpec(config=config.gpio, pins=config.pin, open_gpio=open_gpio)
