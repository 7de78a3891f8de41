"""Write the runbook in three languages: `python scripts/runbook.py`.

The codes and their texts come from agent/faults/, the prose around them from scripts/runbook/.
"""

from pathlib import Path
from typing import get_args

from agent.faults.registry import FAULTS, FaultCode
from agent.faults.texts import FaultTexts, Language, load_texts
from agent.gpio import status_led

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"


def page_path(language: Language) -> Path:
    """Return the path of a language's page."""
    return DOCS / ("runbook.md" if language == "en" else f"runbook.{language}.md")


def render_page(language: Language) -> str:
    """Render a language's page."""
    texts_in_language = load_texts(language)
    codes = sorted(FAULTS)
    page = (HERE / "runbook" / f"{language}.md").read_text(encoding="utf-8")
    spans_s = {
        "beat_every": status_led.HEARTBEAT_PERIOD_S,
        "long": status_led.LONG_S,
        "short": status_led.SHORT_S,
        "between": status_led.GROUP_GAP_S,
        "after": status_led.CODE_GAP_S,
        "after_all": status_led.CYCLE_GAP_S,
    }
    decimal_mark = "." if language == "en" else ","
    return page.format(
        **{name: f"{span_s:g}".replace(".", decimal_mark) for name, span_s in spans_s.items()},
        families=_families_table(texts_in_language),
        table=_codes_table(codes, texts_in_language),
        codes="\n".join(_section(code, texts_in_language) for code in codes).rstrip("\n"),
    )


def _families_table(texts_in_language: FaultTexts) -> str:
    ordered = sorted(status_led.FAMILY_BLINKS.items(), key=lambda item: item[1])
    return "".join(
        f"| {long_count} | {family} | {texts_in_language.families[family]} |\n"
        for family, long_count in ordered
    )


def _codes_table(codes: list[FaultCode], texts_in_language: FaultTexts) -> str:
    headings = texts_in_language.headings
    return (
        f"| {headings.code} | {headings.led} | {headings.severity} | {headings.title} |\n|---|---|---|---|\n"
    ) + "".join(
        f"| [{code}](#{code.lower()}) | {_blink_text(code, texts_in_language)} "
        f"| {headings.severity_name(FAULTS[code].severity)} | {texts_in_language.faults[code].title} |\n"
        for code in codes
    )


def _section(code: FaultCode, texts_in_language: FaultTexts) -> str:
    headings, fault_text = texts_in_language.headings, texts_in_language.faults[code]
    return (
        f"### {code}\n\n"
        f"**{fault_text.title}** · {headings.severity_name(FAULTS[code].severity)} · "
        f"{headings.led} {_blink_text(code, texts_in_language)}\n\n"
        f"{fault_text.means}\n\n"
        f"- **{headings.at_box}.** {fault_text.at_box}\n"
        f"- **{headings.at_centre}.** {fault_text.at_centre}\n"
    )


def _blink_text(code: FaultCode, texts_in_language: FaultTexts) -> str:
    long_count, short_count = status_led.blink_counts(code)
    return texts_in_language.headings.blinks.format(long=long_count, short=short_count)


if __name__ == "__main__":
    for each in get_args(Language):
        page_path(each).write_text(render_page(each), encoding="utf-8")
