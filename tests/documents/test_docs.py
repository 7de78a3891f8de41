"""docs: pages that are generated from code, commands on pages, and numbers and names that a page has from the code."""

import argparse
import re
import runpy
import shlex
import tomllib
from functools import cache
from itertools import count, takewhile
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from agent import cli
from agent.base import checked_convert
from agent.base.model import Outcome
from agent.capture import onvif_events
from agent.cli import probe
from agent.config import configuration
from agent.config.recording import MAX_AGE_DAYS
from agent.console.checks import CHECKS
from agent.failsafe import guard_process
from agent.failsafe.guard_duties import STOP_REPEATS
from agent.faults.registry import FAULTS
from agent.faults.texts import Language
from agent.gpio.gpio_stage import MIN_PAUSE_S
from agent.incident.state_machine import Phase
from agent.provisioning import first_boot, settings
from agent.ptz import head_stage, preset_store
from agent.ptz.automation import guard_tours
from centre.flash import decompress, safety_checks
from drivers import head_search, rtsp_search
from drivers.csi.camera_modules import ENUMERATE_TIMEOUT_S
from drivers.onvif.camera_info import MIN_DETECT_WIDTH_PX
from drivers.serial_ports import PortState
from drivers.serial_worker import MAX_QUEUED_JOBS
from tests.doc_pages import CODE_BLOCK, PAGES, ROOT, SHOWN_COMMAND, read_page

ONCE_A = {1.0: "once a second"}
MINUTE = {60.0: "a minute"}
SIXTEEN = {16: {"en": "sixteen", "fr": "seize", "ar": "ستة عشر"}}[len(CHECKS)]
IMAGE_SUFFIX = (decompress.IMAGE_SUFFIXES[0], decompress.COMPRESSED_SUFFIXES[0])
EXAMPLE = ROOT / "docs" / "vigie.example.toml"


def keys(kind: object, prefix: str = "") -> set[str]:
    """The path of every key that a struct takes, `[]` for a list of tables."""
    found: set[str] = set()
    for field in msgspec.inspect.type_info(kind).fields:  # type: ignore[union-attr,arg-type]
        path, inner = f"{prefix}{field.encode_name}", field.type
        while isinstance(inner, msgspec.inspect.Metadata | msgspec.inspect.VarTupleType):
            is_list = isinstance(inner, msgspec.inspect.VarTupleType)
            inner = inner.item_type if is_list else inner.type
            path += "[]" if is_list else ""
        if isinstance(inner, msgspec.inspect.UnionType):
            tables = [kind for kind in inner.types if isinstance(kind, msgspec.inspect.StructType)]
        else:
            tables = [inner] if isinstance(inner, msgspec.inspect.StructType) else []
        # A point is a list in TOML.
        tables = [table for table in tables if not table.array_like]
        for table in tables:
            found |= keys(table.cls, f"{path}.")
            found |= {f"{path}.{table.tag_field}"} if table.tag_field else set()
        if tables:
            continue
        # A line is a list of points.
        while path.endswith("[]"):
            path = path.removesuffix("[]")
        found.add(path)
    return found


def keys_of_text(text: str) -> set[str]:
    """The path of every key of a TOML text, commented-out ones included."""
    table, found = "", set()
    for line in text.splitlines():
        if header := re.match(r"(?:# )?(\[\[|\[)([a-z_.]+)\]", line):
            table = header[2] + ("[]" if header[1] == "[[" else "")
            table = re.sub(r"^(camera|head)\.", r"\1[].", table)
            table = re.sub(r"\.(tour|flow)\.", r".\1[].", table)
        elif key := re.match(r"(?:# )?([a-z_0-9]+) = ", line):
            found.add(f"{table}.{key[1]}")
    opaque = {"camera[].options", "camera[].detect_options", "head[].options", "gpio.options"}
    return {next((o for o in opaque if key.startswith(o)), key) for key in found}


def test_the_example_shows_every_key_and_no_other() -> None:
    assert keys_of_text(EXAMPLE.read_text()) == keys(configuration.Config)


def test_the_example_is_valid_and_its_defaults_equal_the_codes() -> None:
    text = EXAMPLE.read_text()
    loaded = configuration.load(EXAMPLE)
    assert [camera.name for camera in loaded.camera] == ["north", "yard", "around", "around-north"]
    plain = tomllib.loads(text)
    for name in ("outbox", "record", "hold", "health"):
        shown = checked_convert.convert(plain[name], type(getattr(loaded, name)), name)
        assert shown == type(getattr(loaded, name))()


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub derives them, and those that it defines itself."""
    text = page.read_text(encoding="utf-8")
    found = set(re.findall(r'id="([^"]+)"', text))
    for heading in re.findall(r"^#+ (.+)$", CODE_BLOCK.sub("", text), re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        numbered = (f"{anchor}-{number}" for number in count(1))
        found.add(anchor if anchor not in found else next(n for n in numbered if n not in found))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_and_their_anchors_resolve(page: Path) -> None:
    for target, anchor in re.findall(
        r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8")
    ):
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} points to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} points to {target}#{anchor}"


TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
COMMANDS = [
    # Words in a second column are a comment.
    pytest.param(re.split(r"\s{3,}(?=[^\s-])", found[1])[0], id=f"{page.name}: {found[1]}")
    for page in PAGES
    for _, block in CODE_BLOCK.findall(page.read_text(encoding="utf-8"))
    for line in block.replace("\\\n", " ").splitlines()
    if page.parent.name != "decisions" and (found := SHOWN_COMMAND.match(line))
]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_a_page_is_accepted(command: str) -> None:
    program, *words = shlex.split(command.replace(" KEY", f" {'A' * 43}="), comments=True)
    words = list(takewhile(lambda word: word not in ("|", ">", "&&", "&"), words))
    words = [word.split("|")[0] for word in words]  # one of several
    if program == "make":
        assert {word for word in words if "=" not in word} <= set(TARGETS)
    elif program == "cp":
        assert (ROOT / words[0]).is_file()
    else:
        parser = argparse.ArgumentParser()
        cli.add_parsers(parser.add_subparsers(required=True), words[0])
        assert callable(parser.parse_args(words).run)


WORDS = [
    ("heads.md", f"At most {MAX_QUEUED_JOBS} orders wait"),
    ("heads-control.md", f"stops it {['', 'once', 'twice', 'three times'][STOP_REPEATS]}"),
    ("heads-control.md", f"it tries for {guard_process.TIMEOUT_S:g} s"),
    ("heads-control.md", f"{head_stage.NOISY_BYTES_PER_WINDOW} bytes of noise"),
    ("heads-control.md", f"in {head_stage.NOISE_WINDOW_S:g} s"),
    ("heads-control.md", f"It is sent again, {ONCE_A[head_stage.STOP_RETRY_S]}"),
    *(("heads-control.md", f"| {code} |") for code in FAULTS if code.startswith("PTZ")),
    ("tours.md", f"up to {preset_store.MAX_PRESETS} for each head"),
    ("tours.md", f"the tour waits {guard_tours.UNREACHABLE_PAUSE_S:g} s"),
    ("institutions.md", f"1 to {MAX_AGE_DAYS * 24}; left out"),
    ("institutions.md", f"least {MIN_DETECT_WIDTH_PX} pixels wide"),
    ("institutions.md", f"unreachable for {MINUTE[onvif_events.SILENT_AFTER_S]}"),
    ("institutions.md", f"Beyond {onvif_events.MAX_EVENTS_PER_MINUTE} that begin in a minute"),
    ("institutions.md", f"or {onvif_events.MAX_OPEN_EVENTS} that are open at once"),
    *(("pins.md", code) for code in FAULTS if code.startswith("GPI")),
    ("pins.md", f"off for {MIN_PAUSE_S:g} s"),
    ("probe.md", f"`{','.join(map(str, head_search.DEFAULT_BAUD_RATES))}`"),
    ("probe.md", f"`{','.join(map(str, rtsp_search.PORTS))}`, at most {probe.MAX_RTSP_PORTS}"),
    ("probe.md", f"`{head_search.DEFAULT_ADDRESSES[0]}-{head_search.DEFAULT_ADDRESSES[-1]}`"),
    ("probe.md", f"at most a /{rtsp_search.MIN_PREFIX_LENGTH}"),
    ("probe.md", f"{rtsp_search.MAX_CONNECTIONS} at once"),
    ("probe.md", f"within {rtsp_search.CONNECT_TIMEOUT_S} s"),
    ("probe.md", f"ended after {ENUMERATE_TIMEOUT_S:g} s"),
    *(("probe.md", f"\n| {state} |") for state in get_args(PortState)),
    *(("incidents.md", f"\n| {word} |") for word in (*get_args(Phase), *get_args(Outcome))),
    ("flash.md", f"less than {safety_checks.MIN_FOOTAGE_BYTES // 10**9} GB left for footage"),
    ("flash.md", f"left for footage | `{safety_checks.SMALL_FLAG}`"),
    ("flash.md", f"nor an SD card | `{safety_checks.NOT_REMOVABLE_FLAG}`"),
    ("flash.md", f"the card has no `{settings.FILE_NAME}`"),
    ("flash.md", f"vigie-pi-arm64-0.1.0.disk{''.join(IMAGE_SUFFIX)}"),
    ("quickstart/technician.md", SIXTEEN["en"]),
    ("quickstart/technician.fr.md", SIXTEEN["fr"]),
    ("quickstart/technician.ar.md", SIXTEEN["ar"]),
]
"""Numbers and names that a page has from the code."""


@pytest.mark.parametrize(("page", "words"), WORDS)
def test_a_page_has_the_numbers_and_names_of_the_code(page: str, words: str) -> None:
    text = read_page(page)
    assert words in text or words in " ".join(text.split())


@pytest.mark.parametrize("message", ["NO SETTINGS", "THE SETTINGS ARE WRONG", "is set up"])
def test_the_page_of_flashing_quotes_the_boxs_messages(message: str) -> None:
    assert message in read_page("flash.md")
    assert message in Path(first_boot.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("language", get_args(Language))
def test_the_runbook_equals_the_fault_table(language: Language) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "runbook.py"))
    page = script["page_path"](language)
    assert page.parent == ROOT / "docs"
    assert page.read_text(encoding="utf-8") == script["render_page"](language)
    assert script["LED_FILE"].read_text(encoding="utf-8") == script["render_led"]()


ARABIC_TEXTS = [
    *sorted(ROOT.glob("*.ar.md")),
    *sorted((ROOT / "docs").glob("**/*.ar.md")),
    *sorted((ROOT / "agent").glob("**/ar.toml")),
    *sorted((ROOT / "agent" / "recording" / "export").glob("**/*.html")),
]


@pytest.mark.parametrize("file", ARABIC_TEXTS, ids=lambda file: file.name)
def test_arabic_texts_agree_in_writing_no_tanwin_fatha(file: Path) -> None:
    assert "\N{ARABIC FATHATAN}" not in file.read_text(encoding="utf-8")
