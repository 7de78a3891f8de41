"""Light of a span of time: that of most of its pictures. Pure."""

import msgspec

from agent.base.model import FrameResult
from agent.base.view_condition import Light


class LightSpan(msgspec.Struct, frozen=True):
    """Time in which a camera's view had one light, in seconds of UTC since 1970."""

    begin_s: int
    end_s: int
    light: Light


class SpanLight:
    """The light of a span, such as a minute of a camera or a film, from its pictures."""

    def __init__(self) -> None:
        self._pictures = self._at_night = 0

    def observe(self, result: FrameResult) -> None:
        """Take the result of a picture of the span."""
        self._pictures += 1
        self._at_night += result.is_night

    def end(self) -> Light:
        """Return the light of the span, and begin the next one."""
        light: Light = "night" if 2 * self._at_night > self._pictures else "day"
        self._pictures = self._at_night = 0
        return light
