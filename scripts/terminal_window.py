"""A real terminal program on a display in memory: xterm as a VT340 under Xvfb."""

import os
import pty
import struct
import subprocess
import time
import tty
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

COLUMNS, ROWS = 80, 18
_DISPLAY_SIZE = "1024x768x24"
_REDRAW_S = 0.5
_XWD_FIELDS = struct.Struct(">25I")
"""The header of a window dump (XWDFile.h): its size, the pixels' width, height and line length, and colours."""


class TerminalWindow:
    """xterm at the other end of `fd`: what is written there is shown, and its answers are read there."""

    def __init__(self, folder: Path) -> None:
        self._dump = folder / "Xvfb_screen0"
        read_fd, write_fd = os.pipe()
        display_options = ["-screen", "0", _DISPLAY_SIZE, "-fbdir", str(folder), "-nocursor"]
        self._display = subprocess.Popen(  # noqa: S603 - fixed words
            ["Xvfb", "-displayfd", str(write_fd), *display_options],  # noqa: S607
            pass_fds=[write_fd],
            stderr=subprocess.DEVNULL,
        )
        os.close(write_fd)
        with os.fdopen(read_fd) as numbers:
            display = f":{numbers.readline().strip()}"
        master, self.fd = pty.openpty()
        tty.setraw(self.fd)
        size = f"{COLUMNS}x{ROWS}+0+0"
        colours = ["-bg", "#1b1b1b", "-fg", "#e6e6e6"]
        options = ["-ti", "vt340", "-geometry", size, "-fa", "Monospace", "-fs", "11", *colours]
        self._xterm = subprocess.Popen(  # noqa: S603 - fixed words
            ["xterm", *options, f"-S{os.ttyname(self.fd)}/{master}"],  # noqa: S607
            pass_fds=[master],
            env={**os.environ, "DISPLAY": display},
        )
        os.close(master)
        os.read(self.fd, 64)  # its window's number, with which xterm begins

    def __enter__(self) -> Self:
        """Return the window."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the window and its display."""
        for process in (self._xterm, self._display):
            process.terminate()
            process.wait()
        os.close(self.fd)

    def take_picture(self) -> npt.NDArray[Any]:
        """Return the pixels of the window, blue first, once they rest, without the empty display around it."""
        last = b""
        while (data := self._dump.read_bytes()) != last:
            last = data
            time.sleep(_REDRAW_S)
        header_bytes, _, _, _, width_px, height_px, *rest = _XWD_FIELDS.unpack_from(data)
        line_bytes, colours = rest[6], rest[13]
        pixels = np.frombuffer(
            data, np.uint8, height_px * line_bytes, header_bytes + colours * 12
        ).reshape(height_px, line_bytes // 4, 4)[:, :width_px, :3]
        shown = np.argwhere(pixels.any(axis=2))
        bottom, right = shown.max(axis=0) + 1
        return np.ascontiguousarray(pixels[:bottom, :right])
