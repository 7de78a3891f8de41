"""The report of a result as one HTML page, which loads nothing and sends nothing. Pure.

All three languages are in it: the texts as they are written here, and page/report.js for a change.
"""

import string
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from agent.base.model import LABELS, Label
from agent.base.speed_bands import BAND_KM_H, MOTOR_VEHICLES, V85_MIN_COUNT, describe_band
from agent.detection.scene import SceneLine
from agent.faults.texts import LANGUAGES, Language
from agent.scene_editor.assemble import hash_source, json_block
from centre.count import plots
from centre.count.report_elements import (
    COLUMN_HEAD,
    SAVE_BUTTON,
    Elements,
    bdi,
    count_cells,
    direction_value,
    escape,
    format_clock,
    format_length,
    format_time,
    jpeg_url,
    section,
    time_bdi,
)
from centre.count.report_sheet import SheetPictures, render_sheet
from centre.count.report_texts import load_texts, read_source
from centre.count.report_validation import f1_cell, render_validation
from centre.count.results import CountedCrossing, CountInterval, CountResult, crossing_speeds
from centre.count.sample import Sample

MAX_TABLE_ROWS = 1500
"""Of a line's table of intervals: a day by the minute. A longer one is in the table files alone."""
COUNTS_FILE = "counts.csv"
_SHADES = 5
_LANGUAGE_NAMES: Mapping[Language, str] = {"en": "English", "fr": "Français", "ar": "العربية"}
_PRINT_BUTTON = ' type="button" id="print"'
_ROW_HEAD = ' scope="row"'

_Counts = Counter[tuple[str, str, Label]]
"""Crossings by line, direction and class."""


class HeatMap(msgspec.Struct, frozen=True, kw_only=True):
    """The heat map of all tracks. `most` road users passed its brightest place."""

    jpeg: bytes
    tracks: int
    most: int


def render_report(
    result: CountResult,
    sample: Sample,
    pictures: SheetPictures,
    heat_map: HeatMap | None,
    language: Language,
) -> str:
    """Return the page, which opens in a language. The same arguments give the same page."""
    elements, style, program = (
        Elements(language),
        read_source("report.css"),
        read_source("report.js"),
    )
    policy = (
        f"default-src 'none'; script-src '{hash_source(program)}'; style-src '{hash_source(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    counts = _CountSections(elements, result)
    body = (
        _render_head(elements, language),
        '<main id="report">',
        _render_summary(elements, result),
        render_validation(elements, result),
        counts.render_totals(),
        *(counts.render_line(line, index) for index, line in enumerate(result.scene.line)),
        counts.render_flows(),
        _render_heat_map(elements, heat_map),
        _render_speeds(elements, result),
        _render_support(elements, result),
        render_sheet(elements, result, sample, pictures),
        "</main>",
    )
    return string.Template(read_source("report.html")).substitute(
        language=language,
        direction="rtl" if language == "ar" else "ltr",
        policy=policy,
        style=style,
        title=load_texts(language)["title"],
        body="\n".join(body),
        texts=json_block({name: load_texts(name) for name in LANGUAGES}),
        program=program,
    )


def _render_head(elements: Elements, language: Language) -> str:
    buttons = "".join(
        f'<button type="button" data-lang="{one}" lang="{one}" '
        f'aria-pressed="{"true" if one == language else "false"}">{name}</button>'
        for one, name in _LANGUAGE_NAMES.items()
    )
    return (
        f"<header>{elements.text('h1', 'title')}"
        f"<nav{elements.attribute('aria-label', 'language')}>{buttons}</nav>"
        f'<p class="tools">{elements.text("button", "print", _PRINT_BUTTON)} '
        f"{elements.text('button', 'save', SAVE_BUTTON)}</p></header>"
    )


def _render_summary(elements: Elements, result: CountResult) -> str:
    facts = [
        ("scene", bdi(result.scene_name)),
        ("films", str(len(result.films))),
        ("searched", time_bdi(format_length(result.observed_s))),
        ("interval", time_bdi(format_length(result.interval_s))),
        ("model", bdi(result.model)),
        ("software", bdi(f"Vigie {result.version}")),
    ]
    if result.films:
        begin, end = (
            time_bdi(format_time(time)) for time in (result.films[0].start, result.films[-1].end)
        )
        facts.insert(1, ("period", f"{begin} \u2013 {end}"))
    return section(
        "summary",
        elements.facts(facts),
        _render_trust(elements, result),
        elements.text("p", "private"),
    )


def _render_trust(elements: Elements, result: CountResult) -> str:
    if not result.untrusted_share:
        return elements.text("p", "view_supports")
    percent = _percent(result.untrusted_share)
    return elements.text("p", "view_fails", ' class="warning"', percent=percent)


class _CountSections:
    """The sections of crossings and turning flows. Columns are the classes that were counted."""

    def __init__(self, elements: Elements, result: CountResult) -> None:
        self._elements = elements
        self._result = result
        counted = {one.label for one in result.crossings}
        self._labels = tuple(label for label in LABELS if label in counted)
        self._shows_seconds = result.interval_s % 60 > 0
        self._interval_counts: list[_Counts] = [
            Counter({(one.line, one.direction, one.label): one.count for one in interval.lines})
            for interval in result.intervals
        ]

    def render_totals(self) -> str:
        """Return the crossings of all films, by line, direction and class."""
        heading = self._elements.text("h2", "summary")
        if not self._result.crossings:
            return section("totals", heading, self._elements.text("p", "no_crossing"))
        counts = Counter((one.line, one.direction, one.label) for one in self._result.crossings)
        rows = [
            f"<tr><th{_ROW_HEAD}>{bdi(line.name)}</th><td>{self._elements.direction(direction)}</td>"
            f"{self._cells(counts, line.name, direction)}</tr>"
            for line in self._result.scene.line
            for direction in (line.forward_name, line.backward_name)
        ]
        head = f"<tr>{self._elements.heads('line', 'direction')}{self._label_heads()}</tr>"
        return section("totals", heading, self._elements.table(head, rows, "summary"))

    def render_line(self, line: SceneLine, index: int) -> str:
        """Return the crossings of a line by interval, as bars and as a table."""
        heading = self._elements.text("h2", "by_interval", name=line.name)
        if not any(one.line == line.name for one in self._result.crossings):
            return section(f"line-{index}", heading, self._elements.text("p", "no_crossing"))
        directions = (line.forward_name, line.backward_name)
        return section(
            f"line-{index}",
            heading,
            *self._render_bars(line.name, directions),
            self._render_intervals(line.name, directions),
        )

    def _render_bars(self, line: str, directions: Sequence[str]) -> list[str]:
        """Return a plot for each direction; all have one scale."""
        elements, intervals = self._elements, self._result.intervals
        if not plots.is_installed():
            return [elements.text("p", "no_plots")]
        bars = {
            direction: {
                label: [counts[line, direction, label] for counts in self._interval_counts]
                for label in self._labels
            }
            for direction in directions
        }
        top = max(
            sum(heights) for one in bars.values() for heights in zip(*one.values(), strict=True)
        )
        ticks = plots.IntervalTicks(
            times=tuple(format_clock(one.begin, seconds=self._shows_seconds) for one in intervals),
            days=tuple(f"{one.begin:%Y-%m-%d}" for one in intervals),
            is_continued=tuple(
                not at or intervals[at - 1].end == one.begin for at, one in enumerate(intervals)
            ),
        )
        untrusted = [not interval.trusted for interval in intervals]
        figures = []
        for direction, one in bars.items():
            count, name = sum(map(sum, one.values())), direction_value(direction)
            caption = elements.text("figcaption", "bars", count=count, direction=name)
            plot = elements.plot(plots.draw_intervals(one, ticks, untrusted, top), "bars_alt")
            figures.append(f"<figure>{caption}{plot}</figure>")
        return [elements.colour_key(self._labels), *figures, elements.text("p", "bars_note")]

    def _render_intervals(self, line: str, directions: Sequence[str]) -> str:
        elements, intervals = self._elements, self._result.intervals
        if len(intervals) > MAX_TABLE_ROWS:
            return elements.text("p", "rows_in_files", count=len(intervals), name=COUNTS_FILE)
        span = f' scope="colgroup" colspan="{len(self._labels) + 1}"'
        names = "".join(
            f"<th{span}>{elements.direction(direction)}</th>" for direction in directions
        )
        high = f'{COLUMN_HEAD} rowspan="2"'
        heads = "".join(
            elements.text("th", key, high) for key in ("begin", "filmed", "view", "measured_f1")
        )
        return elements.table(
            f"<tr>{heads}{names}</tr><tr>{self._label_heads() * len(directions)}</tr>",
            (
                self._render_interval(interval)
                + "".join(self._cells(counts, line, direction) for direction in directions)
                + "</tr>"
                for interval, counts in zip(intervals, self._interval_counts, strict=True)
            ),
            "bars_alt",
            is_long=True,
        )

    def _render_interval(self, interval: CountInterval) -> str:
        """Return the begin of the row of an interval."""
        kind = "" if interval.trusted else ' class="untrusted"'
        limits = interval.untrusted_reasons
        view = self._elements.limits(limits) if limits else self._elements.text("span", "good")
        return (
            f"<tr{kind}><th{_ROW_HEAD}>{time_bdi(format_time(interval.begin, seconds=self._shows_seconds))}</th>"
            f'<td>{time_bdi(format_length(interval.filmed_s))}</td><td class="view">{view}</td>'
            f"{f1_cell(self._elements, interval.validation)}"
        )

    def _label_heads(self) -> str:
        labels = "".join(self._elements.label(label, "th", COLUMN_HEAD) for label in self._labels)
        return labels + self._elements.heads("total")

    def _cells(self, counts: _Counts, line: str, direction: str) -> str:
        return count_cells([counts[line, direction, label] for label in self._labels])

    def render_flows(self) -> str:
        """Return the matrix of turning flows of all classes, and of each if there are several."""
        elements, flows = self._elements, self._result.scene.flow
        heading = elements.text("h2", "flows")
        if not flows:
            return section("flows", heading, elements.text("p", "no_flows"))
        counts = Counter((one.flow, one.label) for one in self._result.passages)
        labels = [label for label in LABELS if any(counts[flow.name, label] for flow in flows)]
        matrices = [self._render_matrix(elements.text("caption", "all_classes"), counts, labels)]
        if len(labels) > 1:
            matrices += (
                self._render_matrix(elements.label(label, "caption"), counts, [label])
                for label in labels
            )
        return section(
            "flows",
            heading,
            elements.text("p", "flows_note"),
            elements.text("p", "flows_unvalidated"),
            f'<div class="matrices">{"".join(matrices)}</div>',
        )

    def _render_matrix(
        self, caption: str, counts: Counter[tuple[str, Label]], labels: Sequence[Label]
    ) -> str:
        """Return the origin-destination matrix of some classes; a fuller cell is darker."""
        flows = self._result.scene.flow
        cells = {
            (flow.origin, flow.destination): sum(counts[flow.name, label] for label in labels)
            for flow in flows
        }
        most = max(1, *cells.values())
        destinations = dict.fromkeys(flow.destination for flow in flows)
        head = "".join(f"<th{COLUMN_HEAD}>{bdi(name)}</th>" for name in destinations)
        rows = "".join(
            f"<tr><th{_ROW_HEAD}>{bdi(origin)}</th>"
            + "".join(_matrix_cell(cells.get((origin, name)), most) for name in destinations)
            + "</tr>"
            for origin in dict.fromkeys(flow.origin for flow in flows)
        )
        return (
            f'{self._elements.region("wide", "flows")}<table class="matrix">{caption}<thead><tr>'
            f"{self._elements.text('td', 'from')}{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )


def _matrix_cell(count: int | None, most: int) -> str:
    if count is None:
        return "<td>\u2013</td>"
    shade = 0 if not count else max(1, round(_SHADES * count / most))
    return f'<td class="shade-{shade}">{count}</td>'


def _render_heat_map(elements: Elements, heat_map: HeatMap | None) -> str:
    heading = elements.text("h2", "heat_map")
    if heat_map is None:
        return section("heat-map", heading, elements.text("p", "no_tracks"))
    scale = (
        f'<span class="scale">{elements.text("span", "heat_few")}<i class="gradient"></i>'
        f"{elements.text('span', 'heat_many')}</span>"
    )
    note = elements.text("span", "heat_note", count=heat_map.tracks, most=heat_map.most)
    return section(
        "heat-map",
        heading,
        f'<figure><img class="heat"{elements.attribute("alt", "heat_alt")} src="{jpeg_url(heat_map.jpeg)}">'
        f"<figcaption>{scale} {note}</figcaption></figure>",
    )


def _render_speeds(elements: Elements, result: CountResult) -> str:
    heading = elements.text("h2", "speeds")
    if not result.is_measured:
        return section("speeds", heading, elements.text("p", "not_calibrated"))
    groups: dict[tuple[str, str], list[CountedCrossing]] = {
        (line.name, direction): []
        for line in result.scene.line
        for direction in (line.forward_name, line.backward_name)
    }
    for one in result.crossings:
        if one.speed_km_h is not None:
            groups[one.line, one.direction].append(one)
    if not any(groups.values()):
        return section("speeds", heading, elements.text("p", "no_speed"))
    return section(
        "speeds",
        heading,
        elements.text("p", "speeds_note"),
        *(
            _render_speeds_of(elements, line, direction, crossings)
            for (line, direction), crossings in groups.items()
            if crossings
        ),
    )


def _render_speeds_of(
    elements: Elements, line: str, direction: str, crossings: Sequence[CountedCrossing]
) -> str:
    """Return the speeds at a line in one direction: V85, bars and a table by band."""
    speeds = crossing_speeds(crossings)
    found = sorted({band for counts in speeds.bands.values() for band in counts})
    bands = range(found[0], found[-1] + 1, BAND_KM_H)
    labels = [label for label in LABELS if label in speeds.bands]
    bars = {label: [speeds.bands[label].get(band, 0) for band in bands] for label in labels}
    motor = sum(sum(bars[label]) for label in labels if label in MOTOR_VEHICLES)
    v85 = (
        elements.text("p", "no_v85", needed=V85_MIN_COUNT, count=motor)
        if speeds.v85_km_h is None
        else elements.text("p", "v85", speed=round(speeds.v85_km_h), count=motor)
    )
    plot = ""
    if plots.is_installed():
        svg = plots.draw_speeds(bars, bands, BAND_KM_H, speeds.v85_km_h)
        plot = elements.colour_key(labels) + elements.plot(svg, "speeds_alt")
    heads = "".join(elements.label(label, "th", COLUMN_HEAD) for label in labels)
    rows = (
        f"<tr><th{_ROW_HEAD}>{time_bdi(describe_band(band))}</th>"
        f"{count_cells([bars[label][at] for label in labels])}</tr>"
        for at, band in enumerate(bands)
    )
    head = f"<tr>{elements.heads('band')}{heads}{elements.heads('total')}</tr>"
    name = elements.text("h3", "speeds_of", line=line, direction=direction_value(direction))
    return f'<div class="speeds">{name}{v85}{plot}{elements.table(head, rows, "speeds")}</div>'


def _render_support(elements: Elements, result: CountResult) -> str:
    return section(
        "support",
        elements.text("h2", "support"),
        _render_trust(elements, result),
        _render_reasons(elements, result) if result.untrusted_shares else "",
        _render_small(elements, result),
        _render_films(elements, result) if result.films else elements.text("p", "no_films"),
        *map(_render_warning, result.warnings),
    )


def _render_reasons(elements: Elements, result: CountResult) -> str:
    rows = (
        f"<tr>{elements.text('th', f'limit_{one.reason}', _ROW_HEAD)}<td>{_percent(one.share)}\u00a0%</td></tr>"
        for one in result.untrusted_shares
    )
    head = f"<tr>{elements.heads('reason', 'share')}</tr>"
    return elements.table(head, rows, "reason") + elements.text("p", "reasons_overlap")


def _render_small(elements: Elements, result: CountResult) -> str:
    """Return the classes that are too small at a line in any interval."""
    small = dict.fromkeys(
        (one.line, one.label)
        for interval in result.intervals
        for one in interval.lines
        if "small" in one.untrusted_reasons and "small" not in interval.untrusted_reasons
    )
    if not small:
        return ""
    items = "".join(f"<li>{bdi(line)}: {elements.label(label)}</li>" for line, label in small)
    return f"{elements.text('p', 'small_note')}<ul>{items}</ul>"


def _render_films(elements: Elements, result: CountResult) -> str:
    rows = (
        f"<tr><th{_ROW_HEAD}>{bdi(film.name)}</th><td>{time_bdi(format_time(film.start))}</td>"
        f"<td>{time_bdi(format_length(film.played_s))}</td>"
        f"{elements.text('td', 'number_alone', number=round(film.fps, 1))}"
        f"<td>{time_bdi(f'{film.width_px} x {film.height_px}')}</td>"
        f"<td>{''.join(map(_render_warning, film.warnings)) or elements.text('span', 'none')}</td></tr>"
        for film in result.films
    )
    head = f"<tr>{elements.heads('film', 'start', 'length', 'fps', 'size', 'warnings')}</tr>"
    return elements.table(head, rows, "films")


def _render_warning(warning: str) -> str:
    """Return a warning of the command, which is in English."""
    return f'<p lang="en" dir="ltr">{escape(warning)}</p>'


def _percent(share: float) -> int:
    """Return a share in percent, of which 0 is none at all."""
    return max(1, round(100 * share)) if share else 0
