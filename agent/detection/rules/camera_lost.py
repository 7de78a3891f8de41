"""No picture at all: judged by who waits for frames, since no frame will tell."""

from agent.base.model import Event
from agent.detection.rules.debounced_fault import DebouncedFault
from agent.detection.rules.event_lifecycle import NewId

LOST_AFTER_S = 10.0
RECOVERED_AFTER_S = 2.0


class CameraLost:
    """Tells that a camera gives nothing, and when it does again."""

    def __init__(self, camera: str, new_id: NewId, since_ns: int) -> None:
        self._fault = DebouncedFault("camera_lost", camera, new_id, LOST_AFTER_S, RECOVERED_AFTER_S)
        self._since_ns = since_ns

    def step(self, t_ns: int, last_media_ns: int | None) -> tuple[Event, ...]:
        """Call it about once a second with the time of the last packet or frame, None where
        none has come yet: then it counts from the `since_ns` of its making.
        """
        last_media_ns = self._since_ns if last_media_ns is None else last_media_ns
        is_silent = t_ns - last_media_ns >= RECOVERED_AFTER_S * 1e9
        return tuple(self._fault.step(t_ns, last_media_ns if is_silent else None))

    def flush(self, t_ns: int) -> tuple[Event, ...]:
        """End what is open."""
        return tuple(self._fault.flush(t_ns))
