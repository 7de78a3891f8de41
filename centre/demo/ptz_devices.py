"""Simulated devices of the demo: a head at the far end of a serial line, and the camera on it, which sees the rendered street."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.config.heads import FieldOfView
from agent.ptz.motion.field_of_view import horizontal_fov_deg
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.masking import MaskPainter
from drivers.media import Frame, StreamInfo
from drivers.visca_options import Options
from simulation.heads.head_simulator import HeadMechanics, HeadSimulator
from simulation.heads.pty_serial_line import PtySerialLine
from simulation.heads.visca_device import ViscaCameraChain
from simulation.street.renderer import bgr_to_planes
from simulation.surround.surround_renderer import SurroundRenderer

ImageArray = npt.NDArray[np.uint8]


class HeadMountedStreetCamera:
    """A Camera that returns frames only, at `fps`; a frame that is rendered too late is skipped.

    Its view follows the simulated mechanics, not the position that the head reports.
    """

    def __init__(
        self,
        street: SurroundRenderer,
        size_px: tuple[int, int],
        fps: float,
        head_motion: HeadSimulator,
        fov: FieldOfView,
        wanted: StreamRequest,
        clock_ns: Callable[[], int],
    ) -> None:
        """Open the camera. `street` renders images of `size_px` (width, height)."""
        self._street = street
        self._frame_interval_ns = round(1e9 / fps)
        self._head_motion = head_motion
        self._fov = fov
        self._clock_ns = clock_ns
        self._closed = threading.Event()
        self._masks = MaskPainter(wanted.masks, "the street", wanted.current_masks)
        self._start_ns = clock_ns()
        self._seq = -1
        width_px, height_px = size_px
        self._info = StreamInfo(
            codec="rawvideo",
            width_px=width_px,
            height_px=height_px,
            fps=fps,
            extradata=b"",
            masked=wanted.has_masks,
        )

    @property
    def info(self) -> StreamInfo:
        """The stream's parameters."""
        return self._info

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame, or None if none is due within `timeout_s`."""
        elapsed_ns = self._clock_ns() - self._start_ns
        seq = max(self._seq + 1, elapsed_ns // self._frame_interval_ns)
        wait_s = (seq * self._frame_interval_ns - elapsed_ns) / 1e9
        self._closed.wait(max(0.0, min(wait_s, timeout_s)))
        if self._closed.is_set():
            raise DriverError("absent", "the rendered street is closed")
        if wait_s > timeout_s:
            return None
        self._seq = seq
        t_ns = self._clock_ns()
        y, u, v = self._masks.paint_planes(bgr_to_planes(self._paint(t_ns, seq)), t_ns)
        return Frame(seq=seq, t_ns=t_ns, y=y, u=u, v=v)

    def close(self) -> None:
        """Close the camera; a blocked `read` raises at once."""
        self._closed.set()

    def _paint(self, t_ns: int, seq: int) -> ImageArray:
        state = self._head_motion.state_at(t_ns)
        fov_deg = horizontal_fov_deg(self._fov, state.zoom)
        street_s = (t_ns - self._start_ns) / 1e9
        return self._street.render(state.pan_deg, state.tilt_deg, fov_deg, street_s, seq)


class SimulatedHead:
    """A head built from the driver's `options`; their port is a link to a pseudo-terminal."""

    def __init__(self, options: Options, clock_ns: Callable[[], int]) -> None:
        specs = options.specs
        mechanics = HeadMechanics(
            pan_deg=specs.pan_deg,
            tilt_deg=specs.tilt_deg,
            pan_max_deg_s=specs.pan_speeds_deg_s[-1],
            tilt_max_deg_s=specs.tilt_speeds_deg_s[-1],
        )
        self.motion = HeadSimulator(mechanics, clock_ns())
        """The true pose, which the head reports only when it is asked."""
        self._line = PtySerialLine(
            Path(options.port),
            [ViscaCameraChain([self.motion], specs)],
            clock_ns,
            baud=options.baud,
        )

    def close(self) -> None:
        """Close the line and remove the link."""
        self._line.close()
