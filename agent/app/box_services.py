"""Services that all camera pipelines and actuators of a box share."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from agent.authority.control_authority import ControlAuthority
from agent.base.clock import Clock
from agent.base.model import Event, TrafficCounts
from agent.config.control import ControlConfig
from agent.config.recording import FOOTAGE_DIR, RecordConfig
from agent.detection.hailo_detector import HailoPool
from agent.detection.pass_budget import PassBudget
from agent.detection.shared_models import SharedModels
from agent.faults.registry import FaultRegistry
from agent.health.vitals.procfs import DEFAULT_ROOT
from agent.recording import mask_store
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.retention.retention_stage import RetentionStage
from agent.runtime.link_budget import LinkBudget


class PipelinePublisher(Protocol):
    """Destination of a pipeline's results. Called from the pipeline's own threads."""

    def publish_event(self, event: Event, jpeg: bytes | None = None) -> None:
        """Publish an event, with its thumbnail if it has one."""
        ...

    def publish_traffic_counts(self, counts: TrafficCounts) -> None:
        """Publish one minute of traffic counts."""
        ...

    def publish_gap(self, camera: str, begin_ns: int, end_ns: int, reason: str) -> None:
        """Publish that nothing was recorded from `begin_ns` to `end_ns`."""
        ...


class BoxServices(msgspec.Struct, frozen=True, kw_only=True):
    """The services that all pipelines and actuators of a box share.

    `authority` verifies signed messages, None if `control.ca` is not configured. `machine_root` is the folder that
    contains the machine's `proc` and `sys`. `hailo` is used by the cameras whose accelerator it is.
    """

    state_dir: Path
    clock: Clock
    faults: FaultRegistry
    new_id: Callable[[int], str]
    publisher: PipelinePublisher
    record_config: RecordConfig
    custody_log: CustodyLog
    retention: RetentionStage
    link_budget: LinkBudget
    box_id: str
    config_version: str
    authority: ControlAuthority | None = None
    control: ControlConfig = ControlConfig()
    machine_root: Path = DEFAULT_ROOT
    hailo: HailoPool = msgspec.field(default_factory=HailoPool)
    pass_budget: PassBudget = msgspec.field(default_factory=PassBudget)
    models: SharedModels = msgspec.field(default_factory=SharedModels)

    @property
    def footage_dir(self) -> Path:
        """The folder of all cameras' footage."""
        return self.state_dir / FOOTAGE_DIR

    @property
    def masks_dir(self) -> Path:
        """The folder of the masks that footage was recorded with."""
        return self.state_dir / mask_store.MASKS_DIR
