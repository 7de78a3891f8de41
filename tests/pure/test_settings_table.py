"""centre.provisioning.settings_table: CSV as spreadsheets write it, headings that are keys, cells that are values."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.provisioning.settings import InvalidSettings
from centre.provisioning import settings_table
from centre.provisioning.settings_table import (
    MAX_BOXES,
    SettingsTable,
    TableRow,
    fill_template,
    parse_table,
    resolve_columns,
)

TEMPLATE: dict[str, Any] = tomllib.loads("""
[box]
id = "casa-0000"
site = "x"
[network]
address = "10.4.0.9/24"
dns = ["10.4.0.1", "10.4.0.2"]
[health]
interval_s = 30
[[camera]]
name = "north"
record = true
[camera.options]
url = "rtsp://10.0.0.21/main"
[secrets]
"north.password" = "x"
""")


def parse(text: str) -> SettingsTable:
    return parse_table(text.encode(), "boxes.csv")


def problems_of(data: bytes) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as error:
        parse_table(data, "boxes.csv")
    return error.value.problems


def fill(headings: tuple[str, ...], *cells: str) -> tuple[dict[str, Any], list[str]]:
    columns = resolve_columns(headings, TEMPLATE, "boxes.csv", "template.toml")
    return fill_template(TEMPLATE, columns, TableRow(line=2, cells=cells))


@pytest.mark.parametrize(
    "text",
    [
        "box.id,box.site\ncasa-1,Rue A\ncasa-2,Rue B\n",
        "box.id;box.site\ncasa-1;Rue A\ncasa-2;Rue B\n",
        "\ufeffbox.id,box.site\r\ncasa-1,Rue A\r\ncasa-2,Rue B",
        '"box.id","box.site"\n"casa-1","Rue A"\n\n"casa-2","Rue B"\n',
        # A spreadsheet writes the empty cells of the columns and lines that it once had.
        "box.id;box.site;;\ncasa-1;Rue A;;\n;;;\ncasa-2;Rue B;;\n",
    ],
)
def test_it_is_read_as_spreadsheets_write_it(text: str) -> None:
    table = parse(text)
    assert table.headings == ("box.id", "box.site")
    assert [row.cells for row in table.rows] == [("casa-1", "Rue A"), ("casa-2", "Rue B")]


def test_a_row_has_the_number_of_its_first_line() -> None:
    table = parse('box.id,files.a\ncasa-1,"one\ntwo"\n\ncasa-2,"say ""a, b"""\n')
    assert [(row.line, row.cells[1]) for row in table.rows] == [(2, "one\ntwo"), (5, 'say "a, b"')]


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (b"", ["boxes.csv: empty; allowed: a line of headings, a line for each box"]),
        (b"box.id\n", [f"boxes.csv: 0 boxes; allowed: 1 to {MAX_BOXES}, a line for each"]),
        (
            "box.id;box.site\ncasa-1;Bd Anfa, \xe9".encode("cp1252"),
            ["boxes.csv line 2: not UTF-8 text; allowed: CSV in UTF-8"],
        ),
        (b'box.id\n"casa-1', ["boxes.csv line 2: not CSV: unexpected end of data"]),
        (
            b"box.site,,box.site\na,b\n",
            [
                "boxes.csv: column 2: no heading; allowed: a key of the settings",
                "boxes.csv: column 3, 'box.site': in column 1 already; allowed: once",
                "boxes.csv: box.id: no such column; it has to be given, each box has its own",
                "boxes.csv line 2: 2 cells; allowed: 3, one for each heading",
            ],
        ),
        (
            b"box.id,box.site\ncasa-1\ncasa-2,b,c\n",
            [
                "boxes.csv line 2: 1 cells; allowed: 2, one for each heading",
                "boxes.csv line 3: 3 cells; allowed: 2, one for each heading",
            ],
        ),
    ],
)
def test_each_mistake_of_its_form_is_reported(data: bytes, problems: list[str]) -> None:
    assert list(problems_of(data)) == problems


def test_too_many_boxes_are_refused() -> None:
    (problem,) = problems_of(b"box.id\n" + b"x\n" * (MAX_BOXES + 1))
    assert problem.startswith(f"boxes.csv: {MAX_BOXES + 1} boxes; allowed: 1 to {MAX_BOXES}")


def test_a_cell_longer_than_a_file_is_refused() -> None:
    (problem,) = problems_of(b"box.id\n" + b"x" * 300_000)
    assert problem.startswith("boxes.csv line 2: not CSV: field larger than field limit")


def test_a_cell_replaces_the_value_of_its_key() -> None:
    headings = ("box.id", "network.dns[1]", "camera[0].options.url", "secrets.north.password")
    tables, problems = fill(headings, "casa-7", "10.9.9.9", "rtsp://10.0.0.7/main", "0123")
    assert problems == []
    assert tables["box"] == {"id": "casa-7", "site": "x"}
    assert tables["network"]["dns"] == ["10.4.0.1", "10.9.9.9"]
    assert tables["camera"][0]["options"] == {"url": "rtsp://10.0.0.7/main"}
    assert tables["secrets"] == {"north.password": "0123"}
    assert TEMPLATE["box"]["id"] == "casa-0000"


def test_an_empty_cell_leaves_its_key_out() -> None:
    tables, problems = fill(
        ("box.id", "network.address", "network.dns[0]", "network.dns[1]"), "casa-7", "", "", ""
    )
    assert problems == []
    assert tables["network"] == {"dns": []}


@pytest.mark.parametrize(
    ("heading", "path", "cell", "value"),
    [
        ("health.interval_s", ("health", "interval_s"), "60", 60),
        ("health.interval_s", ("health", "interval_s"), "2.5", 2.5),
        ("camera[0].record", ("camera", 0, "record"), "FALSE", False),
        ("box.site", ("box", "site"), "12", "12"),
    ],
)
def test_a_value_has_the_kind_that_it_has_in_the_template(
    heading: str, path: settings_table.KeyPath, cell: str, value: object
) -> None:
    tables, problems = fill((heading,), cell)
    assert problems == []
    assert settings_table.find_value(tables, path) == (True, value)


@pytest.mark.parametrize(
    ("heading", "cell", "problem"),
    [
        (
            "health.interval_s",
            "2,5",
            "health.interval_s = '2,5': allowed: a number, such as 12 or 1.5",
        ),
        ("camera[0].record", "yes", "camera[0].record = 'yes': allowed: true or false"),
        ("box.site", "Rue A ", "box.site: begins or ends with a space; allowed: without"),
        (
            "secrets.north.password",
            " pass",
            "secrets.north.password: begins or ends with a space; allowed: without",
        ),
    ],
)
def test_a_cell_that_its_key_does_not_take_is_reported(
    heading: str, cell: str, problem: str
) -> None:
    tables, problems = fill((heading,), cell)
    assert problems == [problem]
    assert tables == TEMPLATE


@pytest.mark.parametrize(
    ("heading", "problem"),
    [
        (
            "camera[0].options.ulr",
            "no key of template.toml; allowed: a key with a value there, such as camera[0].options.url",
        ),
        ("camera[1].name", "no key of template.toml"),
        ("Box ID", "no key of template.toml"),
        ("network", "a table in template.toml; allowed: a column for each value in it"),
        ("network.dns", "a list in template.toml; allowed: a column for each value in it"),
    ],
)
def test_a_heading_that_is_no_value_of_the_template_is_refused(heading: str, problem: str) -> None:
    with pytest.raises(InvalidSettings) as error:
        resolve_columns(("box.id", heading), TEMPLATE, "boxes.csv", "template.toml")
    (line,) = error.value.problems
    assert line.startswith(f"boxes.csv: column 2, {heading!r}: {problem}")


def test_no_cell_is_in_a_repr() -> None:
    assert "secret" not in repr(parse("box.id\nsecret\n"))


@given(st.binary(max_size=400))
def test_any_bytes_are_a_table_or_refused(data: bytes) -> None:
    try:
        table = parse_table(b"box.id,box.site\n" + data, "boxes.csv")
    except InvalidSettings:
        return
    assert all(len(row.cells) == 2 for row in table.rows)
