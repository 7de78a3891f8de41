"""The detector of one camera: LiteRT, or an accelerator that falls back to it, with the faults of both."""

import logging
from collections.abc import Callable

import msgspec

from agent.base.clock import Clock
from agent.config.configuration import AcceleratorConfig, CameraConfig, DetectConfig
from agent.detection import accelerator_card
from agent.detection.accelerator_card import AcceleratorCard
from agent.detection.detector import Detector
from agent.detection.fallback_detector import FallbackDetector
from agent.detection.hailo_detector import HailoDetector
from agent.detection.model_card import ModelRefused
from agent.detection.sensor_detector import SensorDetector
from agent.pipeline.camera_services import CameraServices
from agent.runtime.backoff import Backoff
from drivers.contracts import SensorNetwork, SensorNetworkControl, StreamRequest
from drivers.errors import DriverError
from drivers.media import NS_PER_S

log = logging.getLogger(__name__)

MAX_TRIES = 2
"""Openings without a single result; after them the camera is opened without the network for a while."""
MIN_PAUSE_S, MAX_PAUSE_S = 600.0, 21_600.0


class SensorNetworkOpenings:
    """`read_network` returns the network, or None if its file is not the configured one.

    One thread opens the camera; another one may report results.
    """

    def __init__(
        self, read_network: Callable[[], SensorNetwork | None], clock_ns: Callable[[], int]
    ) -> None:
        self._read_network = read_network
        self._clock_ns = clock_ns
        self._tries = 0
        self._pause = Backoff(MIN_PAUSE_S, MAX_PAUSE_S)
        self._paused_until_ns = 0

    def apply(self, request: StreamRequest) -> StreamRequest:
        """Return the request of the next opening, with the network or without it."""
        now_ns = self._clock_ns()
        if self._tries >= MAX_TRIES:
            self._tries = 0
            self._paused_until_ns = now_ns + int(self._pause.next_s() * NS_PER_S)
        if now_ns < self._paused_until_ns or not request.frames_fps:
            return request
        network = self._read_network()
        if network is None:
            return request
        self._tries += 1
        return msgspec.structs.replace(request, network=network)

    def on_result(self) -> None:
        """A frame had a result of the network."""
        self._tries = 0
        self._pause.reset()


DEFAULT_MODEL = DetectConfig().model


class CameraDetector:
    """`detector` is None if the model was refused, and there is no accelerator: DET-01.

    DET-02 is raised while the accelerator does not work.
    """

    def __init__(
        self,
        config: CameraConfig,
        services: CameraServices,
        sensor: Callable[[], SensorNetworkControl | None],
    ) -> None:
        """`sensor` returns the open camera, if it can have a network in its sensor."""
        self._camera = config.name
        self._services = services
        self._sensor = sensor
        self._releases: list[Callable[[], None]] = []
        litert = self._open_litert(config.detect.model)
        accelerator = config.detect.accelerator
        if accelerator is None:
            self.detector = litert
            return
        card = accelerator_card.load_card(accelerator.model)
        self.detector = FallbackDetector(
            lambda: self._open_accelerator(card, accelerator),
            litert,
            card,
            on_failure=lambda error: services.faults.raise_fault("DET-02", config.name, error),
            on_recovery=lambda: services.faults.clear("DET-02", config.name),
        )

    detector: Detector | None

    def close(self) -> None:
        """Release the accelerator. Called on the detect thread, after the last search."""
        for release in self._releases:
            release()
        self._releases.clear()

    def _open_litert(self, model: str) -> Detector | None:
        """Return the detector. Raise DET-01 if the model does not match its card, and return the default one's.

        None if that is refused too.
        """
        try:
            return self._services.inference.models.open_detector(model)
        except ModelRefused as error:
            log.error("camera %s: %s; it runs without this model", self._camera, error)
            self._services.faults.raise_fault("DET-01", self._camera, error)
        if model == DEFAULT_MODEL:
            return None
        try:
            return self._services.inference.models.open_detector(DEFAULT_MODEL)
        except ModelRefused as error:
            log.error("camera %s: %s; it runs without detection", self._camera, error)
            return None

    def _open_accelerator(self, card: AcceleratorCard, config: AcceleratorConfig) -> Detector:
        """Raises: DriverError if the model's file is missing or another one."""
        card = accelerator_card.verify_file(card, config)
        if card.accelerator == "imx500":
            return SensorDetector(card, self._sensor)
        file = accelerator_card.model_file(card, config)
        model = self._services.inference.hailo.acquire(file, card, self._services.clock.boottime_ns)
        self._releases.append(lambda: self._services.inference.hailo.release(card.sha256))
        return HailoDetector(card, model)


def sensor_openings(config: CameraConfig, clock: Clock) -> SensorNetworkOpenings | None:
    """Return the openings of a camera whose sensor has a network, or None if it has none."""
    accelerator = config.detect.accelerator
    if not config.detect.enabled or accelerator is None:
        return None
    card = accelerator_card.load_card(accelerator.model)
    if card.accelerator != "imx500":
        return None

    def read_network() -> SensorNetwork | None:
        try:
            accelerator_card.verify_file(card, accelerator)
        except DriverError as error:
            log.warning("camera %s: %s", config.name, error)
            return None
        file = accelerator_card.model_file(card, accelerator)
        labels = {str(label): number for label, number in card.labels.items()}
        return SensorNetwork(file=str(file), labels=labels, min_score=card.min_score)

    return SensorNetworkOpenings(read_network, clock.boottime_ns)
