"""`[gpio]` and `[[pin]]`: the contacts, lamps, relays and fans of a box.

Pure; `docs/pins.md` shows every kind.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from agent.base.message import Message, Text
from agent.config.names import Name
from drivers.contracts import GpioLine

PinNumber = Annotated[int, msgspec.Meta(ge=0, le=53)]
"""The chip's number: 0 to 53 on a BCM2711 and on an RP1. The header has 0 to 27."""

DebounceSeconds = Annotated[float, msgspec.Meta(ge=0, le=60)]
MaxOnSeconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
Celsius = Annotated[float, msgspec.Meta(ge=-40, le=110)]


class GpioConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gpio]`: the driver of the pins. `options` belong to the driver, which checks them."""

    driver: str = "gpio"
    options: dict[str, Any] = {}


class _BasePin(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """The keys of every pin; see `drivers.contracts.GpioLine`."""

    name: Name
    pin: PinNumber
    active_low: bool = False


class _InputPin(_BasePin, frozen=True, kw_only=True):
    """A contact. Without the chip's pull it needs a resistor."""

    pull: Literal["up", "down", "none"] = "up"


class DoorPin(_InputPin, frozen=True, kw_only=True, tag="door"):
    """Active: the door is open."""

    debounce_s: DebounceSeconds = 0.1


class ShockPin(_InputPin, frozen=True, kw_only=True, tag="shock"):
    """A shock: a pulse of the shock sensor.

    Pulses within `quiet_s` are one shock, and its fault lasts `fault_s`.
    """

    quiet_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 2.0
    fault_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 3600.0


class PowerGoodPin(_InputPin, frozen=True, kw_only=True, tag="power_good"):
    """Active: mains power is present."""

    debounce_s: DebounceSeconds = 1.0


class UpsLowPin(_InputPin, frozen=True, kw_only=True, tag="ups_low"):
    """Active: the battery is nearly empty."""

    debounce_s: DebounceSeconds = 1.0


class StatusLedPin(_BasePin, frozen=True, kw_only=True, tag="status_led"):
    """Blinks the fault codes, see docs/runbook.md."""


class FanPin(_BasePin, frozen=True, kw_only=True, tag="fan"):
    """Runs from `on_celsius` of the processor until `off_celsius`, and while that is unknown."""

    on_celsius: Celsius = 65.0
    off_celsius: Celsius = 55.0


class HeaterPin(_BasePin, frozen=True, kw_only=True, tag="heater"):
    """Heats from `on_celsius` of the processor up to `off_celsius`; not while a fan runs."""

    on_celsius: Celsius = 5.0
    off_celsius: Celsius = 15.0


class IrLampPin(_BasePin, frozen=True, kw_only=True, tag="ir_lamp"):
    """Active while `camera` is in night mode."""

    camera: Name


class IrCutPin(_BasePin, frozen=True, kw_only=True, tag="ir_cut"):
    """Active while `camera` is in night mode: the filter is out of the light path."""

    camera: Name


class SirenPin(_BasePin, frozen=True, kw_only=True, tag="siren"):
    """A relay for a siren. A command can switch it only if it is `switchable`."""

    max_on_s: MaxOnSeconds = 60.0
    switchable: bool = False


class BeaconPin(_BasePin, frozen=True, kw_only=True, tag="beacon"):
    """A relay for a warning light. A command can switch it only if it is `switchable`."""

    max_on_s: MaxOnSeconds = 600.0
    switchable: bool = False


InputPin: TypeAlias = DoorPin | ShockPin | PowerGoodPin | UpsLowPin
OutputPin: TypeAlias = (
    StatusLedPin | FanPin | HeaterPin | IrLampPin | IrCutPin | SirenPin | BeaconPin
)
Pin: TypeAlias = InputPin | OutputPin
"""`[[pin]]`: the key `kind` selects the type."""


def gpio_lines(pins: Sequence[Pin]) -> tuple[GpioLine, ...]:
    """Return the lines that a driver opens for these pins."""
    return tuple(
        GpioLine(
            name=pin.name,
            pin=pin.pin,
            direction="in" if isinstance(pin, _InputPin) else "out",
            active_low=pin.active_low,
            pull=pin.pull if isinstance(pin, _InputPin) else "none",
        )
        for pin in pins
    )


def output_lines(pins: Sequence[Pin]) -> tuple[GpioLine, ...]:
    """Return the outputs, which the guard sets inactive if the agent dies."""
    return tuple(line for line in gpio_lines(pins) if line.direction == "out")


def switchable_by_name(pins: Sequence[Pin]) -> dict[str, bool]:
    """Return whether a command may switch each pin, by name."""
    return {pin.name: isinstance(pin, SirenPin | BeaconPin) and pin.switchable for pin in pins}


def iter_conflicts(pins: Sequence[Pin], cameras: Collection[str], context: str) -> Iterator[Text]:
    """Yield a line, which begins with `context`, for each conflict of the pins with each other."""
    index_by_name: dict[str, int] = {}
    index_by_number: dict[int, int] = {}
    for index, pin in enumerate(pins):
        prefix = f"{context}: pin[{index}]"
        if pin.name in index_by_name:
            yield (
                Message(
                    "{label}: used by pin[{other}] already; allowed: a name of its own for each pin",
                    label=f"{prefix}.name = {pin.name!r}",
                    other=index_by_name[pin.name],
                )
            )
        if pin.pin in index_by_number:
            yield (
                Message(
                    "{label}: used by pin[{other}] already; allowed: a number of its own for each pin",
                    label=f"{prefix}.pin = {pin.pin}",
                    other=index_by_number[pin.pin],
                )
            )
        index_by_name.setdefault(pin.name, index)
        index_by_number.setdefault(pin.pin, index)
        if isinstance(pin, IrLampPin | IrCutPin) and pin.camera not in cameras:
            yield (
                Message(
                    "{label}: no camera of this name; allowed: {allowed}",
                    label=f"{prefix}.camera = {pin.camera!r}",
                    allowed=", ".join(map(repr, cameras)),
                )
            )
        if isinstance(pin, FanPin) and pin.off_celsius >= pin.on_celsius:
            yield (
                Message(
                    "{label}: allowed: below on_celsius = {on_celsius:g}",
                    label=f"{prefix}.off_celsius = {pin.off_celsius:g}",
                    on_celsius=pin.on_celsius,
                )
            )
        if isinstance(pin, HeaterPin):
            yield from _heater_conflicts(pin, pins, prefix)


def _heater_conflicts(heater: HeaterPin, pins: Sequence[Pin], prefix: str) -> Iterator[Text]:
    if heater.off_celsius <= heater.on_celsius:
        yield (
            Message(
                "{label}: allowed: above on_celsius = {on_celsius:g}",
                label=f"{prefix}.off_celsius = {heater.off_celsius:g}",
                on_celsius=heater.on_celsius,
            )
        )
    for fan in pins:
        if isinstance(fan, FanPin) and heater.off_celsius >= fan.off_celsius:
            yield (
                Message(
                    "{label}: allowed: below off_celsius = {off_celsius:g} of the fan {name!r}",
                    label=f"{prefix}.off_celsius = {heater.off_celsius:g}",
                    off_celsius=fan.off_celsius,
                    name=fan.name,
                )
            )
