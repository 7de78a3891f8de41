"""What a box does, for the public: from its configuration to the declaration. Pure."""

from collections.abc import Collection, Mapping

from agent import __version__
from agent.base.model import LABELS
from agent.config.configuration import MAX_AGE_DAYS, CameraConfig, Config, InstitutionConfig
from agent.reporting.payloads import DeclarationData, DeclaredCamera


def declaration(
    config: Config,
    terms: Mapping[str, InstitutionConfig],
    masked: Collection[str],
    public_key: str,
) -> DeclarationData:
    """`terms` are those of cameras that an institution lends, of those that are gone too; `masked`
    the cameras whose scenes hide something.
    """
    there = [_there(camera, config, camera.name in masked) for camera in config.camera]
    names = {camera.name for camera in config.camera}
    gone = [_gone(name, lent, config) for name, lent in terms.items() if name not in names]
    return DeclarationData(
        site=config.box.site,
        detects=LABELS,
        cameras=(*there, *gone),
        events_kept_days=config.hold.event_days,
        longest_kept_days=MAX_AGE_DAYS,
        sealed_for=tuple(recipient.id for recipient in config.record.recipient),
        public_key=public_key,
        software=f"vigie {__version__}",
    )


def _there(camera: CameraConfig, config: Config, masked: bool) -> DeclaredCamera:  # noqa: FBT001 - named where it is called
    lent = camera.institution
    return DeclaredCamera(
        name=camera.name,
        owner=None if lent is None else lent.owner,
        purpose=None if lent is None else lent.purpose,
        viewers=None if lent is None else lent.viewers,
        turns=any(head.camera == camera.name for head in config.head),
        watched=camera.detect.enabled,
        recorded=camera.record,
        masked=masked,
        kept_h=_kept_h(lent, config) if camera.record else None,
        reports=() if camera.onvif is None else camera.onvif.events,
    )


def _gone(name: str, lent: InstitutionConfig, config: Config) -> DeclaredCamera:
    return DeclaredCamera(
        name=name,
        owner=lent.owner,
        purpose=lent.purpose,
        viewers=lent.viewers,
        turns=False,
        watched=False,
        recorded=False,
        masked=False,
        kept_h=_kept_h(lent, config),
    )


def _kept_h(lent: InstitutionConfig | None, config: Config) -> float:
    """A lender may want less than the box would keep, and never gets more."""
    longest_h = config.record.max_age_h
    return longest_h if lent is None or lent.max_age_h is None else min(longest_h, lent.max_age_h)
