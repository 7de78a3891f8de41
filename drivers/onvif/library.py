"""The used part of the ONVIF library, imported without its side effect.

Its import configures the root logger (`onvif.client`, by `logging.basicConfig`), which only a
program may do: the root logger is restored.
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
