"""Checks of `[camera.detect.accelerator]` against the cameras that it is for."""

from collections.abc import Iterator, Sequence

from agent.config.configuration import CameraConfig
from agent.detection import accelerator_card


def iter_conflicts(cameras: Sequence[CameraConfig]) -> Iterator[str]:
    """Yield a line, which begins with the key, for each accelerator that cannot be used as configured."""
    names = accelerator_card.list_card_names()
    hailo: tuple[str, str] | None = None
    for index, camera in enumerate(cameras):
        accelerator = camera.detect.accelerator
        if accelerator is None:
            continue
        key = f"camera[{index}].detect.accelerator"
        if accelerator.model not in names:
            yield f"{key}.model = {accelerator.model!r}: unknown; allowed: {', '.join(names)}"
            continue
        card = accelerator_card.load_card(accelerator.model)
        if card.accelerator == "imx500":
            if camera.driver != "csi" or camera.detect_options is not None:
                yield (
                    f"{key}.model = {accelerator.model!r}: runs in the sensor of a camera module; "
                    "allowed: with driver = 'csi', without detect_options"
                )
            continue
        if hailo is not None and hailo[1] != accelerator.sha256:
            yield (
                f"{key}.sha256 = {accelerator.sha256!r}: another file than that of {hailo[0]}; "
                "allowed: one model for all cameras of the box's Hailo"
            )
        hailo = hailo or (key, accelerator.sha256)
