"""The box about itself: its birth, its declaration, and the receipt of its start."""

from collections.abc import Sequence

from agent import __version__
from agent.app.actuators import Actuators
from agent.app.declaration import build_declaration
from agent.app.foundation import Archive
from agent.base.update_keyring import trusts_test_authority
from agent.config.configuration import Config
from agent.config_change.config_stage import ConfigStage
from agent.config_change.state_folder import STORED_VERSION
from agent.health.vitals.procfs import DEFAULT_ROOT
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.recording.custody.receipts import AgentStarted
from agent.rehearsal.rehearsal_stage import RehearsalStage
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.mqtt.connection import BirthInputs

_VERSIONS = {"vigie": __version__}


def build_started_receipt(
    config: Config, archive: Archive, config_stage: ConfigStage | None
) -> AgentStarted:
    """Return the receipt of the agent's start. It names the centre's version that is stored, see `lost_version`."""
    versions = dict(_VERSIONS)
    if config_stage is not None:
        stored = config_stage.reported_content()
        if stored is None:
            versions[STORED_VERSION] = "damaged"
        elif stored.content.keys():
            versions[STORED_VERSION] = str(stored.version)
    return AgentStarted(
        public_key=archive.public_key,
        versions=versions,
        recipients=tuple(recipient.id for recipient in config.record.recipient),
    )


def build_public_declaration(
    config: Config, archive: Archive, pipelines: Sequence[CameraPipeline]
) -> DeclarationData:
    """Return the public declaration of what the box has now. Thread-safe."""
    return build_declaration(
        config,
        archive.policies,
        [pipeline.name for pipeline in pipelines if pipeline.is_masked],
        {
            pipeline.name: pipeline.detection.rule_counts()
            for pipeline in pipelines
            if pipeline.detection is not None
        },
        archive.public_key,
        trusts_test_authority=trusts_test_authority(DEFAULT_ROOT),
    )


def build_birth(
    config: Config,
    archive: Archive,
    pipelines: Sequence[CameraPipeline],
    actuators: Actuators,
    config_stage: ConfigStage | None,
    rehearsals: RehearsalStage,
) -> BirthInputs:
    """Return the birth, and the declaration that follows it. Thread-safe."""
    return BirthInputs(
        site=config.box.site,
        public_key=archive.public_key,
        versions=_VERSIONS,
        commands_authenticated=config.control.ca is not None,
        cameras=tuple(pipeline.capabilities() for pipeline in pipelines),
        declaration=build_public_declaration(config, archive, pipelines),
        heads=actuators.head_capabilities(),
        pins=actuators.pin_capabilities(),
        groups=config.box.groups,
        config=None if config_stage is None else config_stage.reported(),
        content=None if config_stage is None else config_stage.reported_content(),
        rehearsal=rehearsals.reported(),
    )
