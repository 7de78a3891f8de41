"""On whose terms a camera's footage lies here, kept beside it: for as long as there is footage of it,
whether the configuration still knows the camera or not.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent.base import atomic_file
from agent.base.errors import UserError
from agent.config.configuration import CameraConfig, InstitutionConfig
from agent.recording import catalogue

log = logging.getLogger(__name__)

TERMS = "institutions.json"
"""The file in the state folder."""

Terms: TypeAlias = dict[str, InstitutionConfig]
"""By camera; of those that are an institution's."""


def keep(state: Path, footage: Path, cameras: Iterable[CameraConfig]) -> Terms:
    """The terms of the configuration's cameras, and of those before them whose footage still lies
    in `footage`. What has changed is written down. Raises OSError.
    """
    cameras = tuple(cameras)
    configured = {camera.name for camera in cameras}
    lying = set(catalogue.cameras(footage)) - configured
    try:
        before = read(state)
    except UserError as error:
        log.error("%s; written anew", error)
        before = {}
    now = {camera.name: camera.institution for camera in cameras if camera.institution}
    terms = {name: kept for name, kept in before.items() if name in lying} | now
    if terms != before:
        _write(state / TERMS, terms)
    return terms


def read(state: Path) -> Terms:
    """What is written down. Raises BadInput where it cannot be read: then nobody knows who may see
    what.
    """
    path = state / TERMS
    try:
        return msgspec.json.decode(path.read_bytes(), type=Terms)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise UserError(f"{str(path)!r}: cannot be read: {error}") from error


def check_viewer(terms: Mapping[str, InstitutionConfig], camera: str, who: str) -> None:
    """Raise BadInput where somebody may not see a camera's footage."""
    of_camera = terms.get(camera)
    if of_camera is not None and not of_camera.may_see(who):
        raise UserError(
            f"--by {who!r}: may not see camera {camera!r}; it is lent by {of_camera.owner}, "
            "who names its viewers (camera.institution.viewers)"
        )


def _write(path: Path, terms: Terms) -> None:
    data = msgspec.json.format(msgspec.json.encode(terms))
    atomic_file.replace_atomically(path, data, 0o640, by_umask=True)
