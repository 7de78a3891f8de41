"""Policies of camera owners: retention and viewers, stored next to the footage, one file per camera.

    owner-policies/tram.json    a state file: the policy of the camera `tram`

A policy is kept as long as there is footage of the camera, also after its removal from the configuration. One
that is damaged then is unknown: nobody may see the footage of its camera, and the other cameras are not affected.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from agent.base.damaged_file import UNREADABLE_SUFFIX, is_unreported, set_aside
from agent.base.errors import UserError
from agent.base.message import Message, message_of
from agent.base.state_file import DamagedStateFile, StateFile
from agent.base.state_inventory import StateInventory
from agent.config.configuration import CameraConfig, InstitutionConfig
from agent.recording import catalogue

log = logging.getLogger(__name__)

POLICIES_DIR = "owner-policies"
"""The folder in the state folder."""

UNKNOWN_POLICY = InstitutionConfig(owner="unknown", purpose="unknown", viewers=())
"""Of a removed camera whose policy is damaged. Its footage ages like the box's own."""

_SUFFIX = ".json"

OwnerPolicies: TypeAlias = dict[str, InstitutionConfig]
"""Policies by camera, of cameras lent by an institution."""


def update(state_dir: Path, footage_dir: Path, cameras: Iterable[CameraConfig]) -> OwnerPolicies:
    """Return and store the policies of configured cameras and removed ones with footage.

    On a disk that takes nothing the stored ones stay, which are those of a removed camera too.
    """
    cameras = tuple(cameras)
    configured = {camera.name for camera in cameras}
    policies = {camera.name: camera.institution for camera in cameras if camera.institution}
    with_footage = _cameras_with_footage(footage_dir)
    stored = _stored_cameras(state_dir, with_footage)
    for camera in sorted(stored - configured):
        if with_footage is None or camera in with_footage:
            policies[camera] = _load(state_dir, camera)
    for camera in sorted(stored | policies.keys()):
        _store(_policy_file(state_dir, camera), policies.get(camera))
    return policies


def read(state_dir: Path, camera: str) -> InstitutionConfig | None:
    """Read the stored policy of a camera, None if it has none.

    Raises UserError if it cannot be read: the viewers are unknown then.
    """
    file = _policy_file(state_dir, camera)
    if not file.path.exists() and is_unreported(file.path):
        return UNKNOWN_POLICY
    try:
        return file.read_strictly()
    except DamagedStateFile as error:
        raise UserError(
            Message(
                "{label}: cannot be read: {error}",
                label=f"{str(file.path)!r}",
                error=message_of(error),
            )
        ) from error


def check_viewer(policy: InstitutionConfig | None, camera: str, viewer: str) -> None:
    """Raise UserError if `viewer` may not see a camera's footage."""
    if policy == UNKNOWN_POLICY:
        raise UserError(
            Message(
                "camera {camera!r}: its owner's policy was damaged, so nobody may see its footage; "
                "configure camera.institution of it again",
                camera=camera,
            )
        )
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


def _policy_file(state_dir: Path, camera: str) -> StateFile[InstitutionConfig]:
    path = state_dir / POLICIES_DIR / (camera + _SUFFIX)
    return StateFile(path, InstitutionConfig, inventory=StateInventory(state_dir))


def _cameras_with_footage(footage_dir: Path) -> set[str] | None:
    """Return the cameras that have footage, None if that cannot be read: each may have some."""
    try:
        return set(catalogue.list_cameras(footage_dir))
    except OSError as error:
        log.error("%s: %s", footage_dir, error)
        return None


def _stored_cameras(state_dir: Path, with_footage: set[str] | None) -> set[str]:
    """Return the cameras that have a policy, readable or not.

    If the folder itself is damaged, each camera with footage may have had one.
    """
    folder = state_dir / POLICIES_DIR
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        names = []
    except OSError as error:
        set_aside(folder, error)
        names = []
    if is_unreported(folder):
        return with_footage or set()
    # A policy that was set aside and not reported yet may not be stored as unknown yet.
    present = (name.removesuffix(UNREADABLE_SUFFIX) for name in names)
    return {
        name.removesuffix(_SUFFIX)
        for name in present
        if name.endswith(_SUFFIX) and not name.startswith(".")
    }


def _load(state_dir: Path, camera: str) -> InstitutionConfig:
    policy = _policy_file(state_dir, camera).load()
    if policy is None:
        log.error("camera %s: the policy of its owner is lost: nobody may see its footage", camera)
        return UNKNOWN_POLICY
    return policy


def _store(file: StateFile[InstitutionConfig], policy: InstitutionConfig | None) -> None:
    """Store a policy if it has changed; delete it if it is None."""
    try:
        if policy is None:
            file.delete()
        elif file.load() != policy:
            file.write(policy)
    except OSError as error:
        log.error("%s: not stored: %s", file.path, error)
