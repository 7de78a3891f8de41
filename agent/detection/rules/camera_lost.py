"""`camera_lost`: no picture at all, so this rule is stepped by time and not by frames."""

from agent.base.event_lifecycle import NewId
from agent.base.event_type import EventType
from agent.base.model import Event
from agent.detection.rules.sustained_event import SustainedEvent

CAMERA_LOST = EventType(
    kind="camera_lost",
    title="no picture from the camera",
    begin="the camera is lost",
    end="the camera is lost: over",
    severity="fault",
)
LOST_AFTER_S = 10.0
RECOVERED_AFTER_S = 2.0


class CameraLostRule:
    """Emits an event while a camera sends neither packets nor frames."""

    def __init__(self, camera: str, new_id: NewId, since_ns: int) -> None:
        """`since_ns` is the time from which a camera that has sent nothing yet is silent."""
        self._event = SustainedEvent(
            CAMERA_LOST, camera, new_id, after_s=LOST_AFTER_S, clear_s=RECOVERED_AFTER_S
        )
        self._since_ns = since_ns

    def step(self, t_ns: int, last_media_ns: int | None) -> tuple[Event, ...]:
        """Take the time of the last packet or frame, about once a second."""
        last_media_ns = self._since_ns if last_media_ns is None else last_media_ns
        is_silent = t_ns - last_media_ns >= RECOVERED_AFTER_S * 1e9
        event = self._event.step(t_ns, last_media_ns if is_silent else None)
        return () if event is None else (event,)

    def flush(self, t_ns: int) -> tuple[Event, ...]:
        """End the open event."""
        return tuple(self._event.flush(t_ns))
