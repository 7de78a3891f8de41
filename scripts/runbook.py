"""Write the runbook in three languages, from the table of fault codes and its texts:
`python scripts/runbook.py`. The prose around it is in scripts/runbook/.
"""

from pathlib import Path
from typing import get_args

from agent.faults.registry import FAULTS, FaultCode
from agent.faults.texts import FaultTexts, Language, texts
from agent.gpio import status_led

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"


def target(language: Language) -> Path:
    """Where a language's page is."""
    return DOCS / ("runbook.md" if language == "en" else f"runbook.{language}.md")


def text(language: Language) -> str:
    """The page."""
    said = texts(language)
    codes = sorted(FAULTS)
    page = (HERE / "runbook" / f"{language}.md").read_text(encoding="utf-8")
    spans_s = {
        "beat_every": status_led.BEAT_EVERY_S,
        "long": status_led.LONG_S,
        "short": status_led.SHORT_S,
        "between": status_led.BETWEEN_S,
        "after": status_led.AFTER_S,
        "after_all": status_led.AFTER_ALL_S,
    }
    mark = "." if language == "en" else ","
    return page.format(
        **{name: f"{span_s:g}".replace(".", mark) for name, span_s in spans_s.items()},
        families=_families(said),
        table=_table(codes, said),
        codes="\n".join(_section(code, said) for code in codes).rstrip("\n"),
    )


def _families(said: FaultTexts) -> str:
    ordered = sorted(status_led.FAMILIES.items(), key=lambda item: item[1])
    return "".join(f"| {long} | {family} | {said.families[family]} |\n" for family, long in ordered)


def _table(codes: list[FaultCode], said: FaultTexts) -> str:
    words = said.words
    return (
        f"| {words.code} | {words.led} | {words.severity} | {words.title} |\n|---|---|---|---|\n"
    ) + "".join(
        f"| [{code}](#{code.lower()}) | {_blinks(code, said)} "
        f"| {words.of_severity(FAULTS[code].severity)} | {said.faults[code].title} |\n"
        for code in codes
    )


def _section(code: FaultCode, said: FaultTexts) -> str:
    words, one = said.words, said.faults[code]
    return (
        f"### {code}\n\n"
        f"**{one.title}** · {words.of_severity(FAULTS[code].severity)} · "
        f"{words.led} {_blinks(code, said)}\n\n"
        f"{one.means}\n\n"
        f"- **{words.at_box}.** {one.at_box}\n"
        f"- **{words.at_centre}.** {one.at_centre}\n"
    )


def _blinks(code: FaultCode, said: FaultTexts) -> str:
    long, short = status_led.counts(code)
    return said.words.blinks.format(long=long, short=short)


if __name__ == "__main__":
    for each in get_args(Language):
        target(each).write_text(text(each), encoding="utf-8")
