"""Tables of a count."""

import json
import re
from pathlib import Path

import pytest

from agent.detection.ground_marks import GeoPosition
from agent.detection.scene import scene_digest
from centre.count import tables, track_file
from centre.count.film_part import PartPassage
from centre.count.join import join_parts
from centre.count.results import CountResult
from centre.count.tables import Table, encode_geojson, make_tables
from tests.count_proofs import count_proof
from tests.pure.count_rig import (
    SCENE,
    make_crossing,
    make_film,
    make_minute,
    make_part,
    make_settings,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def result() -> CountResult:
    part = make_part(
        make_minute(reasons=("dark", "shaken")),
        crossings=(make_crossing(1.5, speed_km_h=48.2, x_m=3.0, y_m=4.0), make_crossing(9)),
        passages=(PartPassage(minute=0, t_s=3.2, flow="through", label="car", track=7),),
    )
    return join_parts([make_film()], [part], make_settings())


def row(table: Table, index: int) -> dict[str, object]:
    return dict(zip((one.name for one in table.columns), table.rows[index], strict=True))


def test_a_row_has_a_value_for_each_column(result: CountResult) -> None:
    for table in make_tables(result):
        assert table.rows
        assert {len(one) for one in table.rows} == {len(table.columns)}


def test_counts_are_a_row_for_each_line_direction_and_class_of_an_interval(
    result: CountResult,
) -> None:
    _, counts, flows = make_tables(result)
    assert len(counts.rows) == 6
    first = row(counts, 0)
    assert (first["line"], first["direction"], first["label"]) == ("north", "forward", "car")
    assert (first["count"], first["measured"], first["mean_speed_km_h"]) == (2, 1, 48.2)
    assert (first["trusted"], first["reasons"]) == (False, "dark shaken")
    assert (row(flows, 0)["from"], row(flows, 0)["to"], row(flows, 0)["count"]) == (
        "north",
        "south",
        1,
    )


def test_counts_name_their_measured_error_or_why_there_is_none(result: CountResult) -> None:
    proof = count_proof(model_sha256="3" * 64, scene_sha256=scene_digest(SCENE))
    proved = join_parts([make_film()], [make_part()], make_settings(proof=proof))
    names = ("light", "validated", "unvalidated_reason", "f1", "f1_low", "clips")
    values = [
        tuple(row(make_tables(one)[1], 0)[name] for name in names) for one in (proved, result)
    ]
    assert values == [
        ("day", True, None, 0.956, 0.896, 7),
        ("day", False, "no_proof", None, None, None),
    ]
    assert not row(make_tables(proved)[2], 0)["validated"]
    assert not row(make_tables(result)[0], 0)["validated"]


def test_a_scene_without_flows_has_no_table_of_them(result: CountResult) -> None:
    scene = type(result.scene)(line=result.scene.line)
    one = join_parts([make_film()], [make_part()], make_settings(scene=scene))
    assert [table.name for table in make_tables(one)] == ["crossings", "counts"]


def test_geojson_has_a_point_for_each_crossing_with_a_position(result: CountResult) -> None:
    first, second = result.crossings
    placed = type(first)(
        **{name: getattr(first, name) for name in first.__struct_fields__ if name != "geo"},
        geo=GeoPosition(51.5, -0.12),
    )
    fields = {name: getattr(result, name) for name in result.__struct_fields__}
    content = json.loads(encode_geojson(CountResult(**fields | {"crossings": (placed, second)})))
    assert content["type"] == "FeatureCollection"
    (feature,) = content["features"]
    assert feature["geometry"] == {"type": "Point", "coordinates": [-0.12, 51.5]}
    assert feature["properties"]["time"] == "2026-05-12T08:00:01.500000+01:00"
    assert feature["properties"]["speed_km_h"] == 48.2
    assert not {"latitude", "longitude"} & set(feature["properties"])


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        ("crossings", [one.name for one in tables.CROSSING_COLUMNS]),
        ("counts", [one.name for one in tables.COUNT_COLUMNS]),
        ("flows", [one.name for one in tables.FLOW_COLUMNS]),
        ("tracks/NAME", [*track_file.COLUMNS, *track_file.GROUND_COLUMNS]),
    ],
)
def test_the_page_describes_each_column_in_its_order(heading: str, columns: list[str]) -> None:
    page = (ROOT / "docs" / "count.md").read_text()
    section = page.split(f"### `{heading}`")[1].split("\n#")[0]
    cells = [
        re.findall(r"`([^`]+)`", line.split("|")[1])
        for line in section.splitlines()
        if line.startswith("| `")
    ]
    assert [name for names in cells for name in names] == columns
