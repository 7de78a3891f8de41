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

POLICY_FILE = "owner_policies.json"
"""The file in the state folder."""

OwnerPolicies: TypeAlias = dict[str, InstitutionConfig]
"""By camera; of those that are an institution's."""


def update(state_dir: Path, footage_dir: Path, cameras: Iterable[CameraConfig]) -> OwnerPolicies:
    """The terms of the configuration's cameras, and of those before them whose footage still lies
    in `footage`. What has changed is written down. Raises OSError.
    """
    cameras = tuple(cameras)
    configured = {camera.name for camera in cameras}
    removed = set(catalogue.list_cameras(footage_dir)) - configured
    try:
        stored = read(state_dir)
    except UserError as error:
        log.error("%s; written anew", error)
        stored = {}
    current = {camera.name: camera.institution for camera in cameras if camera.institution}
    policies = {name: policy for name, policy in stored.items() if name in removed} | current
    if policies != stored:
        _write_policies(state_dir / POLICY_FILE, policies)
    return policies


def read(state_dir: Path) -> OwnerPolicies:
    """What is written down. Raises UserError where it cannot be read: then nobody knows who may see
    what.
    """
    path = state_dir / POLICY_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=OwnerPolicies)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{str(path)!r}: cannot be read: {error}") from error


def check_viewer(policies: Mapping[str, InstitutionConfig], camera: str, viewer: str) -> None:
    """Raise UserError where somebody may not see a camera's footage."""
    policy = policies.get(camera)
    if policy is not None and not policy.can_view(viewer):
        raise UserError(
            f"--by {viewer!r}: may not see camera {camera!r}; it is lent by {policy.owner}, "
            "who names its viewers (camera.institution.viewers)"
        )


def _write_policies(path: Path, policies: OwnerPolicies) -> None:
    data = msgspec.json.format(msgspec.json.encode(policies))
    atomic_file.replace_atomically(path, data, 0o640, apply_umask=True)
