"""Detection on an accelerator, and by LiteRT as long as the accelerator does not work."""

import logging
from collections.abc import Callable, Sequence

from agent.detection.detector import Detector, DetectorCard, SearchedRegion
from agent.detection.image import Region
from drivers.errors import DriverError
from drivers.media import NS_PER_S, Frame

log = logging.getLogger(__name__)

REOPEN_AFTER_NS = 60 * NS_PER_S
"""From a failed opening to the next try."""


class FallbackDetector:
    """The accelerator is tried at each frame; how long it pauses after a failure is its own matter.

    `on_failure` gets the reason of a failure, `on_recovery` is called after it. One that is still being made ready
    (`busy`) has not failed: LiteRT detects meanwhile. Without `fallback`, whose model was refused, nothing is searched
    then.
    """

    def __init__(
        self,
        open_accelerator: Callable[[], Detector],
        fallback: Detector | None,
        card: DetectorCard,
        on_failure: Callable[[DriverError], None],
        on_recovery: Callable[[], None],
    ) -> None:
        """`card` is the accelerator's, for the time before the first search."""
        self._open_accelerator = open_accelerator
        self._fallback = fallback
        self._card = card
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._accelerator: Detector | None = None
        self._open_at_ns = 0
        self._failure: str | None = None

    @property
    def card(self) -> DetectorCard:
        """The card of the model of the last search."""
        return self._card

    @property
    def inference_count(self) -> int:
        """The inferences of both."""
        return sum(detector.inference_count for detector in self._detectors())

    @property
    def cpu_ns(self) -> int:
        """The CPU time of both."""
        return sum(detector.cpu_ns for detector in self._detectors())

    def input_width_px(self, frame_width_px: int) -> int:
        """Return the input's width of the detector that was used last."""
        detector = self._accelerator if self._failure is None else self._fallback
        return (
            self._card.input.width_px
            if detector is None
            else detector.input_width_px(frame_width_px)
        )

    def search(self, frame: Frame, regions: Sequence[Region]) -> tuple[SearchedRegion, ...]:
        """Search a frame with the accelerator, or with LiteRT if that fails. Raises nothing."""
        try:
            accelerator = self._ensure_open(frame.t_ns)
            searched = accelerator.search(frame, regions)
        except DriverError as error:
            if error.kind != "busy":
                self._fail(error)
        else:
            self._card = accelerator.card
            if self._failure is not None:
                log.info("the accelerator works again")
                self._failure = None
                self._on_recovery()
            return searched
        if self._fallback is None:
            return ()
        self._card = self._fallback.card
        return self._fallback.search(frame, regions)

    def _detectors(self) -> tuple[Detector, ...]:
        return tuple(one for one in (self._accelerator, self._fallback) if one is not None)

    def _ensure_open(self, t_ns: int) -> Detector:
        if self._accelerator is None:
            if t_ns < self._open_at_ns:
                raise DriverError("busy", "the accelerator is opened again in a while")
            self._open_at_ns = t_ns + REOPEN_AFTER_NS
            self._accelerator = self._open_accelerator()
        return self._accelerator

    def _fail(self, error: DriverError) -> None:
        if str(error) != self._failure:
            log.warning("%s; LiteRT detects instead", error)
            self._failure = str(error)
            self._on_failure(error)
