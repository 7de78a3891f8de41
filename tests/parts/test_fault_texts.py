"""agent.faults.texts in three languages: on the page, on the console and by `vigie faults`."""

import json
import re
from typing import get_args

import msgspec
import pytest

from agent.__main__ import main
from agent.cli import COMMANDS
from agent.faults.registry import FAULTS, FaultCode
from agent.faults.texts import FaultGuidance, FaultTexts, Headings, Language, load_texts
from agent.gpio import status_led
from agent.health import camera_condition
from agent.reporting.mqtt import certificate_expiry

LANGUAGES: tuple[Language, ...] = get_args(Language)
CODES = sorted(FAULTS)
ALL = {language: load_texts(language) for language in LANGUAGES}
WIDTH = 80
ARABIC = re.compile(r"[\u0600-\u06ff]")


def sentences(text: FaultGuidance) -> tuple[str, ...]:
    return text.means, text.at_box, text.at_centre


def marked(text: FaultGuidance) -> tuple[set[str], set[str]]:
    """Return the parts that must be the same in every language: commands, and fault codes."""
    whole = " ".join(sentences(text))
    return set(re.findall(r"`([^`]+)`", whole)), set(re.findall(r"[A-Z]{3}-\d\d", whole))


@pytest.mark.parametrize("message", ALL.values(), ids=ALL)
def test_every_code_is_explained_and_every_explanation_has_a_code(message: FaultTexts) -> None:
    assert set(message.faults) == set(FAULTS)
    assert set(message.families) == set(status_led.FAMILY_BLINKS)
    for code, text in message.faults.items():
        assert text.title, code
        assert not text.title.endswith("."), code
        for sentence in sentences(text):
            assert sentence.endswith((".", "?", "؟")), f"{code}: {sentence}"
            assert sentence == sentence.strip(), code


@pytest.mark.parametrize("code", CODES)
def test_every_language_is_translated(code: FaultCode) -> None:
    english, french, arabic = (ALL[language].faults[code] for language in ("en", "fr", "ar"))
    for one, two, three in zip(
        sentences(english), sentences(french), sentences(arabic), strict=True
    ):
        assert len({one, two, three}) == 3
        assert ARABIC.search(three)
        assert not ARABIC.search(one + two)
    assert len({english.title, french.title, arabic.title}) == 3


@pytest.mark.parametrize("code", CODES)
def test_commands_and_codes_are_equal_in_every_language(code: FaultCode) -> None:
    first, *others = (marked(message.faults[code]) for message in ALL.values())
    assert all(other == first for other in others)
    typed, named = first
    assert named <= set(FAULTS) - {code}
    assert all(words.split()[1] in COMMANDS for words in typed if words.startswith("vigie "))


def test_the_numbers_in_the_texts_equal_the_codes_constants() -> None:
    for message in ALL.values():
        assert f"{camera_condition.LOST_AFTER_S:g} " in message.faults["CAM-02"].means.replace(
            "\u00a0", " "
        )
        assert f"{certificate_expiry.WARN_BEFORE.days} " in message.faults["NET-05"].means


def test_the_headings_are_translated_and_the_blinks_match_the_led() -> None:
    for message in ALL.values():
        assert all(
            getattr(message.headings, field.name) for field in msgspec.structs.fields(Headings)
        )
        assert "3" in message.headings.blinks.format(long=3, short=1)
    for code in CODES:
        long, short = status_led.blink_counts(code)
        assert ALL["en"].headings.blinks.format(long=long, short=short) == status_led.blink_text(
            code
        )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", CODES)
def test_a_code_is_explained_on_a_terminal_of_80_columns(
    code: FaultCode, language: Language, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["faults", code.lower(), "--lang", language]) == 0
    message = capsys.readouterr().out
    assert all(len(line) < WIDTH for line in message.splitlines())
    words, text = ALL[language].headings, ALL[language].faults[code]
    flat = " ".join(message.split())
    for part in (code, text.title, words.severity_name(FAULTS[code].severity), *sentences(text)):
        assert " ".join(part.split()) in flat


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_code_all_are_listed_with_their_blinks(
    language: Language, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["faults", "--lang", language]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == CODES
    for code, line in zip(CODES, lines, strict=True):
        assert len(line) < WIDTH
        assert line.endswith(ALL[language].faults[code].title)
        assert set(map(str, status_led.blink_counts(code))) <= set(
            re.findall(r"\d+", line.split("  ", 1)[1])
        )


def test_the_machine_readable_output_is_json(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["faults", "NET-04", "--lang", "fr", "--json"]) == 0
    one = json.loads(capfdbinary.readouterr().out)
    assert (one["code"], one["severity"]) == ("NET-04", "error")
    assert (one["blinks_long"], one["blinks_short"]) == (3, 4)
    assert one["at_box"] == ALL["fr"].faults["NET-04"].at_box
    assert main(["faults", "--json"]) == 0
    every = json.loads(capfdbinary.readouterr().out)
    assert [each["code"] for each in every] == CODES


@pytest.mark.parametrize("given", ["CAM-99", "CAM", "", "CAM-01\n"])
def test_a_code_that_does_not_exist_is_named_in_one_line(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["faults", given]) == 2
    reported = capsys.readouterr().err
    assert reported.count("\n") == 1
    assert repr(given) in reported
    assert "CAM-01, " in reported
