"""Write the runbook in three languages, and its drawing of the LED: `python scripts/runbook.py`.

The codes and their texts come from agent/faults/, the prose around them from scripts/runbook/.
"""

import itertools
import re
from pathlib import Path
from typing import get_args

from agent.faults.registry import FAULTS, FaultCode
from agent.faults.texts import FaultTexts, Language, load_texts
from agent.gpio import status_led

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
LED_FILE = DOCS / "led.svg"
CODE_SPAN = re.compile(r"`[^`\n]+`")
LED_SPAN_S, LED_PX_PER_S = 12, 70


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
    rendered = page.format(
        **{name: f"{span_s:g}".replace(".", decimal_mark) for name, span_s in spans_s.items()},
        families=_families_table(texts_in_language),
        table=_codes_table(codes, texts_in_language),
        codes="\n".join(_section(code, texts_in_language) for code in codes).rstrip("\n"),
    )
    # Its words would be in the order of the Arabic text around it.
    return (
        CODE_SPAN.sub(r'<span dir="ltr">\g<0></span>', rendered) if language == "ar" else rendered
    )


def render_led() -> str:
    """Render the LED over time: a box without faults, then two faults each by itself."""
    rows: list[tuple[str, tuple[status_led.Flash, ...]]] = [("OK", status_led.HEARTBEAT)]
    rows += [(code, status_led.blink_pattern(code)) for code in ("CAM-02", "STO-01")]
    shapes = ['<rect width="1000" height="230" rx="8" fill="#f4f4f4"/>']
    for number, (label, pattern) in enumerate(rows):
        top_px, begin_s = 30 + 60 * number, 0.0
        shapes.append(f'<text x="20" y="{top_px + 20}">{label}</text>')
        flashes = itertools.cycle(pattern)
        while begin_s < LED_SPAN_S:
            flash = next(flashes)
            end_s = min(begin_s + flash.duration_s, LED_SPAN_S)
            left_px, width_px = 110 + LED_PX_PER_S * begin_s, LED_PX_PER_S * (end_s - begin_s)
            shapes.append(
                f'<rect x="{left_px:.0f}" y="{top_px}" width="{width_px:.0f}" height="30"'
                f' fill="{"#f5b800" if flash.is_on else "#3a3f44"}"/>'
            )
            begin_s = end_s
    shapes += [
        f'<text x="{110 + LED_PX_PER_S * at_s}" y="216" text-anchor="middle">{at_s} s</text>'
        for at_s in range(0, LED_SPAN_S + 1, 2)
    ]
    attributes = 'xmlns="http://www.w3.org/2000/svg" font-family="monospace" font-size="18"'
    lines = [f'<svg viewBox="0 0 1000 230" {attributes}>', *shapes, "</svg>"]
    return "".join(f"{line}\n" for line in lines)


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
    LED_FILE.write_text(render_led(), encoding="utf-8")
