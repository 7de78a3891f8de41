"""Live looks of the box: the command, the stage, the pushes of video, and the previews of the console."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.app.camera_pipeline import CameraPipeline
from agent.app.publisher import Publisher
from agent.base.clock import Clock
from agent.capture.live_command import LiveCommandHandler
from agent.capture.live_keyframes import LiveKeyframes
from agent.capture.live_looks import LiveLooks
from agent.capture.live_stage import LiveStage
from agent.capture.live_video import SYSTEM_CA_FILE, LiveVideo
from agent.capture.preview import PreviewHandler, PreviewRequest
from agent.config.link import LinkConfig
from agent.detection.image import encode_live_picture, encode_snapshot
from agent.reporting.mqtt.session import MqttSession
from agent.runtime.control_socket import ControlSocket
from agent.runtime.link_budget import LinkBudget
from agent.runtime.stage import Stage


class LiveService:
    """Owns the command's handler, and the stage once there is a session."""

    def __init__(
        self,
        pipelines: Sequence[CameraPipeline],
        publisher: Publisher,
        link: LinkConfig,
        budget: LinkBudget,
        clock: Clock,
    ) -> None:
        self._cameras = {pipeline.name: pipeline.access() for pipeline in pipelines}
        self._budget = budget
        self._clock = clock
        self._looks = LiveLooks(
            publisher.record_live_begin, publisher.record_live_end, clock.boottime_ns
        )
        ca_file = SYSTEM_CA_FILE if link.ca is None else Path(link.ca)
        self._video = LiveVideo(self._looks, self._cameras, self._budget, clock, ca_file)
        self._keyframes = LiveKeyframes(self._looks, self._cameras, clock.boottime_ns)
        self.handler = LiveCommandHandler(
            self._cameras,
            self._looks,
            self._video,
            self._keyframes,
            link,
            self._wake,
            self._online_session,
            clock.boottime_ns,
        )

    def set_session(self, session: MqttSession) -> None:
        """Make the stage. Called once, before the first command."""
        self._session = session
        self.stage = LiveStage(
            self._looks,
            self._cameras,
            encode_live_picture,
            session.unstored,
            session.online_session,
            self._budget,
            self._clock,
            self._video,
            self._keyframes,
        )

    def health_fields(self) -> dict[str, Any]:
        """Return the health of live looks."""
        return {"live": self.stage.health()}

    def make_preview_worker(self, control_socket: ControlSocket) -> Stage:
        """Return the stage that answers the console's requests for pictures."""
        previews = PreviewHandler(
            self._cameras, self._keyframes, encode_snapshot, self._clock.boottime_ns
        )
        return control_socket.add_blocking_method("preview", PreviewRequest, previews.handle)

    def _wake(self) -> None:
        self.stage.wake()

    def _online_session(self) -> int | None:
        return self._session.online_session()
