"""The sheet of drawn crossings in the report, which a person marks right or wrong. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from centre.count.report_elements import (
    SAVE_BUTTON,
    Elements,
    bdi,
    format_length,
    format_time,
    jpeg_url,
    section,
    time_bdi,
)
from centre.count.results import CountedCrossing, CountResult
from centre.count.sample import FilmStretch, Sample

SheetPictures = Mapping[int, Sequence[bytes | None]]
"""JPEGs before, at and after each drawn crossing; None if the film gives no picture there."""

_STEPS = ("before", "moment", "after")
_MARKS = ("right", "wrong_class", "no_such")
_PROGRESS, _STATEMENT, _PRESENCE = (
    ' id="progress-text"',
    ' id="statement"',
    ' id="statement-presence" hidden',
)


def render_sheet(
    elements: Elements, result: CountResult, sample: Sample, pictures: SheetPictures
) -> str:
    """Return the section with a card for each drawn crossing."""
    count = len(sample.crossings)
    heading = elements.text("h2", "sheet", count=count)
    if not count:
        return section("sheet", heading, elements.text("p", "no_crossing"))
    cards = "\n".join(
        _render_card(
            elements,
            result,
            result.crossings[index],
            pictures.get(index, (None,) * len(_STEPS)),
            elements.text("h3", "number", f' id="crossing-{number}"', number=number, count=count),
            number,
        )
        for number, index in enumerate(sample.crossings, 1)
    )
    return section(
        "sheet",
        heading,
        elements.text("p", "sheet_why", count=count, total=len(result.crossings)),
        elements.text("p", "sheet_class"),
        elements.text("p", "sheet_keys", ' class="tools"'),
        f'<ol class="cards">\n{cards}\n</ol>',
        _render_verdict(elements, count),
        "" if sample.stretch is None else _render_missed(elements, result, sample.stretch),
    )


def _render_card(
    elements: Elements,
    result: CountResult,
    crossing: CountedCrossing,
    jpegs: Sequence[bytes | None],
    heading: str,
    number: int,
) -> str:
    facts = (
        ("class", f"<strong>{elements.label(crossing.label)}</strong>"),
        ("line", bdi(crossing.line)),
        ("direction", elements.direction(crossing.direction)),
        ("clock", time_bdi(format_time(crossing.time, seconds=True))),
        ("film", bdi(result.films[crossing.film].name)),
        ("in_film", time_bdi(format_length(crossing.t_s))),
    )
    moments = "".join(
        _render_moment(elements, step, jpeg) for step, jpeg in zip(_STEPS, jpegs, strict=True)
    )
    marks = "".join(
        f'<button type="button" data-mark="{mark}" aria-pressed="false"><kbd>{key}</kbd> '
        f"{elements.text('span', mark)}</button>"
        for key, mark in enumerate(_MARKS, 1)
    )
    return (
        f'<li class="card">{heading}<div class="moments">{moments}</div>{elements.facts(facts)}'
        f'<div class="marks" role="group" aria-labelledby="crossing-{number}">{marks}</div></li>'
    )


def _render_moment(elements: Elements, step: str, jpeg: bytes | None) -> str:
    picture = (
        elements.text("p", "no_picture")
        if jpeg is None
        else f'<img{elements.attribute("alt", f"{step}_alt")} src="{jpeg_url(jpeg)}">'
    )
    return f'<figure class="{step}">{picture}{elements.text("figcaption", step)}</figure>'


def _render_verdict(elements: Elements, count: int) -> str:
    progress = f'<progress id="progress" max="{count}" value="0" aria-labelledby="progress-text"></progress>'
    return "\n".join(
        (
            '<div class="verdict">',
            f"<p>{progress} {elements.text('span', 'progress', _PROGRESS, looked=0, count=count)}</p>",
            '<div role="status">',
            elements.text("p", "statement_none", _STATEMENT),
            elements.text("p", "statement_none", _PRESENCE),
            "</div>",
            f'<p class="tools">{elements.text("button", "save", SAVE_BUTTON)}</p>',
            "</div>",
        )
    )


def _render_missed(elements: Elements, result: CountResult, stretch: FilmStretch) -> str:
    """Return what the sheet cannot see, and a stretch of film that a person can count by eye."""
    counts = Counter(
        (one.line, one.direction)
        for one in result.crossings
        if one.film == stretch.film and stretch.begin_s <= one.t_s < stretch.end_s
    )
    items = "".join(
        f"<li>{bdi(line.name)} · {elements.direction(direction)}: {counts[line.name, direction]}</li>"
        for line in result.scene.line
        for direction in (line.forward_name, line.backward_name)
    )
    where = elements.text(
        "p",
        "stretch",
        film=result.films[stretch.film].name,
        begin=format_length(stretch.begin_s),
        end=format_length(stretch.end_s),
    )
    return (
        f'<div class="missed">{elements.text("h3", "missed_title")}{elements.text("p", "missed")}{where}'
        f"{elements.text('p', 'stretch_counted')}<ul>{items}</ul></div>"
    )
