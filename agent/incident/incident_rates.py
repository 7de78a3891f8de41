"""Frame rates of cameras during incidents: raised where a camera can change them while it runs."""

from collections.abc import Callable, Mapping, Sequence

from agent.base.model import IncidentOutcome, Outcome
from agent.incident.record import IncidentRecord

SetMinFps = Callable[[float | None], bool | None]
"""Raises the frame rate of a camera; None: as configured. False if it cannot, None while it is not open."""

UNSUPPORTED_DETAIL = "the camera cannot change it while it runs, and is not opened again for that"
_OUTCOMES: Mapping[bool | None, Outcome] = {True: "done", False: "unsupported", None: "waiting"}


class IncidentRates:
    """Sets the highest rate that a running incident wants. Used by one thread."""

    def __init__(self, cameras: Mapping[str, SetMinFps]) -> None:
        self._cameras = dict(cameras)
        self._fps: float | None = None
        self._results: dict[str, bool | None] = dict.fromkeys(cameras)

    def sync(self, running: Sequence[IncidentRecord]) -> None:
        """Raise the rates, or restore the configured ones."""
        wanted = [
            rates.fps
            for record in running
            if (rates := record.order.rates) is not None and rates.fps is not None
        ]
        fps = max(wanted, default=None)
        if fps != self._fps:
            self._fps, self._results = fps, {}
        for camera, set_min_fps in self._cameras.items():
            if fps is None and camera not in self._results:
                self._results[camera] = set_min_fps(None)
            elif fps is not None and self._results.get(camera) is None:
                self._results[camera] = set_min_fps(fps)

    def outcomes(self, record: IncidentRecord) -> tuple[IncidentOutcome, ...]:
        """Return what became of the order's `rates`, by camera."""
        rates = record.order.rates
        if rates is None:
            return ()
        outcomes: list[IncidentOutcome] = []
        for camera in self._cameras:
            if rates.fps is not None:
                outcome = _OUTCOMES[self._results.get(camera)]
                detail = UNSUPPORTED_DETAIL if outcome == "unsupported" else None
                outcomes.append(
                    IncidentOutcome(part="fps", of=camera, outcome=outcome, detail=detail)
                )
            if rates.bitrate_kbit_s is not None:
                # Encoders of camera modules take it when they are started, and other cameras encode by themselves.
                outcomes.append(
                    IncidentOutcome(
                        part="bitrate", of=camera, outcome="unsupported", detail=UNSUPPORTED_DETAIL
                    )
                )
        return tuple(outcomes)
