"""Rows of the fleet's table, and the lines about one box below it. Pure."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from rich.text import Text

from centre.counts_text import describe_counts, describe_validation
from centre.fleet.box_view import BoxView, Condition, HealthView, format_time
from centre.fleet.hour_counts import CountRow, HourCounts
from centre.fleet.wire_text import clean_text

STYLES: Mapping[Condition, str] = {
    "lost": "bold red",
    "critical": "bold red",
    "stopped": "yellow",
    "error": "red",
    "warning": "yellow",
    "unknown": "dim",
    "good": "green",
}
MIN_FLEXIBLE_WIDTH = 18
"""Of `site`, `faults` and `last event` on average. Columns of numbers, which the details have too, are left out
for them.
"""
_FIXED_WIDTHS = {"state": 7, "since": 9, "health": 24, "queued": 7}
_LEFT_OUT_FIRST = ("health", "queued")
_SHARES = {"site": 2, "faults": 3, "last event": 3}
_ORDER = ("box", "state", "since", "site", "health", "queued", "faults", "last event")
_MAX_BOX_WIDTH = 24
_LEFT_TO_RIGHT_MARK = "\N{LEFT-TO-RIGHT MARK}"
_RIGHT_TO_LEFT_CLASSES = ("R", "AL", "AN")


class ColumnWidth(NamedTuple):
    """A heading, and the width of its column."""

    heading: str
    width: int


def choose_columns(width: int, views: Sequence[BoxView]) -> tuple[ColumnWidth, ...]:
    """Return the columns that fit into `width`."""
    box_width = max([4, *(len(view.box) for view in views)])
    widths = {"box": min(box_width, _MAX_BOX_WIDTH), **_FIXED_WIDTHS}
    left_out = iter(_LEFT_OUT_FIRST)
    while True:
        flexible = width - sum(widths.values()) - len(widths) - len(_SHARES) + 1
        if flexible >= MIN_FLEXIBLE_WIDTH * len(_SHARES):
            break
        heading = next(left_out, None)
        if heading is None:
            break
        del widths[heading]
    total = sum(_SHARES.values())
    widths |= {name: max(1, flexible * share // total) for name, share in _SHARES.items()}
    return tuple(ColumnWidth(name, widths[name]) for name in _ORDER if name in widths)


def heading_row(columns: Sequence[ColumnWidth]) -> Text:
    """Return the line of headings."""
    return _join([format_cell(heading, width, "bold") for heading, width in columns])


def box_row(view: BoxView, columns: Sequence[ColumnWidth], now: datetime) -> Text:
    """Return the line of one box."""
    style = STYLES[view.condition]
    texts = _cell_texts(view, now)
    return _join(
        [
            format_cell(texts.get(heading, ""), width, style if heading in ("box", "state") else "")
            for heading, width in columns
        ]
    )


def totals_line(totals: Mapping[Condition, int], shown: int, filter_text: str) -> Text:
    """Return the number of boxes in each condition, and how many pass the filter."""
    count = sum(totals.values())
    line = Text(f"{count} box{'' if count == 1 else 'es'}", style="bold")
    for index, (condition, number) in enumerate(totals.items()):
        line.append(": " if index == 0 else ", ", style="not bold")
        line.append(f"{number} {condition}", style=f"not bold {STYLES[condition]}")
    if filter_text.strip():
        line.append(f"; {shown} with {clean_text(filter_text.strip())!r}", style="not bold")
    return line


def detail_lines(view: BoxView) -> Iterator[Text]:
    """Yield the lines about one box: name, state, health, faults, events, counts."""
    yield Text(f"{view.box} {view.site}".strip(), style="bold")
    yield Text(_state_text(view), style=STYLES[view.condition])
    yield Text("no health report yet" if view.health is None else _health_text(view.health))
    if view.alarm:
        yield Text(f"ALARM {view.alarm}", style=STYLES["critical"])
    for fault in view.faults:
        yield Text(f"{fault.text}: {fault.detail}", style=STYLES[fault.severity])
    for event in view.events:
        yield Text(f"{event.time} {event.text}")
    yield from map(Text, _count_texts(view.hour_counts))


def format_age(since: datetime, now: datetime) -> str:
    """Return a duration in its largest unit."""
    age_s = max(0.0, (now - since).total_seconds())
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if age_s >= length_s:
            return f"{int(age_s // length_s)} {unit}"
    return f"{int(age_s)} s"


def _join(cells: Sequence[Text]) -> Text:
    return Text(" ", end="", no_wrap=True).join(cells)


def _cell_texts(view: BoxView, now: datetime) -> dict[str, str]:
    """Return the text of each column."""
    texts = {
        "box": view.box,
        "state": view.state,
        "site": view.site,
        "faults": ", ".join(
            [
                *(["ALARM " + view.alarm] if view.alarm else []),
                *(fault.text for fault in view.faults),
            ]
        ),
    }
    if view.since is not None:
        texts["since"] = f"{'> ' if view.is_since_bound else ''}{format_age(view.since, now)}"
    if view.health is not None:
        texts["health"] = _short_health(view.health)
        texts["queued"] = str(view.health.queued)
    if view.events:
        texts["last event"] = f"{view.events[0].time} {view.events[0].text}"
    return texts


def _state_text(view: BoxView) -> str:
    if view.since is None:
        return "no status yet"
    begin = f"{'before' if view.is_since_bound else 'since'} {format_time(view.since)}"
    match view.state:
        case "lost":
            connected = view.connected and f"; it had connected at {format_time(view.connected)}"
            return f"lost {begin}{connected or ''}"
        case "stopped":
            return f"stopped {begin}: {view.reason}"
        case _:
            return f"{view.state} {begin}"


def _count_texts(hour_counts: HourCounts) -> Iterator[str]:
    """Yield a line for each direction of a line, and for each turning flow."""
    for row in hour_counts.rows:
        parts = [describe_counts(row.counts, row.speeds)]
        if row.untrusted_minutes:
            parts.append(f"not to be trusted in {row.untrusted_minutes} of {row.minutes} minutes")
        parts += _validation_texts(row)
        yield f"since {hour_counts.begin} at {row.camera}, {row.name}: {'; '.join(parts)}"


def _validation_texts(row: CountRow) -> Iterator[str]:
    """Yield the measured error of the validated minutes, and that the others are not validated."""
    if row.validated is not None:
        yield describe_validation(row.validated)
    if row.unvalidated_minutes:
        reason = row.unvalidated
        text = "not validated" if reason is None else describe_validation(reason)
        some = f" in {row.unvalidated_minutes} of {row.minutes} minutes"
        yield text + (some if row.unvalidated_minutes < row.minutes else "")


def _short_health(health: HealthView) -> str:
    """Return the lowest stream rate, the temperature and the free space for footage."""
    rates = [camera.stream_fps for camera in health.cameras]
    parts = [f"{min(rates):.1f} fps"] if rates else []
    parts += [] if health.soc_celsius is None else [f"{health.soc_celsius:.0f} °C"]
    free_bytes = health.footage_free_bytes
    return " ".join([*parts, *([] if free_bytes is None else [f"{free_bytes / 1e9:.1f} GB"])])


def _health_text(health: HealthView) -> str:
    parts = [f"{health.time} up {health.uptime_s / 3600:.1f} h"]
    parts += [f"sheds load: {health.shed_reason}"] if health.shed_reason else []
    parts += [f"{camera.name}: {camera.words}" for camera in health.cameras]
    parts += _machine_parts(health)
    parts += [f"{health.queued} messages queued"]
    parts += [f"{health.lost} lost"] if health.lost else []
    return ", ".join(parts)


def _machine_parts(health: HealthView) -> Iterator[str]:
    if health.soc_celsius is not None:
        yield f"{health.soc_celsius:.0f} °C"
    if health.footage_free_bytes is not None:
        yield f"{health.footage_free_bytes / 1e9:.1f} GB free for footage"
    if health.state_free_bytes is not None:
        yield f"{health.state_free_bytes / 1e9:.1f} GB free for the rest of the state"


def format_cell(text: str, width: int, style: str = "") -> Text:
    """Return a cleaned text as a cell of exactly `width` columns.

    A mark after right-to-left letters keeps a terminal with bidirectional text from moving the cells that
    follow between them.
    """
    cell = Text(text, style=style, no_wrap=True, end="")
    cell.truncate(width, overflow="ellipsis", pad=True)
    if any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT_CLASSES for char in cell.plain):
        cell.append(_LEFT_TO_RIGHT_MARK)
    return cell
