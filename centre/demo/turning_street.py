"""The camera on the demo's head: the rendered avenue, as the head's body looks at it."""

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from agent.config.heads import FieldOfView
from agent.ptz.motion.field_of_view import width_deg
from drivers.contracts import Wanted
from drivers.errors import DriverError
from drivers.masking import MaskPainter
from drivers.media import Frame, StreamInfo
from drivers.simulated.motion import HeadMotion
from drivers.street.planes import planes_of
from drivers.street.surround import Around

NS_PER_S = 1_000_000_000
Image = npt.NDArray[np.uint8]


class TurningStreet:
    """A Camera that gives frames alone, at their own pace.

    Where the head's body is in truth decides what it sees, not what the head says. A picture that
    could not be painted in time is left out.
    """

    def __init__(
        self,
        street: Around,
        size_px: tuple[int, int],
        fps: float,
        body: HeadMotion,
        fov: FieldOfView,
        wanted: Wanted,
        clock_ns: Callable[[], int],
    ) -> None:
        """`street` paints pictures of `size_px`, width and height."""
        self._street = street
        self._every_ns = round(NS_PER_S / fps)
        self._body = body
        self._fov = fov
        self._clock_ns = clock_ns
        self._closed = threading.Event()
        self._masks = MaskPainter(wanted.masks, "the street", wanted.masks_now)
        self._start_ns = clock_ns()
        self._seq = -1
        width_px, height_px = size_px
        self._info = StreamInfo(
            codec="rawvideo",
            width_px=width_px,
            height_px=height_px,
            fps=fps,
            extradata=b"",
            masked=wanted.masked,
        )

    @property
    def info(self) -> StreamInfo:
        """The stream's parameters."""
        return self._info

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame; None where none is due within `timeout_s`."""
        late_ns = self._clock_ns() - self._start_ns
        seq = max(self._seq + 1, late_ns // self._every_ns)
        wait_s = (seq * self._every_ns - late_ns) / NS_PER_S
        self._closed.wait(max(0.0, min(wait_s, timeout_s)))
        if self._closed.is_set():
            raise DriverError("absent", "the street: is closed")
        if wait_s > timeout_s:
            return None
        self._seq = seq
        t_ns = self._clock_ns()
        y, u, v = self._masks.painted(planes_of(self._picture(t_ns, seq)))
        return Frame(seq=seq, t_ns=t_ns, y=y, u=u, v=v)

    def close(self) -> None:
        """End; a waiting `read` ends at once."""
        self._closed.set()

    def _picture(self, t_ns: int, seq: int) -> Image:
        state = self._body.state(t_ns)
        fov_deg = width_deg(self._fov, state.zoom)
        street_s = (t_ns - self._start_ns) / NS_PER_S
        return self._street.paint(state.pan_deg, state.tilt_deg, fov_deg, street_s, seq)
