"""French and Arabic texts: punctuation, units, the direction of Latin words, one term for one thing.

Each test walks all texts of a language: pages, catalogues of messages, the export's pages.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

ROOT = Path(__file__).parents[2]
CATALOGUES = (
    "agent/console/messages/{}.toml",
    "agent/faults/texts/{}.toml",
    "agent/pole_page/page/texts/{}.json",
    "agent/reporting/declaration/{}.toml",
    "agent/scene_editor/texts/{}.json",
)
EXPORT = ROOT / "agent" / "recording" / "export"
FENCED = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
CODE_SPAN = re.compile(r"`[^`\n]+`")
LTR_SPAN = re.compile(r'<span dir="ltr">`[^`\n]+`</span>')
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
FILLED_IN = re.compile(r"\$?\{[^}]*\}|\$\w+")
ARABIC = re.compile("[\u0600-\u06ff]")
HEALTH_REPORT = {
    "fr": ("rapport de santé", r"(?:état|bilan|données) de santé"),
    "ar": ("تقرير الصحة", "بيانات الحالة|تقرير الحالة|الحالة الصحية|بيانات الصحة"),
}


def pages(language: str) -> list[Path]:
    quick_starts = (ROOT / "docs" / "quickstart").glob(f"*.{language}.md")
    own = (f"README.{language}.md", f"docs/runbook.{language}.md", f"scripts/runbook/{language}.md")
    return sorted([*quick_starts, *(ROOT / name for name in own)])


def page_text(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


# scripts/runbook/ar.md is the template of docs/runbook.ar.md.
PAGES_AR = [page for page in pages("ar") if page.parent.name != "runbook"]


def entries(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text with its key; the key of a console's message is the English one."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from entries(each, f"{key}.{name}")


def catalogue(path: Path) -> Mapping[str, Any]:
    text = path.read_text(encoding="utf-8")
    table = msgspec.json.decode(text) if path.suffix == ".json" else tomllib.loads(text)
    assert isinstance(table, Mapping)
    return table


def export_texts(language: str) -> Iterator[str]:
    """The texts of the page that verifies an export, and of its cover letter."""
    verifier = (EXPORT / "verifier.html").read_text(encoding="utf-8")
    (table,) = re.findall(rf"^  {language}: \{{$(.*?)^  \}},$", verifier, re.DOTALL | re.MULTILINE)
    yield from re.findall(r'"[^"\n]*"|`[^`\n]*`', table)
    letter = (EXPORT / "pages" / "lisezmoi.html").read_text(encoding="utf-8")
    (section,) = re.findall(rf'<section id="{language}".*?</section>', letter, re.DOTALL)
    yield from re.sub(r"<code>.*?</code>", "`x`", section).splitlines()


def prose(language: str) -> Iterator[str]:
    """All texts of a language, with an `x` for code, links' targets and what is filled in."""
    for page in pages(language):
        yield from LINK.sub(r"\1", CODE_SPAN.sub("x", page_text(page))).splitlines()
    for name in CATALOGUES:
        for _, text in entries(catalogue(ROOT / name.format(language))):
            yield CODE_SPAN.sub("x", FILLED_IN.sub("x", text))
    for text in export_texts(language):
        yield FILLED_IN.sub("x", text[1:-1] if text[0] in '"`' else text)


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_each_kind_of_text_is_walked(language: str) -> None:
    texts = list(prose(language))
    assert len(texts) > 1500
    for kind in ("README", "Vigie", "MQTT", "Ed25519", "PTZ"):
        assert any(kind in text for text in texts), kind


def test_french_punctuation_has_its_no_break_space() -> None:
    no_break = "\u00a0\u202f"
    torn = re.compile(rf"[^{no_break}\s](?:[;?»]|!(?!\[)|:(?=\s|$))|[ ][;:?!»]|«[^{no_break}]")
    found = []
    for text in prose("fr"):
        plain = re.sub(r"https?://\S*|mqtts?://\S*|<[^>]*>|&\w+;|\*\*|^\|[-|]+$", "", text)
        found += [text for _ in torn.findall(plain)]
    assert found == []


def test_arabic_has_arabic_commas_semicolons_and_question_marks() -> None:
    latin = re.compile(r"[,;](?=\s|$)|[\u0600-\u06ff]\?")
    found = []
    for text in prose("ar"):
        # A point [x, y] is as a scene has it.
        plain = re.sub(r"<[^>]*>|&\w+;|\[x, x\]", "", text)
        found += [text for _ in latin.findall(plain) if ARABIC.search(text)]
    assert found == []


def test_seconds_in_an_arabic_text_have_the_arabic_unit() -> None:
    found = [text for text in prose("ar") if re.search(r"[\dx]\s?s\b", text)]
    assert [text for text in found if ARABIC.search(text)] == []


@pytest.mark.parametrize("page", PAGES_AR, ids=lambda page: page.name)
def test_a_command_in_an_arabic_page_has_its_own_direction(page: Path) -> None:
    """Its words would be in the order of the text around them, and a sign at its end on its other side."""
    unmarked = CODE_SPAN.findall(LTR_SPAN.sub("", page_text(page)))
    assert [span for span in unmarked if re.search(r"^`\W|\W`$|\s", span)] == []


@pytest.mark.parametrize("page", PAGES_AR, ids=lambda page: page.name)
def test_latin_links_next_to_each_other_are_in_the_order_of_the_arabic_text(page: Path) -> None:
    """Between two Latin words a comma or a dot is Latin too: both would be one run from left to right."""
    for line in page_text(page).splitlines():
        for one, other in pairwise(LINK.finditer(line)):
            between = line[one.end() : other.start()]
            words = one[1] + other[1] + re.sub("[\u060c\u061b]", "", between)
            if not ARABIC.search(words):
                assert "&rlm;" in between, line


@pytest.mark.parametrize("language", HEALTH_REPORT)
def test_the_health_report_has_one_term(language: str) -> None:
    term, other_terms = HEALTH_REPORT[language]
    assert [text for text in prose(language) if re.search(other_terms, text)] == []
    for name in CATALOGUES:
        english = ROOT / name.format("en")
        sources = dict(entries(catalogue(english))) if english.exists() else {}
        for key, text in entries(catalogue(ROOT / name.format(language))):
            if "health report" in sources.get(key, key):
                assert term in text.lower(), key


def test_a_page_joins_a_list_with_the_comma_of_its_language() -> None:
    words_of_the_box = {
        "density_map.js",
        "fisheye_version.js",
        "python_format.js",
        "scene_check.js",
        "toml_text.js",
    }
    scripts = [*(ROOT / "agent").glob("*/**/*.js"), EXPORT / "verifier.html"]
    assert len(scripts) > 50
    joining = {path.name for path in scripts if 'join(", ")' in path.read_text(encoding="utf-8")}
    assert joining <= words_of_the_box


def test_a_sign_at_the_edge_of_a_latin_word_stays_with_it_on_an_arabic_page() -> None:
    """The console isolates values alone; a terminal may show the characters that isolate."""
    for name in CATALOGUES:
        if name.endswith(".json"):
            for key, text in entries(catalogue(ROOT / name.format("ar"))):
                plain = re.sub("\u2066[^\u2069]*\u2069", "x", FILLED_IN.sub("x", text))
                assert not re.search(r"(?<![\w.])[*./~-]+[A-Za-z]", plain), key
