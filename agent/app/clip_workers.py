"""The control socket's method `clips`: clips of encrypted footage, which only the agent has the keys of."""

from collections.abc import Callable, Sequence

from agent.app.box_services import BoxServices
from agent.app.camera_pipeline import CameraPipeline
from agent.recording.export.clip_request import ClipRequest
from agent.recording.export.clip_server import ClipHandler
from agent.runtime.control_socket import ControlSocket
from agent.runtime.stage import Stage


def make_clip_workers(
    pipelines: Sequence[CameraPipeline],
    services: BoxServices,
    control_socket: ControlSocket,
    record_clip_view: Callable[[ClipRequest, str], None],
) -> list[Stage]:
    """Return none if footage is not encrypted: clips are then cut from the files."""
    if not services.record_config.recipient:
        return []
    key_rings = {
        pipeline.name: pipeline.key_ring.get for pipeline in pipelines if pipeline.record_stage
    }
    clips = ClipHandler(
        services.footage_dir, key_rings, services.clock.boottime_ns, record_clip_view
    )
    return [control_socket.add_blocking_method("clips", ClipRequest, clips.handle)]
