"""`python -m bench.labelled_counts validation.json`: write the part of docs/accuracy.md on counts of labelled films.

`make validate` counts the films and runs this on the result. The page has the figures of the default model alone.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.base.model import LABELS
from agent.config.configuration import DetectConfig
from agent.detection.model_card import find_model
from bench import videos
from bench.__main__ import insert_part
from bench.detector_results import pipeline_digest, rules_digest
from centre.validate.pages import interval, percent
from centre.validate.report import GroupRow, ModelFigures, ValidationReport

PAGE = videos.ROOT / "docs" / "accuracy.md"
PART = "labelled counts"
FEW_CROSSINGS = 10
"""Of a class: with fewer the interval says next to nothing."""
LIGHT_NAMES = {"day": "by day", "night": "at night"}


def to_markdown(report: ValidationReport, pipeline: str, rules: str) -> str:
    """Format the part of the page. `pipeline` and `rules` name the sources that were measured."""
    model = report.model
    sure = model.all.loose.hits + model.all.loose.misses
    source = (
        f"Measured on {report.time[:10]}: {len(model.clips)} films of {report.duration_s:.0f} s in all, {sure} sure crossings away from the "
        f"films' edges; model {model.model}; source of the pipeline {pipeline}, of the rules {rules}."
    )
    unsure = (
        f"No person could be sure of {percent(report.unverifiable_share)} of all {report.crossings} labels: no count of these films "
        "can be proved better than that."
    )
    lines = [
        source,
        unsure,
        "",
        "| Crossings | Found | Missed | Extra | F1 | 95 % interval | Strict F1 |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(_row(row) for row in model.rows if row.grouping in ("all", "light", "class")),
        "",
        _confused(model),
        _few(model),
    ]
    return "\n".join(lines)


def _row(row: GroupRow) -> str:
    figures = row.loose
    name = LIGHT_NAMES.get(row.name, row.name)
    cells = (
        f"{name}",
        str(figures.hits),
        str(figures.misses),
        str(figures.extras),
        percent(figures.f1),
        interval(figures.f1_interval),
        percent(row.strict.f1),
    )
    return "| " + " | ".join(cells) + " |"


def _confused(model: ModelFigures) -> str:
    """Say which classes were counted as others."""
    wrong = [
        f"{count} of {sum(row.counted.values())} {row.true} as {label}"
        for row in model.confusion
        for label, count in row.counted.items()
        if label != row.true
    ]
    return f"Found and counted as another class: {', '.join(wrong) or 'none'}."


def _few(model: ModelFigures) -> str:
    """Name the classes of which the films have few crossings or none."""
    crossings = dict.fromkeys(LABELS, 0) | {
        row.name: row.loose.hits + row.loose.misses for row in model.rows if row.grouping == "class"
    }
    few = [f"{label} {crossings[label]}" for label in LABELS if crossings[label] < FEW_CROSSINGS]
    return f"Classes with fewer than {FEW_CROSSINGS} sure crossings in the films: {', '.join(few) or 'none'}."


def main(argv: Sequence[str] | None = None) -> int:
    """Write the part of the page, if the result is of the default model."""
    parser = argparse.ArgumentParser(prog="python -m bench.labelled_counts", description=__doc__)
    parser.add_argument("result", type=Path, help="validation.json of `vigie validate`")
    args = parser.parse_args(argv)
    report = msgspec.json.decode(args.result.read_bytes(), type=ValidationReport)
    if report.model.sha256 != find_model(DetectConfig().model).card.sha256:
        print(f"{PAGE}: stays as it is; {report.model.model} is not the default model")
        return 0
    insert_part(
        PAGE, PART, to_markdown(report, pipeline_digest().hex()[:8], rules_digest().hex()[:8])
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
