"""The light of one camera's minutes: by it validation clips are drawn from its footage.

light/<camera>.json    a state file: spans of time with one light, the newest last
"""

import logging
import threading
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.clock import Clock
from agent.base.model import TrafficCounts
from agent.base.state_file import StateFile
from agent.base.view_condition import Light
from agent.detection.span_light import LightSpan
from agent.detection.traffic_counter import MINUTE_NS, minute_end_ns
from agent.runtime.pause import Pause

log = logging.getLogger(__name__)

LIGHT_DIR = "light"
"""Folder in the state folder."""
MAX_SPANS = 1000
"""Two a day, and some of each dusk and dawn: months."""
STORE_INTERVAL_S = 3600.0
"""A power cut loses the light of this time, and spares the card."""
_MAX_GAP_S = 2
"""Between two minutes of one span."""


class _LightFile(msgspec.Struct, frozen=True, kw_only=True):
    spans: Annotated[tuple[LightSpan, ...], msgspec.Meta(max_length=MAX_SPANS)] = ()


class CameraLight:
    """The light of one camera. The detect thread adds minutes and closes it; the rest may be called from any thread."""

    def __init__(self, camera: str, state_dir: Path, clock: Clock) -> None:
        self._camera = camera
        self._clock = clock
        self._file = StateFile(state_dir / LIGHT_DIR / f"{camera}.json", _LightFile)
        self._lock = threading.Lock()
        self._spans = list((self._file.load() or _LightFile()).spans)
        self._store_pause = Pause()
        self._store_pause.begin(clock.boottime_ns(), STORE_INTERVAL_S)

    def add(self, minute: TrafficCounts, light: Light) -> None:
        """Add a minute of counts with its light."""
        whole_ns = minute_end_ns(minute.begin_ns) - MINUTE_NS
        begin_s, end_s, whole_s = (
            int(self._clock.utc(t_ns).timestamp())
            for t_ns in (minute.begin_ns, minute.end_ns, whole_ns)
        )
        with self._lock:
            last = self._spans[-1] if self._spans else None
            if last is not None and last.light == light and _follows(begin_s, whole_s, last):
                self._spans[-1] = msgspec.structs.replace(last, end_s=max(end_s, last.end_s))
            else:
                self._spans.append(LightSpan(begin_s, end_s, light))
                del self._spans[:-MAX_SPANS]
        now_ns = self._clock.boottime_ns()
        if self._store_pause.is_over(now_ns):
            self._store_pause.begin(now_ns, STORE_INTERVAL_S)
            self.store()

    def spans(self) -> tuple[LightSpan, ...]:
        """Return the spans of one light in the order in which they were seen."""
        with self._lock:
            return tuple(self._spans)

    def store(self) -> None:
        """Store the spans."""
        try:
            self._file.write(_LightFile(spans=self.spans()))
        except OSError as error:
            log.error("camera %s: its light cannot be stored: %s", self._camera, error)


def _follows(begin_s: int, whole_s: int, span: LightSpan) -> bool:
    """Whether a minute belongs to a span; `whole_s` is its begin if nothing had cut it.

    The parts of a minute that a head cuts are of one span: there would be one for each stay.
    """
    return span.begin_s <= begin_s and whole_s <= span.end_s + _MAX_GAP_S
