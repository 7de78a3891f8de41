"""docs/heads*.md and tours.md: each snippet loads, each key has its row and default."""

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from agent.commands.requester import ROLES
from agent.config import heads as heads_config
from agent.config.heads import HeadConfig
from agent.ptz import ptz_command as ptz_verb
from agent.ptz.automation import schedule
from agent.ptz.lease import can_preempt
from drivers.catalog import driver_names, load_ptz_driver
from drivers.errors import DriverErrorKind
from drivers.pelco_options import PelcoOptions
from drivers.serial_port import SerialSettings

ROOT = Path(__file__).parents[2]
HEADS, CONTROL, TOURS = (
    (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in ("heads.md", "heads-control.md", "tours.md")
)
PAGES = {"heads.md": HEADS, "heads-control.md": CONTROL, "tours.md": TOURS}
SECTIONS = {
    match["driver"]: match["text"]
    for match in re.finditer(
        r"^## `(?P<driver>\w+)`: .*?\n(?P<text>.*?)(?=^## |\Z)", HEADS, re.MULTILINE | re.DOTALL
    )
}
LINES = HEADS.partition("## Serial lines\n")[2].partition("\n### ")[0]
ERRORS = HEADS.partition("### Driver errors")[2].partition("|---|---|\n")[2].partition("\n\n")[0]
TABLES: dict[str, type[msgspec.Struct]] = {
    "[[head]]": HeadConfig,
    "[[head.forbidden]]": heads_config.ForbiddenSector,
    "[head.fov_deg]": heads_config.FieldOfView,
    "[head.sun]": heads_config.SunConfig,
    "[head.rated_life]": heads_config.RatedLife,
    "[[head.tour]]": heads_config.TourConfig,
    "[[head.tour.stop]]": heads_config.TourStopConfig,
    "[head.sweep]": heads_config.SweepConfig,
    "[head.tracking]": heads_config.TrackingConfig,
}


def heads(text: str) -> list[dict[str, Any]]:
    """The `[[head]]` tables of a text's TOML snippets."""
    snippets = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [table for snippet in snippets for table in tomllib.loads(snippet)["head"]]


def rows(text: str, heading: str) -> dict[str, Any]:
    """The keys of the table that begins with this heading, and their defaults; None where the
    second cell is empty.
    """
    (table,) = re.findall(
        rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE
    )
    found: dict[str, Any] = {}
    for row in str(table).splitlines():
        names, shown = row.split("|")[1:3]
        literal = shown.strip().strip("`")
        default = tomllib.loads(f"x = {literal}")["x"] if literal else None
        found |= dict.fromkeys(re.findall(r"`(\w+)`", names), default)
    return found


def check(shown: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Each key is shown, with its default as TOML has it; None where there is none."""
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    assert set(shown) == set(fields)
    for name, default in shown.items():
        field = fields[name]
        if field.default_factory is not msgspec.NODEFAULT:
            real = field.default_factory()
        else:
            real = None if field.default is msgspec.NODEFAULT else field.default
        assert (None if default is None else msgspec.convert(default, field.type)) == real, name


def test_each_driver_has_its_section() -> None:
    assert sorted(SECTIONS) == list(driver_names("ptz"))


@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_load(page: str) -> None:
    found = heads(PAGES[page])
    assert found
    for table in found:
        head = msgspec.convert(table, HeadConfig)
        msgspec.convert(head.options, load_ptz_driver(head.driver).Options)
        schedule.check_tours(head, page)


@pytest.mark.parametrize("driver", driver_names("ptz"))
def test_a_drivers_own_snippet_loads_and_its_section_has_one_too(driver: str) -> None:
    source = inspect.getsource(load_ptz_driver(driver))
    for text in (source, SECTIONS[driver]):
        (table,) = heads(text)
        head = msgspec.convert(table, HeadConfig)
        assert head.driver == driver
        msgspec.convert(head.options, load_ptz_driver(driver).Options)


def test_the_options_of_lines_are_explained() -> None:
    check(rows(LINES, "Option"), SerialSettings)


@pytest.mark.parametrize("driver", driver_names("ptz"))
def test_each_option_is_explained_with_its_default(driver: str) -> None:
    options = load_ptz_driver(driver).Options
    shown = rows(SECTIONS[driver], "Option")
    if issubclass(options, SerialSettings):
        shown = rows(LINES, "Option") | shown
    if driver == "pelco_p":
        assert issubclass(options, PelcoOptions)
        shown = rows(SECTIONS["pelco_d"], "Option") | shown
    check(shown, options)


@pytest.mark.parametrize("table", TABLES)
def test_each_key_of_a_head_is_explained_with_its_default(table: str) -> None:
    check(rows(CONTROL + TOURS, f"Key of `{table}`"), TABLES[table])


def test_the_table_of_roles_equals_the_arbiters() -> None:
    (head, *body) = re.findall(
        r"^\| (?:requester|operator|incident|tracking|tour)\b.*$", CONTROL, re.MULTILINE
    )
    holders = [cell.strip() for cell in head.split("|")[2:-1]]
    assert holders == ["free", *reversed(ROLES)]
    for role, row in zip(ROLES, body, strict=True):
        first, *cells = (cell.strip() for cell in row.split("|")[1:-1])
        assert first == role
        for holder, cell in zip([None, *reversed(ROLES)], cells, strict=True):
            assert (cell == "takes") == can_preempt(role, holder)


def test_the_error_codes_are_those_of_the_drivers() -> None:
    reported = re.findall(r"\| (\w+) \|$", ERRORS, re.MULTILINE)
    assert set(reported) == set(get_args(DriverErrorKind)) - {"ended", "stuck"}


def test_the_commands_to_follow_are_accepted() -> None:
    found = re.findall(r'\{"do": [^}]+\}', TOURS)
    words = [msgspec.json.decode(text, type=ptz_verb.Args) for text in found]
    assert [type(word).__struct_config__.tag for word in words] == ["follow", "stop_follow"]
