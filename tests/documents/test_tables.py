"""Tables of pages: each names what the code has, no more and no less, with its defaults where it has a column for them."""

import argparse
import re
import tomllib
from typing import Any, get_args

import msgspec
import pytest

from agent.__main__ import main
from agent.capture.camera_source import CAMERA_EVENT_TYPES
from agent.cli import probe
from agent.commands.requester import ROLES
from agent.config import desired_keys
from agent.config import heads as heads_config
from agent.config.configuration import InstitutionConfig, OnvifConfig
from agent.config.pins import InputPin, OutputPin
from agent.detection.ground_marks import GroundMarks, KnownLength, MarkedPoint
from agent.detection.scene import IgnoreZone, PrivacyMask, SceneLine, Zone
from agent.ptz import ptz_command
from agent.ptz.lease import can_preempt
from agent.update import feed
from centre.cli import flash
from drivers.errors import DriverErrorKind
from drivers.pelco_options import PelcoOptions
from drivers.serial_port import SerialSettings
from tests.doc_pages import DRIVERS, code_blocks, driver_sections, load_driver, read_page

LINES = read_page("heads.md").partition("## Serial lines\n")[2].partition("\n### ")[0]
KEY_TABLES: list[tuple[str, str, type[msgspec.Struct]]] = [
    ("heads-control.md", "[[head]]", heads_config.HeadConfig),
    ("heads-control.md", "[[head.forbidden]]", heads_config.ForbiddenSector),
    ("heads-control.md", "[head.fov_deg]", heads_config.FieldOfView),
    ("heads-control.md", "[head.sun]", heads_config.SunConfig),
    ("heads-control.md", "[head.rated_life]", heads_config.RatedLife),
    ("tours.md", "[[head.tour]]", heads_config.TourConfig),
    ("tours.md", "[[head.tour.stop]]", heads_config.TourStopConfig),
    ("tours.md", "[head.sweep]", heads_config.SweepConfig),
    ("tours.md", "[head.tracking]", heads_config.TrackingConfig),
    ("institutions.md", "[camera.institution]", InstitutionConfig),
    ("institutions.md", "[camera.onvif]", OnvifConfig),
]


def rows(text: str, heading: str) -> dict[str, Any]:
    """The names of the table that begins with this heading, and their defaults; None where there is none, and `...` if
    the table has no column for them. Empty if there is no such table.
    """
    found: dict[str, Any] = {}
    for second, table in re.findall(
        rf"^\| {re.escape(heading)} \| *(\w*).*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE
    ):
        for row in table.splitlines():
            cell, shown = row.split("|")[1:3]
            names = re.findall(r"`(\w+)`", cell)
            found |= dict.fromkeys(names, None if second == "Default" else ...)
            if second == "Default" and shown.strip():
                literal = shown.strip().replace("`", "")
                literal = f"{{{literal}}}" if re.match(r"\w+ = ", literal) else literal
                defaults = tomllib.loads(f"x = [{literal}]")["x"]
                found |= zip(names, defaults * (len(names) // len(defaults)), strict=True)
    return found


def check(shown: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    assert set(shown) == set(fields)
    for name, default in shown.items():
        field = fields[name]
        if field.default_factory is not msgspec.NODEFAULT:
            real = field.default_factory()
        else:
            real = None if field.default is msgspec.NODEFAULT else field.default
        if default is not ...:
            assert (None if default is None else msgspec.convert(default, field.type)) == real, name


@pytest.mark.parametrize(("page", "driver"), DRIVERS)
def test_each_option_of_a_driver_is_in_its_section_with_its_default(page: str, driver: str) -> None:
    options = load_driver(page, driver).Options
    sections = driver_sections(page)
    shown = rows(sections[driver], "Option")
    if issubclass(options, PelcoOptions):
        shown = rows(sections["pelco_d"], "Option") | shown
    if issubclass(options, SerialSettings):
        shown = rows(LINES, "Option") | shown
    check(shown, options)


def test_each_option_of_serial_lines_has_its_row_and_default() -> None:
    check(rows(LINES, "Option"), SerialSettings)


@pytest.mark.parametrize(
    ("page", "table", "struct"),
    [pytest.param(*each, id=f"{each[0]} {each[1]}") for each in KEY_TABLES],
)
def test_each_key_of_a_table_has_its_row_and_default(
    page: str, table: str, struct: type[msgspec.Struct]
) -> None:
    check(rows(read_page(page), f"Key of `{table}`"), struct)


@pytest.mark.parametrize("kind", get_args(InputPin) + get_args(OutputPin))
def test_each_kind_of_pin_has_its_row_with_its_keys_and_their_defaults(
    kind: type[msgspec.Struct],
) -> None:
    tag = kind.__struct_config__.tag
    (row,) = re.findall(rf"^\| `{tag}` \|.*$", read_page("pins.md"), re.MULTILINE)
    cell = row.split("|")[-3 if kind in get_args(InputPin) else -2]
    named = dict(re.findall(r"`(\w+)`(?: \(([\d.]+)\))?", cell))
    common = {"name", "pin", "active_low"}
    own = {f.name: f.default for f in msgspec.structs.fields(kind) if f.name not in common}
    assert set(named) == set(own)
    assert {name: float(text) for name, text in named.items() if text}.items() <= own.items()


def names_of(*kinds: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for kind in kinds for field in msgspec.structs.fields(kind)}


def section(page: str, heading: str) -> str:
    return read_page(page).partition(f"\n{heading}")[2].partition("\n## ")[0]


def words(pattern: str, text: str) -> set[str]:
    return set(re.findall(pattern, text, re.MULTILINE))


def options_of(command: Any) -> set[str]:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return words(r"--[a-z-]*[a-z]", parser.format_help()) - {"--help"}


def desired_rows() -> dict[str, set[str]]:
    """The keys of the table on desired configurations, and what two people have to sign of each."""
    shown: dict[str, set[str]] = {}
    table = section("desired-configuration.md", "## Keys that may be set")
    for row in (
        table.partition("\n\nA restart")[0].replace("| scenes alone |", "| `scenes` |").splitlines()
    ):
        cells = row.split("|")
        prefix = ""
        for name in re.findall(r"`([^`]+)`", cells[1] if len(cells) > 3 else ""):
            key = f"{prefix}{name}" if name.startswith(".") else name
            prefix = key.rpartition(".")[0]
            shown[key.replace(".NAME", "[]")] = words(r"\*\*([a-z ]+)\*\*", cells[3])
    return shown


SCENE_KEYS = names_of(SceneLine, Zone, PrivacyMask, IgnoreZone, GroundMarks)
MARK_KEYS = names_of(MarkedPoint, KnownLength)
EVENT_KINDS = {event_type.kind for event_type in CAMERA_EVENT_TYPES}
SCENE_ROWS = {
    name
    for row in words(r"^\| ((?:`\w+`(?:, )?)+) \| .* \|", read_page("scene.md"))
    for name in words(r"`(\w+)`", row)
}
PTZ_WORDS = {str(kind.__struct_config__.tag) for kind in get_args(ptz_command.Args)}
NAMES: list[tuple[str, set[str], set[str]]] = [
    (
        "commands.md: each `do` of ptz is in the table",
        words(
            r"`([a-z_]+)`",
            "".join(words(r"^\| (`[a-z_`, ]+`) \|", section("commands.md", "## `ptz`"))),
        )
        - {"do"},
        PTZ_WORDS,
    ),
    (
        "commands.md: each `do` of ptz has an example",
        words(r'"do":"(\w+)"', "".join(code_blocks(read_page("commands.md"), "json ptz"))),
        PTZ_WORDS,
    ),
    (
        "flash.md: the flags against a refusal",
        words(r"`(--even[a-z-]+)`", read_page("flash.md")),
        {option for option in options_of(flash) if option.startswith("--even")},
    ),
    (
        "heads.md: the kinds of a driver's errors",
        words(r"\| (?!Kind)(\w+) \|$", section("heads.md", "### Driver errors")),
        {*get_args(DriverErrorKind)} - {"ended", "stuck"},
    ),
    (
        "probe.md: its options",
        words(r"(?<![|-])--[a-z-]+[a-z]", read_page("probe.md")),
        options_of(probe),
    ),
    (
        "scene.md: each key in an example",
        words(r"^(\w+) = ", "".join(code_blocks(read_page("scene.md"), "toml"))),
        SCENE_KEYS,
    ),
]


@pytest.mark.parametrize(
    ("shown", "of_code"), [each[1:] for each in NAMES], ids=[each[0] for each in NAMES]
)
def test_a_page_has_the_names_of_the_code_and_no_other(shown: set[str], of_code: set[str]) -> None:
    assert shown == of_code


def test_the_page_of_scenes_names_each_key_and_kind_of_event_and_no_other() -> None:
    page = read_page("scene.md")
    assert words(r"`(\w+)`", page) >= SCENE_KEYS | MARK_KEYS
    assert SCENE_ROWS <= SCENE_KEYS | MARK_KEYS | EVENT_KINDS
    for kind in EVENT_KINDS:
        assert re.search(rf"^\| .*`{kind}`", page, re.MULTILINE), kind


def test_the_page_of_updates_names_each_key_of_a_feed() -> None:
    explained = {
        key
        for cell in words(r"^\| (`.*?) \|", read_page("update.md"))
        for key in words(r"`([a-z0-9_]+)`", cell)
    }
    explained_by_the_example = {"url", "v", "kind", "releases"}
    assert names_of(feed.FeedRelease, feed.Feed) - explained_by_the_example <= explained


def test_each_command_and_option_on_the_page_of_updates_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = read_page("update.md")
    shown = words(r"vigie update ([a-z]+)", page)
    with pytest.raises(SystemExit):
        main(["update", "--help"])
    assert shown == words(r"^    ([a-z]+)  ", capsys.readouterr().out)
    for order in sorted(shown):
        with pytest.raises(SystemExit):
            main(["update", order, "--help"])
    assert words(r"(?<=[ `])--[a-z0-9]+", page) <= words(r"--[a-z0-9]+", capsys.readouterr().out)


def test_the_table_of_desired_keys_states_what_two_people_sign() -> None:
    assert desired_rows() == {
        key: {change.harm for change in changes}
        for key, changes in {**desired_keys.CENTRE_KEYS, **desired_keys.CENTRE_PARTS}.items()
    }


def test_the_table_of_roles_equals_the_arbiters() -> None:
    (head, *body) = re.findall(
        r"^\| (?:requester|operator|incident|tracking|tour)\b.*$",
        read_page("heads-control.md"),
        re.MULTILINE,
    )
    holders = [cell.strip() for cell in head.split("|")[2:-1]]
    assert holders == ["free", *reversed(ROLES)]
    for role, row in zip(ROLES, body, strict=True):
        first, *cells = (cell.strip() for cell in row.split("|")[1:-1])
        assert first == role
        for holder, cell in zip([None, *reversed(ROLES)], cells, strict=True):
            assert (cell == "takes") == can_preempt(role, holder)


def test_each_untested_item_of_flashing_has_steps_and_a_result() -> None:
    _, _, rest = read_page("flash.md").partition("## Not yet tried on a board")
    table = [line.split("|")[1:-1] for line in rest.splitlines() if line.startswith("| ")]
    assert [title.strip() for title in table[0]] == ["Item", "Steps", "Good if"]
    assert len(table) > 10
    assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in table)
