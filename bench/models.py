"""The shipped models next to each other: AP50, counts and CPU, in one run.

Needs the folder `shared` next to the project. Run: `python -m bench models`.
"""

import cv2

from agent.base.model import LABELS
from agent.detection.model_card import find_model, list_model_names
from agent.detection.pipeline import PipelineSettings
from agent.detection.tflite import open_detector
from bench.accuracy import LABEL_FOLDER, score_line_counts
from bench.table import Row
from centre.models.labelled_folder import read_labelled_folder
from centre.models.measurement import measure


def rows() -> list[Row]:
    """Return the rows of every shipped model. Raises: LookupError without labels."""
    if not LABEL_FOLDER.is_dir():
        raise LookupError(
            f"{LABEL_FOLDER}: missing; the labels are in a folder next to the project"
        )
    cv2.setNumThreads(1)
    models = [find_model(name) for name in list_model_names()]
    pictures = read_labelled_folder(LABEL_FOLDER / "coco_val_road")
    table = []
    for one in measure(models, pictures, lambda _done, _total: None):
        counts = score_line_counts(
            open_detector(one.model), PipelineSettings(), "", prototype=False, verbose=False
        )
        pooled = counts["pooled"]
        table += [
            Row(name=f"{one.model}, CPU of a pass", value=one.cpu_ms, unit="ms", target="-"),
            Row(
                name=f"{one.model}, AP50",
                value=one.mean_ap50,
                unit="",
                target="-",
                note=", ".join(f"{label} {one.ap50[label]}" for label in LABELS),
            ),
            Row(
                name=f"{one.model}, F1 of the counts",
                value=pooled["f1"],
                unit="",
                target="-",
                note=f"recall {pooled['recall']}, precision {pooled['precision']}, "
                f"{pooled['passes']} passes, {counts['car_and_lorry']} cars and lorries confused",
            ),
        ]
    return table
