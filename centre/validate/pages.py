"""The page of a validation, as Markdown and as one HTML file that requests nothing. Pure."""

import base64
import html
from collections.abc import Iterator, Mapping

import msgspec

from agent.base.model import LABELS
from centre.validate.report import (
    ConfusedLabels,
    Figures,
    GroupRow,
    ModelFigures,
    ValidationReport,
    WrongCount,
)

_TITLE = "Validation of counts"
_NOTES = (
    "Intervals are of 95 %, by Wilson's score; that of F1 takes a miss and an extra as half a case each.",
    "Loose: a crossing that no person was sure of, or at the clip's edge, counts neither way. Strict: each sure crossing counts, and nothing is forgiven.",
    "A hit belongs to the true class, even if it was counted as another one: see the confusion of classes.",
)
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #14181c; background: #fff }
table { border-collapse: collapse; margin: 1rem 0 } caption { text-align: start; font-weight: 600; padding: .3rem 0 }
th, td { border: 1px solid #9aa4ae; padding: .25rem .6rem; text-align: start } td.number { text-align: end; font-variant-numeric: tabular-nums }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; max-width: 22rem } img { max-width: 100% }
.wide { overflow-x: auto }
"""


class _Table(msgspec.Struct, frozen=True):
    """A table of the page: its title, the heads of its columns, and its cells as text. The first `texts` columns are no numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1


def to_markdown(report: ValidationReport) -> str:
    """Return the page as Markdown."""
    lines = [f"# {_TITLE}", "", *_facts(report), ""]
    for table in _tables(report):
        lines += [f"## {table.title}", "", _markdown_row(table.columns)]
        lines.append(
            "|"
            + "|".join("---" if i < table.texts else "---:" for i in range(len(table.columns)))
            + "|"
        )
        lines += [*(_markdown_row(row) for row in table.rows), ""]
    return "\n".join([*lines, *_NOTES, ""])


def to_html(report: ValidationReport, pictures: Mapping[WrongCount, bytes]) -> str:
    """Return the page as one HTML file. `pictures` has the JPEGs of wrong counts."""
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_TITLE}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{_TITLE}</h1>",
        *(f"<p>{html.escape(line)}</p>" for line in _facts(report)),
        *(_html_table(table) for table in _tables(report)),
        "<h2>Worst counts</h2>",
    ]
    if not pictures:
        parts.append("<p>No crossing was missed, and none was counted that did not happen.</p>")
    for wrong, jpeg in pictures.items():
        words = html.escape(_describe(wrong))
        source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        parts.append(
            f'<figure><img src="{source}" alt="{words}"><figcaption>{words}</figcaption></figure>'
        )
    parts += [f"<p>{html.escape(note)}</p>" for note in _NOTES]
    return "\n".join([*parts, "</main>\n</body>\n</html>\n"])


def percent(value: float) -> str:
    """Return a share in words."""
    return f"{value:.1%}"


def interval(bounds: tuple[float, float]) -> str:
    """Return an interval of shares in words."""
    return f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def _facts(report: ValidationReport) -> tuple[str, ...]:
    model = report.model
    clips = (
        f"{len(model.clips)} clips of {report.duration_s:.0f} s with {report.crossings} labelled crossings, "
        f"{percent(report.unverifiable_share)} of which no person could be sure of. "
        f"Vigie {report.version}, {report.time}."
    )
    return (
        clips,
        f"Model {model.model}, SHA-256 {model.sha256}; truth, SHA-256 {report.truth_sha256}.",
    )


def _tables(report: ValidationReport) -> Iterator[_Table]:
    model = report.model
    if report.limits:
        yield _Table(
            "Limits",
            ("Figure", "Limit", "Measured", "Kept"),
            tuple(
                (one.name, f"{one.limit:g}", f"{one.measured:.3f}", "yes" if one.is_met else "no")
                for one in report.limits
            ),
        )
    if report.against is not None:
        yield _comparison(model, report.against)
    yield _groups(model)
    yield _confusion(model.confusion)
    yield _Table(
        "Clips",
        ("Clip", "View", "Light", "Limits of the view", "Length, s", "F1", "Strict F1"),
        tuple(
            (
                clip.clip,
                clip.view,
                clip.light,
                ", ".join(clip.limits) or "-",
                f"{clip.duration_s:.1f}",
                percent(clip.f1),
                percent(clip.strict_f1),
            )
            for clip in model.clips
        ),
        4,
    )
    yield _Table(
        "Wrong counts, worst clips first",
        ("Clip", "Wrong", "Class", "Direction", "At, s", "Place on the line"),
        tuple(
            (w.clip, w.kind, w.label, w.direction, f"{w.t_s:.2f}", _place(w.position))
            for w in model.worst
        ),
        4,
    )


def _groups(model: ModelFigures) -> _Table:
    return _Table(
        "Crossings",
        (
            "Of",
            "",
            "Clips",
            "Found",
            "Missed",
            "Extra",
            "Recall",
            "Interval",
            "Precision",
            "Interval",
            "F1",
            "Interval",
            "Strict F1",
            "Interval",
        ),
        tuple(
            (
                row.grouping,
                "" if row.grouping == "all" else row.name,
                str(row.clips),
                *_figure_cells(row.loose),
                percent(row.strict.f1),
                interval(row.strict.f1_interval),
            )
            for row in model.rows
        ),
        2,
    )


def _figure_cells(one: Figures) -> tuple[str, ...]:
    return (
        str(one.hits),
        str(one.misses),
        str(one.extras),
        percent(one.recall),
        interval(one.recall_interval),
        percent(one.precision),
        interval(one.precision_interval),
        percent(one.f1),
        interval(one.f1_interval),
    )


def _confusion(found: tuple[ConfusedLabels, ...]) -> _Table:
    counted = [label for label in LABELS if any(label in row.counted for row in found)]
    return _Table(
        "Confusion of classes, of crossings that were found",
        ("True class", *(f"counted as {label}" for label in counted)),
        tuple((row.true, *(str(row.counted.get(label, 0)) for label in counted)) for row in found),
    )


def _comparison(model: ModelFigures, against: ModelFigures) -> _Table:
    others = {(row.grouping, row.name): row for row in against.rows}
    rows = [
        _compared(row, others[row.grouping, row.name])
        for row in model.rows
        if (row.grouping, row.name) in others
    ]
    cpu = ("CPU time of a second of film, s", "", f"{model.cpu_s:.3f}", f"{against.cpu_s:.3f}")
    return _Table(
        f"Against {against.model}, SHA-256 {against.sha256[:12]}",
        ("Figure", "Of", "This", "That", "Difference"),
        (*rows, (*cpu, f"{model.cpu_s - against.cpu_s:+.3f}")),
        2,
    )


def _compared(row: GroupRow, other: GroupRow) -> tuple[str, ...]:
    name = row.grouping if row.grouping == "all" else f"{row.grouping} {row.name}"
    ours, theirs = row.loose.f1, other.loose.f1
    return "F1", name, percent(ours), percent(theirs), f"{100 * (ours - theirs):+.1f} points"


def _place(position: float | None) -> str:
    return "-" if position is None else f"{position:.2f}"


def _describe(wrong: WrongCount) -> str:
    return f"{wrong.clip}, {wrong.t_s:.1f} s: {wrong.kind}, {wrong.label}, {wrong.direction}"


def _markdown_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _html_table(table: _Table) -> str:
    def cells(row: tuple[str, ...]) -> str:
        return "".join(
            f"<td>{html.escape(cell)}</td>"
            if number < table.texts
            else f'<td class="number">{html.escape(cell)}</td>'
            for number, cell in enumerate(row)
        )

    heads = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in table.columns)
    body = "\n".join(f"<tr>{cells(row)}</tr>" for row in table.rows)
    return (
        f'<div class="wide"><table><caption>{html.escape(table.title)}</caption>\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )
