"""Measurement of models against labelled pictures: AP50 and CPU time, all in one run.

Numbers of CPU time compare within a run alone. So the models take turns at each picture, in one child process.
"""

import statistics
from collections.abc import Callable, Sequence

import msgspec

from agent.base.model import Detection, Label
from agent.detection.model_card import ModelBenchmark, ModelCard, ModelFile
from agent.detection.model_process import ModelProcess
from centre.models.average_precision import mean_ap50
from centre.models.labelled_folder import LabelledFolder

CPU_S_PER_PASS = 10
"""Bound of the child's CPU time; the largest that runs on a box takes a hundredth of it."""
START_CPU_S = 60


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One model in a run. `mean_ap50` is over the labels of the folder; `cpu_ms` is the median of a pass."""

    model: str
    decoder: str
    ap50: dict[Label, float]
    mean_ap50: float
    cpu_ms: float

    def as_benchmark(self, folder: LabelledFolder) -> ModelBenchmark:
        """Return the measurement for a card."""
        return ModelBenchmark(
            ap50_on=f"{len(folder.pictures)} labelled pictures of {folder.name}, whole picture",
            ap50=self.ap50,
            inference_ms=self.cpu_ms,
            inference_on="one core of the office's computer, CPU time, median of a pass",
        )


def measure(
    models: Sequence[ModelFile], folder: LabelledFolder, on_progress: Callable[[int, int], None]
) -> tuple[Measurement, ...]:
    """Run each model on each picture. Raises: ModelRefused."""
    found: list[dict[int, tuple[Detection, ...]]] = [{} for _ in models]
    cpu_ms: list[list[float]] = [[] for _ in models]
    readable = [*(model.path for model in models), *{one.path.parent for one in folder.pictures}]
    cpu_s = START_CPU_S + CPU_S_PER_PASS * len(models) * len(folder.pictures)
    with ModelProcess("models", readable, cpu_s) as process:
        for model in models:
            process.load(model.card, model.path)
        for number, picture in enumerate(folder.pictures, 1):
            for index, one_pass in enumerate(process.detect(picture.path)):
                found[index][picture.id] = one_pass.detections
                cpu_ms[index].append(one_pass.cpu_ns / 1e6)
            on_progress(number, len(folder.pictures))
    return tuple(
        _summarize(model.card, folder.measure(by_picture), statistics.median(times))
        for model, by_picture, times in zip(models, found, cpu_ms, strict=True)
    )


def _summarize(card: ModelCard, ap50: dict[Label, float], cpu_ms: float) -> Measurement:
    return Measurement(
        model=card.name,
        decoder=card.decoder,
        ap50={label: round(value, 3) for label, value in ap50.items()},
        mean_ap50=mean_ap50(ap50),
        cpu_ms=round(cpu_ms, 1),
    )
