"""The files of the page at the pole: its three languages agree, and nothing in them is markup, script from elsewhere or style in place."""

import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "agent" / "pole_page" / "page"
MODULES = sorted(PAGE.glob("*.js"))
SOURCES = "\n".join(module.read_text(encoding="utf-8") for module in MODULES)
LANGUAGES = ("en", "fr", "ar")
MAX_LINES = 400
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
FORBIDDEN = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "new Function",
    "http:",
    "https:",
    'setAttribute("style"',
)


def sentences(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((PAGE / "texts" / f"{language}.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_each_language_has_the_sentences_and_values_of_the_english_one(language: str) -> None:
    english, translated = sentences("en"), sentences(language)
    assert list(translated) == list(english)
    for key, sentence in english.items():
        values = sorted(re.findall(r"\{\w+\}", sentence))
        assert sorted(re.findall(r"\{\w+\}", translated[key])) == values, key
        assert translated[key].strip(), key


def test_each_sentence_is_used_and_each_that_is_used_is_there() -> None:
    literal = set(re.findall(r'\btext\("(\w+)"', SOURCES))
    assert literal <= set(sentences("en"))
    begun = tuple(re.findall(r"text\(`(\w+)\$\{", SOURCES))
    unused = {
        key for key in sentences("en") if f'"{key}"' not in SOURCES and not key.startswith(begun)
    }
    assert unused == set()


def test_french_punctuation_is_not_torn_from_its_word() -> None:
    torn = {key: text for key, text in sentences("fr").items() if re.search(r" [:;?!%»]|« ", text)}
    assert torn == {}


@pytest.mark.parametrize("path", [*MODULES, PAGE / "index.html"], ids=lambda path: path.name)
def test_a_module_is_short_and_neither_makes_markup_nor_leaves_the_box(path: Path) -> None:
    source = path.read_text(encoding="utf-8").replace(SVG_NAMESPACE, "")
    assert len(source.splitlines()) < MAX_LINES
    assert [word for word in FORBIDDEN if word in source] == []


def test_the_page_has_no_script_or_style_in_place() -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*src=)|<style|style=|\son\w+=", html) == []
