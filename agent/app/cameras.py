"""The cameras of a box: their pipelines, and the stages of each."""

from zoneinfo import ZoneInfo

import msgspec

from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.app.foundation import Archive
from agent.app.publisher import Publisher
from agent.base.sha256 import sha256_hex
from agent.config_change.start_config import StartConfig
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.pipeline.camera_services import CameraServices, RecordingServices
from agent.runtime.supervisor import Order


def make_pipelines(
    start: StartConfig, box: BoxContext, archive: Archive, publisher: Publisher
) -> tuple[CameraPipeline, ...]:
    """Build the pipeline of each camera of a configuration."""
    config = start.config
    services = CameraServices(
        box_id=box.id,
        state_dir=box.state_dir,
        clock=box.clock,
        faults=box.faults,
        new_id=box.new_id,
        publisher=publisher,
        recording=RecordingServices(
            config=config.record,
            retention=archive.retention,
            config_version=sha256_hex(msgspec.json.encode(config)),
        ),
        time_zone=ZoneInfo(config.box.time_zone),
    )
    return tuple(CameraPipeline(source, services) for source in start.sources)


def make_camera_feature(pipeline: CameraPipeline) -> Feature:
    """Return the stages of one camera: capture, recording, detection, and its own events."""
    return Feature(
        stages={
            Order.CAPTURE: pipeline.capture_stages,
            Order.RECORD: [pipeline.record_stage] if pipeline.record_stage else [],
            Order.DETECT: [pipeline.detect_stage] if pipeline.detect_stage else [],
            Order.ONVIF_EVENTS: [pipeline.onvif_stage] if pipeline.onvif_stage else [],
        },
        set_level=pipeline.set_level,
    )
