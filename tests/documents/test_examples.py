"""Examples on pages: each JSON, TOML and shell block is what the code accepts, and some are run."""

import inspect
import json
import re
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from agent.base import checked_convert
from agent.base.model import IncidentReport
from agent.config import configuration, toml_decode
from agent.config.configuration import Config
from agent.config.desired_config import DesiredContent, iter_refused_keys, merge
from agent.config.fisheye import VIEW_DRIVER, ViewOptions
from agent.config.link import UpdateConfig
from agent.config.pins import InputPin, OutputPin, Pin, iter_conflicts
from agent.config_change.desired_message import read_plain
from agent.detection.scene import Scene, load_scene
from agent.diagnostics.probe.config_snippet import render_snippet
from agent.diagnostics.probe.results import ProbeResult, ProbeSection
from agent.faults.registry import FaultRegistry
from agent.gpio.gpio_stage import GpioStage
from agent.incident.order import parse_unsigned_order
from agent.ptz import ptz_command
from agent.ptz.automation import schedule
from agent.recording.encryption.key_wrapping import WrappedKeyFile
from agent.reporting.payloads import ReportedConfig, ReportedContent
from agent.update import feed
from agent.update.feed import Feed
from centre.config_text import read_tables
from centre.operator_settings import OperatorSettings
from centre.validate.crossing_truth import ClipTruth
from drivers.catalog import (
    load_camera_driver,
    load_gpio_driver,
    load_ptz_driver,
)
from drivers.contracts import Gpio, GpioLine
from drivers.head_probe_codec import HeadAnswer
from drivers.head_search import FoundHead, PortSearch
from scripts.command_types import find_command_types
from simulation.camera.fake import Options as FakeCameraOptions
from simulation.gpio import fake
from tests.conftest import ManualClock
from tests.doc_pages import (
    CODE_BLOCK,
    DOCS,
    DRIVERS,
    code_blocks,
    driver_sections,
    load_driver,
    read_page,
)

CONTRACT = json.loads(read_page("asyncapi.json"))
MESSAGES = CONTRACT["components"]["messages"]
VERBS = {command.verb: command for command in find_command_types()}
OTHER_DOCUMENTS: dict[str, Any] = {
    "feed": Feed,
    "keyFile": WrappedKeyFile,
    "truth": dict[str, ClipTruth],
}
"""Documents that are not messages, by the name behind ```json."""
PUBLISHED = re.compile(r"mosquitto_pub [^\n]*-t (\S+) -m '(\{.*?\})'$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(\{\"[^`…]*\})`")
BLOCKS = [
    (page, info.strip(), block)
    for page in sorted(DOCS.glob("**/*.md"))
    for info, block in CODE_BLOCK.findall(page.read_text(encoding="utf-8"))
]


def contract_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": CONTRACT["components"]}


def schema_of(name: str, page: str) -> dict[str, Any]:
    """The schema of the examples behind ```json NAME: a verb's arguments or its result, a type, or a message,
    which comes first on the page of the messages.
    """
    verb = name.removeprefix("result ")
    if verb in VERBS and page != "wire-contract.md":
        message = MESSAGES[f"command{verb.title()}"]
        if name != verb:
            return contract_schema(message["x-result"])
        command = message["payload"]["$ref"].rpartition("/")[2]
        return contract_schema(CONTRACT["components"]["schemas"][command]["properties"]["args"])
    if name.startswith("claims"):
        return contract_schema(MESSAGES[f"command{name.removeprefix('claims')}Signed"]["x-claims"])
    if name in CONTRACT["components"]["schemas"]:
        return contract_schema(CONTRACT["components"]["schemas"][name])
    if name in MESSAGES:
        message = MESSAGES[name]
        is_picture = message["contentType"] == "image/jpeg"
        return contract_schema(message["headers"] if is_picture else message["payload"])
    return msgspec.json.schema(OTHER_DOCUMENTS[name])


def documents_in(text: str) -> list[Any]:
    """One document, or one on each line."""
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines()]


EXAMPLES = [
    pytest.param(name, page.name, document, id=f"{page.name} {name} {number}")
    for number, (page, info, text) in enumerate(BLOCKS)
    if info.split(" ")[0] == "json"
    for name in [info.removeprefix("json").strip()]
    for document in documents_in(text)
]
VALUES = [(str(name), page, document) for name, page, document in (e.values for e in EXAMPLES)]


@pytest.mark.parametrize(("name", "page", "document"), EXAMPLES)
def test_a_json_example_is_valid_by_its_schema(name: str, page: str, document: Any) -> None:
    assert name, "an example needs the name of its schema: ```json NAME"
    # msgspec writes schemas of the later draft; those of the contract are of the one that AsyncAPI reads.
    is_own = name in OTHER_DOCUMENTS
    validator = jsonschema.Draft202012Validator if is_own else jsonschema.Draft7Validator
    validator(schema_of(name, page)).validate(document)


@pytest.mark.parametrize(
    ("declared_type", "example"),
    [
        (declared_type, example)
        for command in VERBS.values()
        for declared_type, examples in (
            (command.args, command.examples),
            (command.result, command.result_examples),
        )
        for example in examples
    ],
)
def test_an_example_of_a_declaration_stays_what_it_is(declared_type: Any, example: object) -> None:
    assert msgspec.json.decode(msgspec.json.encode(example), type=declared_type) == example


REPORTS: dict[str, Any] = {
    "IncidentReport": IncidentReport,
    "ReportedConfig": ReportedConfig,
    "ReportedContent": ReportedContent,
}


@pytest.mark.parametrize(
    ("name", "document"), [(name, document) for name, _, document in VALUES if name in REPORTS]
)
def test_an_example_of_a_report_is_complete(name: str, document: Any) -> None:
    report = msgspec.convert(document, REPORTS[name])
    assert msgspec.json.decode(msgspec.json.encode(report)) == document


@pytest.mark.parametrize(("topic", "payload"), PUBLISHED.findall(read_page("commands.md")))
def test_an_example_of_a_publication_is_valid_by_its_topic(topic: str, payload: str) -> None:
    verb = topic.rpartition("/")[2]
    schema = contract_schema(MESSAGES[f"command{verb.title()}"]["payload"])
    jsonschema.Draft7Validator(schema).validate(json.loads(payload))


def test_an_example_within_a_sentence_is_valid() -> None:
    found = [json.loads(text) for text in INLINE.findall(read_page("centre.md"))]
    assert {"state": "listening"} in found
    for document in found:
        jsonschema.Draft7Validator(schema_of("centreState", "centre.md")).validate(document)


def test_each_message_and_verb_has_its_examples() -> None:
    names = {name for name, _, _ in VALUES}
    assert {"status", "event", "ack", "centreState", *REPORTS, *OTHER_DOCUMENTS} <= names
    commands = {name for name, page, _ in VALUES if page == "commands.md"}
    assert commands == {*VERBS, *(f"result {verb}" for verb in VERBS)}
    assert PUBLISHED.search(read_page("commands.md"))


CONFIG_TYPES = {field.encode_name: field.type for field in msgspec.structs.fields(Config)}
OF_A_VERSION = {
    "camera": [{"name": "north"}, {"name": "dome"}, {"name": "around"}],
    "head": [{"name": "mast"}],
}
"""The cameras and heads of the box that the examples of versions are for."""


def check_config(text: str) -> dict[str, Any]:
    """Load tables of a box's configuration, each with the options of its driver, and return them by name."""
    loaded = {}
    for name, table in tomllib.loads(text).items():
        # `[camera.detect]` alone belongs to some camera.
        is_part = name == "camera" and isinstance(table, dict)
        value = [{"name": "north", "driver": "fake", **table}] if is_part else table
        loaded[name] = msgspec.convert(value, CONFIG_TYPES[name])
    for camera in loaded.get("camera", ()):
        if camera.driver == VIEW_DRIVER:
            msgspec.convert(camera.options, ViewOptions)
            continue
        for options in (camera.options, camera.detect_options):
            if options is not None:
                msgspec.convert(options, load_camera_driver(camera.driver).Options)
    for head in loaded.get("head", ()):
        msgspec.convert(head.options, load_ptz_driver(head.driver).Options)
        schedule.check_tours(head, "the page")
    if "gpio" in loaded:
        msgspec.convert(loaded["gpio"].options, load_gpio_driver(loaded["gpio"].driver).Options)
    return loaded


def check_version(text: str) -> DesiredContent:
    tables = read_tables(toml_decode.parse_toml(text, "version"), "version.toml")
    content = checked_convert.convert(tables, DesiredContent, "version.toml")
    assert list(iter_refused_keys(OF_A_VERSION, content)) == []
    return content


@pytest.mark.parametrize(
    ("page", "info", "text"),
    [
        pytest.param(page.name, info, text, id=f"{page.name} {info} {number}")
        for number, (page, info, text) in enumerate(BLOCKS)
        # The one of probe.md has options to fill in, and is compared with the code below.
        if info.startswith("toml") and page.parent.name != "decisions" and page.name != "probe.md"
    ],
)
def test_a_toml_example_loads(page: str, info: str, text: str, tmp_path: Path) -> None:
    if info == "toml version.toml":
        check_version(text)
    elif info == "toml centre.toml":
        msgspec.convert(tomllib.loads(text), OperatorSettings)
    elif page == "scene.md":
        file = tmp_path / "scene.toml"
        file.write_text(text)
        assert load_scene(file) != Scene()
    else:
        check_config(text)


def example_drivers(text: str) -> set[str]:
    tables = [check_config(block) for block in code_blocks(text, "toml")]
    found = [(*each.get("camera", ()), *each.get("head", ()), each.get("gpio")) for each in tables]
    return {table.driver for each in found for table in each if table is not None}


@pytest.mark.parametrize(("page", "driver"), DRIVERS)
def test_a_driver_has_examples_in_its_docstring_and_on_its_page(page: str, driver: str) -> None:
    assert example_drivers(inspect.getsource(load_driver(page, driver))) == {driver}
    # The example of all pins is that of the board's own driver.
    in_section = example_drivers(driver_sections(page)[driver])
    assert (in_section or example_drivers(read_page(page)) - {"fake"}) == {driver}


def test_the_smallest_configuration_is_valid(tmp_path: Path) -> None:
    smallest, *additions = code_blocks(read_page("configuration.md"), "toml")
    file = tmp_path / "vigie.toml"
    file.write_text(smallest)
    assert configuration.load(file).camera[0].driver == "rtsp"
    file.write_text("\n".join((smallest, *additions)))
    assert [entry.role for entry in configuration.load(file).control.permission] == ["operator"] * 2


def test_the_camera_of_an_institution_turns_with_its_head() -> None:
    (text,) = code_blocks(read_page("institutions.md"), "toml")
    tables = check_config(text)
    (camera,), (head,) = tables["camera"], tables["head"]
    assert camera.institution is not None
    assert camera.onvif is not None
    assert head.camera == camera.name


def test_the_camera_for_an_emulated_processor_is_smaller_than_the_default() -> None:
    (text,) = code_blocks(read_page("flash.md"), "toml camera")
    (camera,) = check_config(text)["camera"]
    options = msgspec.convert(camera.options, FakeCameraOptions)
    assert options.width_px * options.height_px * options.fps < 1280 * 720 * 15 / 20


@pytest.mark.parametrize(
    "line",
    [
        line
        for block in code_blocks(read_page("desired-configuration.md"), "json desiredConfig")
        for line in block.splitlines()
    ],
)
def test_an_example_of_a_desired_version_is_accepted(line: str, tmp_path: Path) -> None:
    desired = read_plain(line.encode()).desired
    assert list(iter_refused_keys(OF_A_VERSION, desired)) == []
    for scene in desired.scenes.values():
        for text in (scene,) if isinstance(scene, str) else scene.values():
            file = tmp_path / "scene.toml"
            file.write_text(text)
            assert isinstance(load_scene(file), Scene)


def test_the_example_of_a_versions_file_has_its_preset() -> None:
    text, _views = code_blocks(read_page("desired-configuration.md"), "toml version.toml")
    assert check_version(text).presets["mast"]["tram-stop"].pan_deg == -42.5


def test_the_example_of_views_adds_a_camera() -> None:
    _presets, text = code_blocks(read_page("desired-configuration.md"), "toml version.toml")
    around = {"name": "around", "driver": "fake", "detect": {"enabled": False}}
    base = {
        "box": {"id": "pole-17", "site": "x"},
        "broker": {"url": "mqtt://127.0.0.1:1"},
        "camera": [{**around, "projection": "fisheye", "lens": {"field_of_view_deg": 170}}],
    }
    merged = msgspec.convert(merge(base, check_version(text), {}, {}), Config)
    assert list(configuration.iter_conflicts(merged, "vigie.toml")) == []
    assert [(camera.name, camera.view_of) for camera in merged.camera] == [
        ("around", None),
        ("around-north", "around"),
    ]


def test_the_commands_to_follow_are_accepted() -> None:
    found = re.findall(r'\{"do": [^}]+\}', read_page("tours.md"))
    words = [msgspec.json.decode(text, type=ptz_command.Args) for text in found]
    assert [type(word).__struct_config__.tag for word in words] == ["follow", "stop_follow"]


def test_the_order_of_an_incident_is_accepted() -> None:
    found = re.search(r"incident/2026-118 -m '(.*?)'\n```", read_page("incidents.md"), re.DOTALL)
    assert found
    order = parse_unsigned_order(found[1].encode()).order
    assert order.to.include("x", "y", ("zerktouni",))
    assert order.id == "2026-118"
    assert order.heads is not None
    assert order.heads.preset_of("x", "mast") == "junction"


def test_the_snippet_of_a_probe_equals_the_generated_one() -> None:
    port = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"
    answer = HeadAnswer(driver="pelco_d", address=1, reports_position=True)
    line = PortSearch(
        port=port, state="free", heads=(FoundHead(port=port, baud=2400, answer=answer),)
    )
    (shown,) = code_blocks(read_page("probe.md"), "toml")
    assert render_snippet(ProbeResult(heads=ProbeSection(found=(line,)))) == shown


def example_pins() -> list[Any]:
    (tables,) = (
        tables["pin"]
        for tables in map(tomllib.loads, code_blocks(read_page("pins.md"), "toml"))
        if "pin" in tables
    )
    return [msgspec.convert(table, Pin) for table in tables]


def test_the_example_of_pins_has_every_kind_and_no_conflict() -> None:
    assert {type(pin) for pin in example_pins()} == {*get_args(InputPin), *get_args(OutputPin)}
    assert list(iter_conflicts(example_pins(), ["north"], "pins.md")) == []


def test_the_example_of_pins_runs(clock: ManualClock) -> None:
    pins = example_pins()
    chip = fake.fake_chip("pins.md")

    def open_gpio(lines: Sequence[GpioLine]) -> Gpio:
        gpio = fake.open_gpio(fake.Options(chip="pins.md"), lines, clock.boottime_ns)
        gpio.wake()  # so that the turn waits for nothing
        return gpio

    stage = GpioStage(
        pins,
        open_gpio,
        clock.boottime_ns,
        FaultRegistry(clock.boottime_ns),
        new_id=str,
        on_event=lambda _event: None,
        read_celsius=lambda: None,
        read_night_mode=lambda _camera: None,
    )
    stage.run_once(threading.Event())
    (fan,) = (pin for pin in pins if pin.name == "fan")
    assert chip.read_level(fan.pin), "an unknown temperature runs the fan"
    stage.close()
    assert not chip.read_level(fan.pin)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_the_shell_lines_on_the_page_of_updates_make_a_key_and_sign_a_feed(tmp_path: Path) -> None:
    page = read_page("update.md")
    (feed_json,), (shell,) = code_blocks(page, "json feed"), code_blocks(page, "sh")
    (tmp_path / "feed.json").write_text(feed_json)
    done = subprocess.run(
        ["sh", "-euc", shell], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    public_key = done.stdout.strip()
    reported = feed.verify_feed((tmp_path / "feed").read_bytes(), public_key)
    assert [release.version for release in reported.releases] == ["2.0.0"]
    assert reported.releases[0].compatible == "vigie-pi-arm64"
    now = datetime.now(UTC)
    feed.check_current(reported, now - timedelta(minutes=1), now)
    assert timedelta(days=29) < reported.expires - now < timedelta(days=31)
    msgspec.convert({"feed": "https://h/f", "public_key": public_key}, UpdateConfig)
