"""What a fault code means and what to do about it, in the languages of those who read it.

For the runbook, the console and `vigie faults`. The running agent loads none of it.
"""

import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from agent.faults.registry import FAULTS, FaultCode, Severity

Language = Literal["en", "fr", "ar"]

TEXTS_DIR = Path(__file__).parent


class Headings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The words around the texts: headings, severities, and a code's blinks as a pattern."""

    code: str
    led: str
    severity: str
    title: str
    means: str
    at_box: str
    at_centre: str
    critical: str
    error: str
    warning: str
    blinks: str

    def severity_name(self, severity: Severity) -> str:
        """A severity's name."""
        return str(getattr(self, severity))


class FaultGuidance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One code explained: to a technician on a ladder, and to an operator far away."""

    means: str
    at_box: str
    at_centre: str
    title: str = ""


class FaultTexts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All codes in one language."""

    words: Headings
    families: dict[str, str]
    faults: dict[FaultCode, FaultGuidance]


def load_texts(language: Language) -> FaultTexts:
    """What its file says; the English titles are those of the table in agent/faults/registry.py."""
    toml_text = (TEXTS_DIR / f"{language}.toml").read_text(encoding="utf-8")
    loaded = msgspec.convert(tomllib.loads(toml_text), FaultTexts)
    if language != "en":
        return loaded
    with_titles = {
        code: msgspec.structs.replace(text, title=FAULTS[code].title)
        for code, text in loaded.faults.items()
    }
    return msgspec.structs.replace(loaded, faults=with_titles)
