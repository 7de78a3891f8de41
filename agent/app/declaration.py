"""Public declaration of a box, built from its configuration. Pure."""

from collections.abc import Collection, Mapping

from agent import __version__
from agent.base.model import LABELS
from agent.config.configuration import CameraConfig, Config, InstitutionConfig
from agent.config.declaration import DeclarationConfig
from agent.config.recording import MAX_AGE_DAYS
from agent.reporting.declaration.data import (
    DeclarationData,
    DeclaredCamera,
    DeclaredController,
    DeclaredPurposes,
    RuleCounts,
)


def build_declaration(
    config: Config,
    owner_policies: Mapping[str, InstitutionConfig],
    masked_cameras: Collection[str],
    rule_counts: Mapping[str, RuleCounts],
    public_key: str,
    *,
    trusts_test_authority: bool,
) -> DeclarationData:
    """Build the declaration.

    `owner_policies` are those of lent cameras, of removed ones too as long as their footage is kept.
    `masked_cameras` are the cameras whose scenes have masks.
    `rule_counts` are by the name of each camera that detects.
    """
    configured = [
        _configured_camera(
            camera,
            config,
            camera.name in masked_cameras,
            rule_counts.get(camera.name, RuleCounts()),
        )
        for camera in config.camera
    ]
    names = {camera.name for camera in config.camera}
    removed = [
        _removed_camera(name, owner_policy, config)
        for name, owner_policy in owner_policies.items()
        if name not in names
    ]
    return DeclarationData(
        site=config.box.site,
        detects=LABELS,
        cameras=(*configured, *removed),
        event_retention_days=config.hold.event_days,
        max_retention_days=MAX_AGE_DAYS,
        recipients=tuple(recipient.id for recipient in config.record.recipient),
        public_key=public_key,
        software=f"vigie {__version__}",
        trusts_test_authority=trusts_test_authority,
        commands_authenticated=config.control.ca is not None,
        joined_cameras=(
            () if config.multi_camera_tracking is None else config.multi_camera_tracking.cameras
        ),
        controller=_declared_controller(config.declaration),
    )


def _declared_controller(declaration: DeclarationConfig) -> DeclaredController:
    purposes = declaration.purposes
    return DeclaredController(
        name=declaration.controller,
        contact=declaration.contact,
        purposes=DeclaredPurposes(fr=purposes.fr, ar=purposes.ar, en=purposes.en),
        cndp_receipt=declaration.cndp_receipt,
        rights_contact=declaration.rights_contact,
        page=declaration.page,
    )


def _configured_camera(
    camera: CameraConfig,
    config: Config,
    is_masked: bool,  # noqa: FBT001 - passed by a named expression
    rule_counts: RuleCounts,
) -> DeclaredCamera:
    owner_policy = camera.institution
    return DeclaredCamera(
        name=camera.name,
        owner=None if owner_policy is None else owner_policy.owner,
        purpose=None if owner_policy is None else owner_policy.purpose,
        viewers=None if owner_policy is None else owner_policy.viewers,
        on_ptz_head=any(head.camera == camera.name for head in config.head),
        view_of=camera.view_of,
        detection=camera.detect.enabled,
        recorded=camera.record,
        masked=is_masked,
        retention_h=_retention_h(owner_policy, config) if camera.record else None,
        onvif_topics=() if camera.onvif is None else camera.onvif.events,
        rules=rule_counts.total,
        trusted_rules=rule_counts.trusted,
        countable_ratio=rule_counts.countable_ratio,
        validation=rule_counts.validation,
    )


def _removed_camera(name: str, owner_policy: InstitutionConfig, config: Config) -> DeclaredCamera:
    return DeclaredCamera(
        name=name,
        owner=owner_policy.owner,
        purpose=owner_policy.purpose,
        viewers=owner_policy.viewers,
        on_ptz_head=False,
        detection=False,
        recorded=False,
        masked=False,
        retention_h=_retention_h(owner_policy, config),
    )


def _retention_h(owner_policy: InstitutionConfig | None, config: Config) -> float:
    """Return the retention: an owner's policy can shorten it and never extend it."""
    max_age_h = config.record.max_age_h
    return (
        max_age_h
        if owner_policy is None or owner_policy.max_age_h is None
        else min(max_age_h, owner_policy.max_age_h)
    )
