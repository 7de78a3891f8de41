"""The stable names of devices under /dev, which udev keeps as links."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path


def stable_names(folder: Path) -> Mapping[str, str]:
    """Return the links of a folder by their target; of two with one target, the first."""
    with contextlib.suppress(OSError):
        return {
            os.path.realpath(link): str(link) for link in sorted(folder.iterdir(), reverse=True)
        }
    return {}
