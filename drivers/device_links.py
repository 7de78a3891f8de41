"""The names under /dev that stay the same, which udev keeps as links."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path


def stable_names(folder: Path) -> Mapping[str, str]:
    """Where the links of a folder lead to, and their names; of two that lead to one, the first."""
    with contextlib.suppress(OSError):
        return {
            os.path.realpath(link): str(link) for link in sorted(folder.iterdir(), reverse=True)
        }
    return {}
