"""The cameras of a box: their pipelines, and the stages of each."""

import msgspec

from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.app.foundation import Archive
from agent.app.publisher import Publisher
from agent.base.sha256 import sha256_hex
from agent.config_change.start_config import StartConfig
from agent.detection.multi_camera_tracker import MultiCameraTracker
from agent.detection.pass_budget import PassBudget
from agent.detection.pipeline import PipelineSettings
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
        multi_camera_tracker=(
            None
            if config.multi_camera_tracking is None
            else MultiCameraTracker(config.multi_camera_tracking)
        ),
        time_zone=box.time_zone,
    )
    shared = {
        camera.name: _share_passes(services) for camera in config.camera if camera.lens is not None
    }
    cameras = {
        source.config.name: CameraPipeline(source, shared.get(source.config.name, services))
        for source in start.sources
        if source.config.view_of is None
    }
    return tuple(
        cameras[source.config.name]
        if source.config.view_of is None
        else CameraPipeline(source, shared[source.config.view_of], cameras[source.config.view_of])
        for source in start.sources
    )


def _share_passes(services: CameraServices) -> CameraServices:
    """Return the services for the views of one fisheye camera, which share the passes of one camera."""
    passes = PassBudget(usual_per_s=PipelineSettings().max_inferences_per_s)
    inference = msgspec.structs.replace(services.inference, pass_budget=passes)
    return msgspec.structs.replace(services, inference=inference)


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
