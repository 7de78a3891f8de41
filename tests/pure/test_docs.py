"""docs: pages that are generated from code, and examples that are run."""

import re
import runpy
import tomllib
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from agent.config import configuration, toml_decode
from agent.faults.texts import Language

ROOT = Path(__file__).parents[2]
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
        for table in tables:
            found |= keys(table.cls, f"{path}.")
            found |= {f"{path}.{table.tag_field}"} if table.tag_field else set()
        if tables:
            continue
        if path.endswith("[]"):
            found.add(path.removesuffix("[]"))
        else:
            found.add(path)
    return found


def keys_of_text(text: str) -> set[str]:
    """The path of every key of a TOML text, commented-out ones included."""
    table, found = "", set()
    for line in text.splitlines():
        if header := re.match(r"(?:# )?(\[\[|\[)([a-z_.]+)\]", line):
            table = header[2] + ("[]" if header[1] == "[[" else "")
            table = re.sub(r"^(camera|head)\.", r"\1[].", table)
            table = re.sub(r"\.tour\.", ".tour[].", table)
        elif key := re.match(r"(?:# )?([a-z_0-9]+) = ", line):
            found.add(f"{table}.{key[1]}")
    opaque = {"camera[].options", "camera[].detect_options", "head[].options", "gpio.options"}
    return {next((o for o in opaque if key.startswith(o)), key) for key in found}


def test_the_example_shows_every_key_and_no_other() -> None:
    assert keys_of_text(EXAMPLE.read_text()) == keys(configuration.Config)


def test_the_example_is_valid_and_its_defaults_equal_the_codes() -> None:
    text = EXAMPLE.read_text()
    loaded = configuration.load(EXAMPLE)
    assert [camera.name for camera in loaded.camera] == ["north", "yard"]
    plain = tomllib.loads(text)
    for name in ("outbox", "record", "hold", "health"):
        shown = toml_decode.convert(plain[name], type(getattr(loaded, name)), name)
        assert shown == type(getattr(loaded, name))()


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs").glob("**/*.md")) + sorted(ROOT.glob("*.md"))
)
def test_links_between_pages_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_the_smallest_configuration_is_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    smallest, *additions = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "vigie.toml"
    file.write_text(smallest)
    assert configuration.load(file).camera[0].driver == "rtsp"
    file.write_text("\n".join((smallest, *additions)))
    assert [entry.role for entry in configuration.load(file).control.permission] == ["operator"] * 2


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
