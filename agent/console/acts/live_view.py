"""Live view of cameras: previews that stay open between pictures, and the search for the best focus of each."""

from collections.abc import Callable

import msgspec

from agent.base.message import Message
from agent.capture.focus_search import FocusSearch
from agent.console.acts.aiming import CameraReading, read_camera
from agent.console.arguments import choose_arg
from agent.console.camera_preview import DEFAULT_SIZE_PX, CameraPreview, DirectPreview
from agent.console.context import ConsoleContext
from agent.console.errors import AgentDown, ConsoleError

IDLE_NS = 10_000_000_000
"""A preview that is unused for this time is closed; the next picture is another view, with its own receipt."""


class LivePicture(msgspec.Struct, frozen=True):
    """A picture as a JPEG, and its readings."""

    jpeg: bytes
    reading: CameraReading


class _OpenView:
    def __init__(self, preview: CameraPreview) -> None:
        self.preview = preview
        self.last_use_ns = 0


class LiveViews:
    """The live views of one technician. Used by one thread at a time."""

    def __init__(self, purpose: str, clock_ns: Callable[[], int]) -> None:
        """`purpose` is that of the receipts."""
        self._purpose = purpose
        self._clock_ns = clock_ns
        self._views: dict[str, _OpenView] = {}
        self._searches: dict[str, FocusSearch] = {}

    def read(
        self, context: ConsoleContext, camera: str, timeout_s: float, jpeg_max_bytes: int
    ) -> LivePicture | None:
        """Return the next picture, or None if none came in time. Raises ConsoleError.

        The receipt of a view is written when it is opened.
        """
        try:
            preview = self.open(context, camera)
            picture = preview.read(timeout_s, DEFAULT_SIZE_PX, jpeg_max_bytes)
        except AgentDown:
            # It has ended since the last picture: the camera is free to be opened here.
            self._close(camera)
            preview = self.open(context, camera)
            picture = preview.read(timeout_s, DEFAULT_SIZE_PX, jpeg_max_bytes)
        except ConsoleError:
            self._close(camera)
            raise
        if picture is None:
            return None
        search = self._searches.setdefault(camera, FocusSearch())
        reading = read_camera(context, camera, preview.source, picture, search)
        return LivePicture(picture.jpeg, reading)

    def open(self, context: ConsoleContext, camera: str) -> CameraPreview:
        """Return the open preview of a camera. Raises ConsoleError."""
        context.require_config()
        choose_arg(Message("camera"), camera, context.camera_names)
        view = self._views.get(camera)
        if view is not None and self._is_in_the_agents_way(context, view):
            self._close(camera)
            view = None
        if view is None:
            view = self._views[camera] = _OpenView(context.open_preview(camera, self._purpose))
        view.last_use_ns = self._clock_ns()
        return view.preview

    def restart_search(self, camera: str) -> None:
        """Forget the sharpest picture of a camera."""
        self._searches.pop(camera, None)

    def close_idle(self) -> None:
        """Close the previews that are not used any more."""
        now_ns = self._clock_ns()
        for camera, view in list(self._views.items()):
            if now_ns - view.last_use_ns > IDLE_NS:
                self._close(camera)

    def close(self) -> None:
        """Close all previews."""
        for camera in list(self._views):
            self._close(camera)

    @staticmethod
    def _is_in_the_agents_way(context: ConsoleContext, view: _OpenView) -> bool:
        """Return True if this process has the camera open, and an agent runs that needs it."""
        return isinstance(view.preview, DirectPreview) and context.agent_state().state not in (
            "dead",
            "stopped",
        )

    def _close(self, camera: str) -> None:
        view = self._views.pop(camera, None)
        if view is not None:
            view.preview.close()
