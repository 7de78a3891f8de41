"""The shipped models next to each other: AP50, counts and CPU, in one run.

Needs the folder `shared` next to the project. Run: `python -m bench models`.
"""

import time

import cv2
import numpy as np

from agent.base.model import LABELS
from agent.detection.model_card import list_model_names, read_verified_model
from agent.detection.pipeline import PipelineSettings
from agent.detection.tflite import TfliteDetector, open_detector
from bench.accuracy import LABEL_FOLDER, score_line_counts, score_pictures
from bench.table import Row

PASSES = 40


def rows() -> list[Row]:
    """Return the rows of every shipped model. Raises: LookupError without labels."""
    if not LABEL_FOLDER.is_dir():
        raise LookupError(
            f"{LABEL_FOLDER}: missing; the labels are in a folder next to the project"
        )
    cv2.setNumThreads(1)
    detectors = {name: open_detector(name) for name in list_model_names()}
    passes_ms = _measure_passes(detectors)
    table = []
    for name, detector in detectors.items():
        ap50 = score_pictures(detector.card, read_verified_model(detector.card))["product"]
        counts = score_line_counts(detector, PipelineSettings(), "", prototype=False, verbose=False)
        pooled = counts["pooled"]
        table += [
            Row(name=f"{name}, CPU of a pass", value=passes_ms[name], unit="ms", target="-"),
            Row(
                name=f"{name}, AP50",
                value=ap50["mean"],
                unit="",
                target="-",
                note=", ".join(f"{label} {ap50[label]}" for label in LABELS),
            ),
            Row(
                name=f"{name}, F1 of the counts",
                value=pooled["f1"],
                unit="",
                target="-",
                note=f"recall {pooled['recall']}, precision {pooled['precision']}, "
                f"{pooled['passes']} passes, {counts['car_and_lorry']} cars and lorries confused",
            ),
        ]
    return table


def _measure_passes(detectors: dict[str, TfliteDetector]) -> dict[str, float]:
    """Return the least CPU time of one pass per model, decoding included; the models take turns."""
    picture = np.random.default_rng(1).integers(0, 256, (360, 640, 3), np.uint8)
    least_ms = dict.fromkeys(detectors, float("inf"))
    for _ in range(PASSES):
        for name, detector in detectors.items():
            start_ns = time.thread_time_ns()
            detector.detect(picture)
            least_ms[name] = min(least_ms[name], (time.thread_time_ns() - start_ns) / 1e6)
    return least_ms
