"""What is used of the ONVIF library, imported without what its import does beside.

It configures the root logger as it is imported (`onvif.client`, by `logging.basicConfig`), which is
the program's to do: the root logger is put back as it was.
"""

import logging

_root = logging.getLogger()
_root_state = (list(_root.handlers), _root.level)

from onvif.client import ONVIFCamera  # type: ignore[import-untyped]  # noqa: E402 - between
from onvif.exceptions import ONVIFError  # type: ignore[import-untyped]  # noqa: E402 - the two
from onvif.managers import PullPointManager  # type: ignore[import-untyped]  # noqa: E402 - halves
from onvif.util import is_auth_error  # type: ignore[import-untyped]  # noqa: E402 - of a bracket

_root.handlers[:], _root.level = _root_state

__all__ = ["ONVIFCamera", "ONVIFError", "PullPointManager", "is_auth_error"]
