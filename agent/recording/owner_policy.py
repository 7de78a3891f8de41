"""Policies of camera owners: retention and viewers, stored next to the footage.

A policy is kept as long as there is footage of the camera, also after its removal from the configuration.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent.base import atomic_file
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.json_decode import MalformedJson, decode_json
from agent.base.message import Message
from agent.config.configuration import CameraConfig, InstitutionConfig
from agent.recording import catalogue

log = logging.getLogger(__name__)

POLICY_FILE = "owner_policies.json"
"""The file in the state folder."""

_MAX_BYTES = 1_048_576

OwnerPolicies: TypeAlias = dict[str, InstitutionConfig]
"""Policies by camera, of cameras lent by an institution."""


def update(state_dir: Path, footage_dir: Path, cameras: Iterable[CameraConfig]) -> OwnerPolicies:
    """Return and store the policies of configured cameras and removed ones with footage.

    On a disk that takes nothing the stored ones stay, which are those of a removed camera too.
    """
    cameras = tuple(cameras)
    configured = {camera.name for camera in cameras}
    removed = set(catalogue.list_cameras(footage_dir)) - configured
    try:
        stored = read(state_dir)
    except UserError as error:
        log.error("%s; replaced", error)
        stored = {}
    current = {camera.name: camera.institution for camera in cameras if camera.institution}
    policies = {name: policy for name, policy in stored.items() if name in removed} | current
    if policies != stored:
        try:
            _write_policies(state_dir / POLICY_FILE, policies)
        except OSError as error:
            log.error("%s: not stored: %s", state_dir / POLICY_FILE, error)
    return policies


def read(state_dir: Path) -> OwnerPolicies:
    """Read the stored policies.

    Raises UserError if they cannot be read: viewers are unknown then.
    """
    path = state_dir / POLICY_FILE
    try:
        return decode_json(read_regular_file(path, _MAX_BYTES), OwnerPolicies)
    except FileNotFoundError:
        return {}
    except (OSError, MalformedJson) as error:
        raise UserError(f"{str(path)!r}: cannot be read: {error}") from error


def check_viewer(policies: Mapping[str, InstitutionConfig], camera: str, viewer: str) -> None:
    """Raise UserError if `viewer` may not see a camera's footage."""
    policy = policies.get(camera)
    if policy is not None and not policy.can_view(viewer):
        raise UserError(
            Message(
                "--by {name!r}: may not see camera {camera!r}; it is lent by {owner}, who names its "
                "viewers (camera.institution.viewers)",
                name=viewer,
                camera=camera,
                owner=policy.owner,
            )
        )


def _write_policies(path: Path, policies: OwnerPolicies) -> None:
    data = msgspec.json.format(msgspec.json.encode(policies))
    atomic_file.replace_atomically(path, data, 0o640, apply_umask=True)
