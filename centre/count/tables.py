"""Tables of a count: their columns, and each as CSV. `docs/count.md` describes the columns."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from agent.base.count_proof import CountValidation, ValidatedCounts
from agent.base.view_condition import ViewLimit
from centre.count.results import CountedCrossing, CountResult
from centre.line_file import LineFile

ColumnKind = Literal["time", "text", "number", "whole", "flag"]
Value: TypeAlias = datetime | str | float | int | bool | None


class Column(msgspec.Struct, frozen=True):
    """One column. An unknown value is empty in CSV, and null in Parquet."""

    name: str
    kind: ColumnKind


class Table(msgspec.Struct, frozen=True):
    """One table. `name` is that of its files, without suffix."""

    name: str
    columns: tuple[Column, ...]
    rows: list[tuple[Value, ...]]


CROSSING_COLUMNS = (
    Column("time", "time"),
    Column("film", "text"),
    Column("t_s", "number"),
    Column("line", "text"),
    Column("direction", "text"),
    Column("label", "text"),
    Column("track", "whole"),
    Column("score", "number"),
    Column("position", "number"),
    Column("foot_x", "number"),
    Column("foot_y", "number"),
    Column("x", "number"),
    Column("y", "number"),
    Column("w", "number"),
    Column("h", "number"),
    Column("x_m", "number"),
    Column("y_m", "number"),
    Column("latitude", "number"),
    Column("longitude", "number"),
    Column("speed_km_h", "number"),
    Column("speed_error_km_h", "number"),
    Column("trusted", "flag"),
    Column("reasons", "text"),
    Column("light", "text"),
    Column("validated", "flag"),
)
COUNT_COLUMNS = (
    Column("begin", "time"),
    Column("end", "time"),
    Column("line", "text"),
    Column("direction", "text"),
    Column("label", "text"),
    Column("count", "whole"),
    Column("measured", "whole"),
    Column("mean_speed_km_h", "number"),
    Column("v85_km_h", "number"),
    Column("filmed_s", "number"),
    Column("observed_s", "number"),
    Column("trusted", "flag"),
    Column("reasons", "text"),
    Column("light", "text"),
    Column("validated", "flag"),
    Column("unvalidated_reason", "text"),
    Column("f1", "number"),
    Column("f1_low", "number"),
    Column("f1_high", "number"),
    Column("clips", "whole"),
    Column("unverifiable_share", "number"),
)
FLOW_COLUMNS = (
    Column("begin", "time"),
    Column("end", "time"),
    Column("flow", "text"),
    Column("from", "text"),
    Column("to", "text"),
    Column("label", "text"),
    Column("count", "whole"),
    Column("filmed_s", "number"),
    Column("observed_s", "number"),
    Column("trusted", "flag"),
    Column("reasons", "text"),
    Column("validated", "flag"),
)


def make_tables(result: CountResult) -> tuple[Table, ...]:
    """Return the tables of a count: crossings, counts, and flows if the scene has any."""
    crossings = Table("crossings", CROSSING_COLUMNS, list(_crossing_rows(result)))
    counts = Table("counts", COUNT_COLUMNS, list(_count_rows(result)))
    flows = Table("flows", FLOW_COLUMNS, list(_flow_rows(result)))
    return (crossings, counts, flows) if result.scene.flow else (crossings, counts)


def write_csv(table: Table, path: Path) -> None:
    """Write a table as CSV: UTF-8, with a header, times with their offset. Raises: UserError if it cannot be written."""
    with LineFile(path) as file:
        file.write(_csv_line(column.name for column in table.columns))
        for row in table.rows:
            file.write(_csv_line(map(_csv_value, row)))


def encode_geojson(result: CountResult) -> bytes:
    """Return the crossings whose position is known as GeoJSON (RFC 7946): a point for each, at the foot of the road user."""
    names = [
        column.name for column in CROSSING_COLUMNS if column.name not in {"latitude", "longitude"}
    ]
    features = []
    for crossing in result.crossings:
        if crossing.geo is None:
            continue
        row = dict(
            zip(
                (one.name for one in CROSSING_COLUMNS), _crossing_row(result, crossing), strict=True
            )
        )
        features.append(
            {
                "type": "Feature",
                "geometry": {
                    "type": "Point",
                    "coordinates": [crossing.geo.longitude, crossing.geo.latitude],
                },
                "properties": {name: row[name] for name in names},
            }
        )
    return msgspec.json.encode({"type": "FeatureCollection", "features": features})


def _crossing_rows(result: CountResult) -> Iterator[tuple[Value, ...]]:
    return (_crossing_row(result, crossing) for crossing in result.crossings)


def _crossing_row(result: CountResult, one: CountedCrossing) -> tuple[Value, ...]:
    return (
        one.time,
        result.films[one.film].name,
        one.t_s,
        one.line,
        one.direction,
        one.label,
        one.track,
        one.score,
        one.position,
        one.foot.x,
        one.foot.y,
        one.box.x,
        one.box.y,
        one.box.w,
        one.box.h,
        one.x_m,
        one.y_m,
        None if one.geo is None else one.geo.latitude,
        None if one.geo is None else one.geo.longitude,
        one.speed_km_h,
        one.speed_error_km_h,
        one.trusted,
        _reasons(one.untrusted_reasons),
        one.light,
        one.validated,
    )


def _count_rows(result: CountResult) -> Iterator[tuple[Value, ...]]:
    for interval in result.intervals:
        validation = _validation_values(interval.validation)
        for one in interval.lines:
            yield (
                interval.begin,
                interval.end,
                one.line,
                one.direction,
                one.label,
                one.count,
                one.measured,
                one.mean_speed_km_h,
                one.v85_km_h,
                interval.filmed_s,
                interval.observed_s,
                one.trusted,
                _reasons(one.untrusted_reasons),
                *validation,
            )


def _validation_values(validation: CountValidation | None) -> tuple[Value, ...]:
    if isinstance(validation, ValidatedCounts):
        return (
            validation.light,
            True,
            None,
            validation.f1,
            validation.f1_low,
            validation.f1_high,
            validation.clips,
            validation.unverifiable_share,
        )
    light, reason = (None, None) if validation is None else (validation.light, validation.reason)
    return (light, False, reason, None, None, None, None, None)


def _flow_rows(result: CountResult) -> Iterator[tuple[Value, ...]]:
    for interval in result.intervals:
        for one in interval.flows:
            yield (
                interval.begin,
                interval.end,
                one.flow,
                one.origin,
                one.destination,
                one.label,
                one.count,
                interval.filmed_s,
                interval.observed_s,
                one.trusted,
                _reasons(one.untrusted_reasons),
                # A proof is of crossings of lines alone.
                False,
            )


def _reasons(reasons: Iterable[ViewLimit]) -> str:
    return " ".join(reasons)


def _csv_line(values: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue().encode()


def _csv_value(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return str(value)
