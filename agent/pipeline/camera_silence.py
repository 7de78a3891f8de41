"""A camera that delivers nothing: the event `camera_lost`, and the gap in its footage."""

from collections.abc import Callable

from agent.config.configuration import CameraConfig
from agent.detection.rules.camera_lost import CameraLostRule
from agent.pipeline.camera_services import CameraServices
from agent.recording.silence_gaps import SilenceGaps


class CameraSilence:
    """Reports the silence of one camera. `mask_error` returns the reason why its masks keep it closed, or None."""

    def __init__(
        self, config: CameraConfig, services: CameraServices, mask_error: Callable[[], str | None]
    ) -> None:
        since_ns = services.clock.boottime_ns()
        self._camera = config.name
        self._publisher = services.publisher
        self._mask_error = mask_error
        self._camera_lost_rule = CameraLostRule(config.name, services.new_id, since_ns=since_ns)
        self._silence_gaps = SilenceGaps(since_ns) if config.record else None

    def check(self, t_ns: int, last_ns: int | None) -> None:
        """Take the time of the last packet or frame, about once a second. Called by the camera watchdog."""
        for event in self._camera_lost_rule.step(t_ns, last_ns):
            self._publisher.publish_event(event)
        if self._silence_gaps is None:
            return
        gap = self._silence_gaps.step(t_ns, last_ns, is_masked=self._mask_error() is not None)
        if gap is not None:
            self._publisher.publish_gap(self._camera, gap.begin_ns, gap.end_ns, gap.reason)
