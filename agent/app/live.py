"""Pictures of now: snapshots, live looks, the pushes of video, and the previews of the console."""

from collections.abc import Sequence
from pathlib import Path

from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.app.foundation import Uplink
from agent.capture.live_command import LiveCommandHandler
from agent.capture.live_keyframes import LiveKeyframes
from agent.capture.live_looks import LiveLooks
from agent.capture.live_stage import LiveLink, LiveStage
from agent.capture.live_video import SYSTEM_CA_FILE, LiveVideo
from agent.capture.preview import PreviewHandler, PreviewRequest
from agent.capture.snapshot_command import SnapshotCommandHandler
from agent.config.link import LinkConfig
from agent.detection.image import encode_live_picture, encode_snapshot
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.runtime.control_socket import ControlSocket
from agent.runtime.supervisor import Order


class LivePictures:
    """Owns the looks that run. `health` is thread-safe."""

    def __init__(
        self,
        link: LinkConfig,
        box: BoxContext,
        uplink: Uplink,
        pipelines: Sequence[CameraPipeline],
        control_socket: ControlSocket,
    ) -> None:
        clock, publisher, session = box.clock, uplink.publisher, uplink.session
        budget = uplink.budget
        cameras = {pipeline.name: pipeline.access() for pipeline in pipelines}
        looks = LiveLooks(publisher.record_live_begin, publisher.record_live_end, clock.boottime_ns)
        ca_file = SYSTEM_CA_FILE if link.ca is None else Path(link.ca)
        video = LiveVideo(looks, cameras, budget, clock, ca_file)
        keyframes = LiveKeyframes(looks, cameras, clock.boottime_ns)
        stage = LiveStage(
            looks,
            cameras,
            encode_live_picture,
            LiveLink(session.unstored, session.online_session, budget),
            clock,
            video,
            keyframes,
        )
        self.health = stage.health
        previews = PreviewHandler(cameras, keyframes, encode_snapshot, clock.boottime_ns)
        self.feature = Feature(
            stages={
                Order.PREVIEW: [
                    control_socket.add_blocking_method("preview", PreviewRequest, previews.handle)
                ],
                Order.LIVE: [stage],
            },
            handlers=(
                LiveCommandHandler(
                    cameras,
                    looks,
                    video,
                    keyframes,
                    link,
                    stage.wake,
                    session.online_session,
                    clock.boottime_ns,
                ),
                SnapshotCommandHandler(
                    cameras,
                    encode_snapshot,
                    publisher.publish_snapshot,
                    publisher.record_snapshot_view,
                    clock.boottime_ns,
                ),
            ),
        )
