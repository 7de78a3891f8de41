"""Services that the pipelines of all cameras share."""

from collections.abc import Callable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Protocol

import msgspec

from agent.base.clock import Clock
from agent.base.model import Event, TrafficCounts
from agent.config.recording import FOOTAGE_DIR, RecordConfig
from agent.detection.hailo_detector import HailoPool
from agent.detection.multi_camera_tracker import MultiCameraTracker
from agent.detection.pass_budget import PassBudget
from agent.detection.tflite import SharedModels
from agent.faults.registry import FaultRegistry
from agent.recording import mask_store
from agent.recording.retention.retention_stage import RetentionStage


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

    def publish_declaration(self) -> None:
        """Publish the box's declaration again: the ground of a camera has changed."""
        ...


class RecordingServices(msgspec.Struct, frozen=True, kw_only=True):
    """Recording of all cameras. `config_version` is the digest of the configuration, for receipts."""

    config: RecordConfig
    retention: RetentionStage
    config_version: str


class InferenceResources(msgspec.Struct, frozen=True, kw_only=True):
    """Models and accelerators that cameras share. `hailo` is used by the cameras whose accelerator it is."""

    hailo: HailoPool = msgspec.field(default_factory=HailoPool)
    pass_budget: PassBudget = msgspec.field(default_factory=PassBudget)
    models: SharedModels = msgspec.field(default_factory=SharedModels)


class CameraServices(msgspec.Struct, frozen=True, kw_only=True):
    """The services that the pipelines of all cameras share. `new_id` makes an id of a `t_ns`, `time_zone` is the box's."""

    box_id: str
    state_dir: Path
    clock: Clock
    faults: FaultRegistry
    new_id: Callable[[int], str]
    publisher: PipelinePublisher
    recording: RecordingServices
    inference: InferenceResources = msgspec.field(default_factory=InferenceResources)
    multi_camera_tracker: MultiCameraTracker | None = None
    time_zone: tzinfo = UTC

    @property
    def footage_dir(self) -> Path:
        """The folder of all cameras' footage."""
        return self.state_dir / FOOTAGE_DIR

    @property
    def masks_dir(self) -> Path:
        """The folder of the masks that footage was recorded with."""
        return self.state_dir / mask_store.MASKS_DIR
