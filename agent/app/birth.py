"""The box about itself: its birth, its declaration, and the receipt of its start."""

from collections.abc import Callable, Mapping, Sequence

from agent import __version__
from agent.app.actuators import Actuators
from agent.app.camera_pipeline import CameraPipeline
from agent.app.config_stage import ConfigStage
from agent.app.declaration import build_declaration
from agent.app.lost_version import STORED_VERSION
from agent.base.update_keyring import trusts_test_authority
from agent.config.configuration import Config, InstitutionConfig
from agent.health.vitals.procfs import DEFAULT_ROOT
from agent.recording.custody.receipts import AgentStarted
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.mqtt.connection import BirthInputs

_VERSIONS = {"vigie": __version__}


class BirthBuilder:
    """Builds them from what the box has now. Thread-safe."""

    def __init__(
        self,
        config: Config,
        public_key: str,
        owner_policies: Mapping[str, InstitutionConfig],
        pipelines: Sequence[CameraPipeline],
    ) -> None:
        self._config = config
        self._public_key = public_key
        self._owner_policies = owner_policies
        self._pipelines = tuple(pipelines)

    def build_started_receipt(self, config_stage: ConfigStage | None) -> AgentStarted:
        """Build the receipt of the agent's start. It names the centre's version that is stored, see `lost_version`."""
        versions = dict(_VERSIONS)
        if config_stage is not None:
            stored = config_stage.reported_content()
            if stored is None:
                versions[STORED_VERSION] = "damaged"
            elif stored.content.keys():
                versions[STORED_VERSION] = str(stored.version)
        return AgentStarted(
            public_key=self._public_key,
            versions=versions,
            recipients=tuple(recipient.id for recipient in self._config.record.recipient),
        )

    def build_declaration(self) -> DeclarationData:
        """Build the public declaration."""
        return build_declaration(
            self._config,
            self._owner_policies,
            [pipeline.name for pipeline in self._pipelines if pipeline.is_masked],
            {
                pipeline.name: pipeline.detection.ground.rule_counts()
                for pipeline in self._pipelines
                if pipeline.detection is not None
            },
            self._public_key,
            trusts_test_authority=trusts_test_authority(DEFAULT_ROOT),
        )

    def set_change_listener(self, on_change: Callable[[], None]) -> None:
        """Have `on_change` called when the declaration has changed: a picture has come, or a view has moved."""
        for pipeline in self._pipelines:
            if pipeline.detection is not None:
                pipeline.detection.ground.on_change = on_change

    def build_birth(self, actuators: Actuators, config_stage: ConfigStage | None) -> BirthInputs:
        """Build the birth, and the declaration that follows it."""
        config = self._config
        return BirthInputs(
            site=config.box.site,
            public_key=self._public_key,
            versions=_VERSIONS,
            commands_authenticated=config.control.ca is not None,
            cameras=tuple(pipeline.capabilities() for pipeline in self._pipelines),
            declaration=self.build_declaration(),
            heads=actuators.head_capabilities(),
            pins=actuators.pin_capabilities(),
            groups=config.box.groups,
            config=None if config_stage is None else config_stage.reported(),
            content=None if config_stage is None else config_stage.reported_content(),
        )
