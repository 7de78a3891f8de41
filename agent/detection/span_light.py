"""Light of a span of time: that of most of its pictures. Pure."""

import msgspec

from agent.base.view_condition import Light
from agent.detection.headlights import is_night
from drivers.media import Plane


class LightSpan(msgspec.Struct, frozen=True):
    """Time in which a camera's view had one light, in seconds of UTC since 1970."""

    begin_s: int
    end_s: int
    light: Light


class SpanLight:
    """The light of a span, such as a minute of a camera or a film, from its pictures."""

    def __init__(self) -> None:
        self._pictures = self._at_night = 0

    def observe(self, gate_luma: Plane) -> None:
        """Take a picture of the span: the gate's."""
        self._pictures += 1
        self._at_night += is_night(gate_luma)

    def end(self) -> Light:
        """Return the light of the span, and begin the next one."""
        light: Light = "night" if 2 * self._at_night > self._pictures else "day"
        self._pictures = self._at_night = 0
        return light
