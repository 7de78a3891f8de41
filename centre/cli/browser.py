"""The browser of the person at this machine."""

import os
import sys
import webbrowser
from collections.abc import Mapping

_GRAPHICAL = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
"""With none of these a Linux machine has at most a browser of text, which would take over the terminal."""


def open_in_browser(address: str) -> str:
    """Open an address in a browser if there is one, and return words that say so."""
    is_opened = _has_browser(os.environ) and webbrowser.open(address)
    return "opened in the browser" if is_opened else "open it in a browser"


def _has_browser(environ: Mapping[str, str]) -> bool:
    return sys.platform in {"darwin", "win32"} or any(environ.get(name) for name in _GRAPHICAL)
