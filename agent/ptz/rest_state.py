"""Rest of a head: at which preset it rests, and whether its picture is settled."""

import threading
from collections.abc import Callable

from agent.base.model import ShiftTolerance
from agent.ptz.motion_controller import MotionController
from agent.ptz.preset_position import PresetPosition

RestCallback = Callable[[str | None, bool, ShiftTolerance | None], None]


class RestState:
    """The rest of one head, and its changes. Thread-safe.

    `on_change` is called with each new preset and `settled`, and with how far the picture may have
    shifted at a masked preset.
    """

    def __init__(
        self,
        controller: MotionController,
        preset_position: PresetPosition,
        settle_s: float,
        on_change: RestCallback,
    ) -> None:
        self._controller = controller
        self._preset_position = preset_position
        self._settle_s = settle_s
        self._on_change = on_change
        self._lock = threading.Lock()
        self._last: tuple[str | None, bool] | None = None

    def read(self, t_ns: int) -> tuple[str | None, bool]:
        """Return the preset, None elsewhere or in motion, and whether the picture is settled."""
        since_ns = self._controller.at_rest_since_ns
        if since_ns is None:
            return None, False
        is_settled = (t_ns - since_ns) / 1e9 >= self._settle_s
        return self._preset_position.current_preset(), is_settled

    def notify_again(self, t_ns: int) -> None:
        """Call `on_change`, also if nothing has changed: the scenes of the presets have."""
        with self._lock:
            self._last = None
        self.notify(t_ns)

    def notify(self, t_ns: int) -> None:
        """Call `on_change` if the preset, or whether the picture is settled, has changed."""
        with self._lock:
            current = self.read(t_ns)
            if current == self._last:
                return
            self._last = current
            self._on_change(*current, self._preset_position.shift_tolerance(current[0]))
