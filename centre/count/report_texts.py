"""Texts of the report in three languages: its own, the names of classes and lights, and the limits of a view."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

import msgspec

from agent.base.view_condition import VIEW_LIMITS, ViewLimit, ViewState
from agent.console.messages import render
from agent.faults.diagnosis import LIMIT_WORDS, VIEW_WORDS
from agent.faults.texts import Language
from agent.reporting.declaration.page import load_texts as load_declaration_texts
from agent.scene_editor.assemble import load_texts as load_editor_texts

Value = str | int | float
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
"""U+2068 keeps a name or a time from being reordered with the Arabic around it, U+2069 ends it (UAX #9)."""
_STATES: Mapping[ViewLimit, ViewState] = {
    "frozen": "frozen",
    "blocked": "blocked",
    "moved": "moved",
    "glare": "glare",
    "blurred": "blurred",
}
"""Limits that are described by the view's state of the same name."""


@cache
def load_texts(language: Language) -> Mapping[str, str]:
    """Return the texts by key: `label_car` is a class, `light_day` a light, `limit_rain` a limit of a view."""
    texts = msgspec.json.decode(read_source(f"texts/{language}.json"), type=dict[str, str])  # noqa: TID251 - the package's
    for key, text in load_editor_texts(language).items():
        if key.startswith("label_"):
            texts[key] = text
    declaration = load_declaration_texts(language)
    texts["not_validated"] = declaration.not_validated
    texts |= {f"light_{light}": text for light, text in declaration.by_light.items()}
    for limit in VIEW_LIMITS:
        if limit in _STATES:
            texts[f"limit_{limit}"] = render(VIEW_WORDS[_STATES[limit]], language, str)
        elif limit in LIMIT_WORDS:
            texts[f"limit_{limit}"] = render(LIMIT_WORDS[limit], language, str)
    return texts


def fill(text: str, values: Mapping[str, Value], language: Language) -> str:
    """Return a text with its placeholders replaced. The same is in page/report.js, for a change of language."""
    return _PLACEHOLDER.sub(
        lambda found: _format(values[found[1]], language) if found[1] in values else found[0], text
    )


def _format(value: Value, language: Language) -> str:
    if isinstance(value, str):
        return f"{_ISOLATE}{value}{_POP_ISOLATE}"
    # A float that is whole has no decimals, as in JavaScript.
    return f"{value:.15g}" if language == "en" else f"{value:.15g}".replace(".", ",")


def read_source(name: str) -> str:
    """Return a file of the folder page/."""
    return (resources.files("centre.count") / "page" / name).read_text(encoding="utf-8")
