"""Explanations of the fault codes in English, French and Arabic.

For the runbook, the console and `vigie faults`; the running agent does not load them.
"""

import tomllib
from pathlib import Path
from typing import Literal, get_args

import msgspec

from agent.faults.registry import FAULTS, FaultCode, Severity

Language = Literal["en", "fr", "ar"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

TEXTS_DIR = Path(__file__).parent


class Headings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Headings, names of severities, and the pattern of a code's blinks."""

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
        """Return the name of a severity."""
        return str(getattr(self, severity))


class FaultGuidance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Explanation of one code, for a technician at the box and for an operator at the centre."""

    means: str
    at_box: str
    at_centre: str
    title: str = ""


class FaultTexts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts of all codes in one language."""

    headings: Headings
    families: dict[str, str]
    faults: dict[FaultCode, FaultGuidance]


def load_texts(language: Language) -> FaultTexts:
    """Load the texts of a language; the English titles come from agent/faults/registry.py."""
    toml_text = (TEXTS_DIR / f"{language}.toml").read_text(encoding="utf-8")
    loaded = msgspec.convert(tomllib.loads(toml_text), FaultTexts)  # noqa: TID251 - the wheel's
    if language != "en":
        return loaded
    with_titles = {
        code: msgspec.structs.replace(text, title=FAULTS[code].title)
        for code, text in loaded.faults.items()
    }
    return msgspec.structs.replace(loaded, faults=with_titles)
