"""Fan and heater by the processor's temperature. Pure."""

from collections.abc import Sequence

from agent.config.pins import FanPin, HeaterPin


class Thermostat:
    """Switches each pin on at one temperature and off at another, so that none chatters.

    While the temperature is unknown the fans run and the heaters do not. No heater is on while a
    fan runs.
    """

    def __init__(self, pins: Sequence[FanPin | HeaterPin]) -> None:
        self._fans = {pin: True for pin in pins if isinstance(pin, FanPin)}
        self._heaters = {pin: False for pin in pins if isinstance(pin, HeaterPin)}

    def step(self, celsius: float | None) -> dict[str, bool]:
        """Return which pins are on at this temperature, by name."""
        for fan, was_on in self._fans.items():
            hot = celsius is None or celsius >= fan.on_celsius
            cool = celsius is not None and celsius <= fan.off_celsius
            self._fans[fan] = hot or (was_on and not cool)
        fan_on = any(self._fans.values())
        for heater, was_on in self._heaters.items():
            cold = celsius is not None and celsius <= heater.on_celsius
            warm = celsius is None or celsius >= heater.off_celsius
            self._heaters[heater] = not fan_on and (cold or (was_on and not warm))
        return {pin.name: on for pin, on in (*self._fans.items(), *self._heaters.items())}
