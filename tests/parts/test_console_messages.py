"""Messages of the console: complete catalogues, and whole sessions in French and Arabic."""

import ast
import functools
import re
import string
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import agent
from agent.base.message import (
    Message,
    TextData,
    decode_message,
    encode_message,
    join_phrases,
)
from agent.console.messages import CATALOGUE_DIR, load_catalogue, render
from agent.console.terminal import COLUMNS, sanitize, width
from agent.faults.texts import Language, load_texts
from tests.conftest import ManualClock
from tests.parts.console_rig import CONFIG_TEXT, ConsoleRig

PACKAGE = Path(agent.__file__).parent
TRANSLATIONS: tuple[Language, ...] = ("fr", "ar")
ARABIC = re.compile(r"[\u0600-\u06ff]")
ISOLATES = "\u2068\u2069"
SENTENCE_ARGUMENTS = {
    "print",
    "print_hanging",
    "overwrite_line",
    "write",
    "read_line",
    "confirm",
    "ConsoleError",
    "TransferFailed",
    "CheckFailed",
    "passed",
    "failed",
    "unknown",
    "passed_if",
}
"""Functions whose arguments a technician reads at the console."""


def iter_calls(folder: Path) -> Iterator[tuple[str, str, ast.Call]]:
    """Yield (place, name of the function, call) of each call in a folder's Python files."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", name, node


@functools.cache
def find_sentences() -> dict[str, str]:
    """Return the place of each message's sentence."""
    found = {}
    for place, name, call in iter_calls(PACKAGE):
        if name == "Message":
            sentence = call.args[0]
            copies = ("base/message.py", "console/messages/details.py")
            if place.startswith(copies) and not isinstance(sentence, ast.Constant):
                continue  # decode_message and find_detail copy a sentence
            assert isinstance(sentence, ast.Constant), f"{place}: not a literal"
            assert isinstance(sentence.value, str), place
            given = {keyword.arg for keyword in call.keywords}
            assert placeholders(sentence.value).keys() == given, place
            found.setdefault(sentence.value, place)
    return found


def placeholders(sentence: str) -> dict[str, tuple[str | None, str | None]]:
    """Return the conversion and the format of each placeholder."""
    fields = string.Formatter().parse(sentence)
    return {name: (conversion, spec) for _, name, spec, conversion in fields if name is not None}


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_each_sentence_is_translated_and_each_translation_has_a_sentence(
    language: Language,
) -> None:
    catalogue, sentences = load_catalogue(language), find_sentences()
    missing = [f"{place}: {text!r}" for text, place in sentences.items() if text not in catalogue]
    assert not missing, "\n".join(missing)
    assert catalogue.keys() - sentences.keys() == set()


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_translation_has_the_placeholders_and_the_edges_of_its_sentence(
    language: Language,
) -> None:
    for sentence, translation in load_catalogue(language).items():
        assert placeholders(translation) == placeholders(sentence), sentence
        for edge in (r"^ *", r" *$"):
            assert re.findall(edge, translation)[0] == re.findall(edge, sentence)[0], sentence


def test_the_english_sentences_are_ascii() -> None:
    assert all(sentence.isascii() for sentence in find_sentences())


def test_a_translation_is_printable_and_in_its_own_alphabet() -> None:
    for language in TRANSLATIONS:
        for sentence, translation in load_catalogue(language).items():
            assert translation.replace("\u00a0", " ").isprintable(), sentence
            assert unicodedata.is_normalized("NFC", translation), sentence
            has_words = re.search(r"[a-z]{2}", re.sub(r"\{[^}]*\}", "", sentence))
            if language == "fr":
                assert not ARABIC.search(translation), sentence
            elif has_words:
                assert ARABIC.search(translation), sentence


def test_french_punctuation_has_its_no_break_space() -> None:
    for sentence, translation in load_catalogue("fr").items():
        text = re.sub(r"\{[^}]*\}|https?://|mqtts?://|://", "x", translation)
        assert not re.search(r"[^\u00a0](?:[;?!»]|:(?=\s|$))|« |\u2019", text), (
            sentence,
            translation,
        )


def test_arabic_has_arabic_commas_and_question_marks() -> None:
    for sentence, translation in load_catalogue("ar").items():
        text = re.sub(r"\{[^}]*\}", "x", translation)
        assert not re.search(r"[\u0600-\u06ff] ?[,;]|[\u0600-\u06ff]\?", text), (
            sentence,
            translation,
        )


def test_no_text_for_the_technician_is_in_english_only() -> None:
    """A literal with a word in it belongs into a Message, unless it is a name."""
    bare = [
        f"{place}: {ast.unparse(argument)}"
        for folder in ("console", "diagnostics")
        for place, name, call in iter_calls(PACKAGE / folder)
        if name in SENTENCE_ARGUMENTS
        for argument in (*call.args, *(keyword.value for keyword in call.keywords))
        for text in literal_parts(argument)
        if re.search(r"[a-z]{3}", text) and not re.match(r"sha256 |broker\.|^$", text)
    ]
    assert bare == []


def literal_parts(node: ast.expr) -> Iterator[str]:
    """Yield the literal text of an argument, but not of calls in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr | ast.IfExp | ast.BinOp | ast.BoolOp | ast.Starred):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from literal_parts(child)


def test_the_catalogues_are_package_data() -> None:
    assert {path.name for path in CATALOGUE_DIR.iterdir() if path.suffix == ".toml"} == {
        f"{language}.toml" for language in TRANSLATIONS
    }


def test_a_message_is_translated_by_another_process_too() -> None:
    progress = Message("{activity} {percent} %", activity=Message("copying"), percent=30)
    data = msgspec.json.decode(msgspec.json.encode(encode_message(progress)), type=TextData)
    assert str(decode_message(data)) == "copying 30 %"
    assert render(decode_message(data), "fr", str) == "copie 30 %"
    assert decode_message(encode_message("rauc: no such bundle")) == "rauc: no such bundle"


def test_a_message_in_a_log_line_or_a_receipt_is_english() -> None:
    message = Message("{size} since {time}", size=Message("{size:.1f} MB", size=2.5), time="now")
    assert str(message) == f"{message}" == "2.5 MB since now"
    assert str(join_phrases("a", None, Message("now"))) == "a, now"
    assert join_phrases(None) == ""


def test_numbers_have_the_decimal_sign_of_the_language_and_addresses_do_not() -> None:
    message = Message("{now} by {source}", now=1.5, source="10.0.0.1")
    assert "1,5" in render(message, "fr", str)
    assert "10.0.0.1" in render(message, "fr", str)
    assert "\u206810.0.0.1\u2069" in render(message, "ar", str)


def test_foreign_text_cannot_move_the_cursor_or_reorder_the_line() -> None:
    evil = "\x1b[2J\u202e\u2066\u2069\u200fx"
    for language in TRANSLATIONS:
        shown = render(
            Message("{keys}: undone by another process.", keys=evil),
            language,
            lambda text: sanitize(text, utf8=True),
        )
        assert "\x1b" not in shown
        assert not set(shown) & set("\u202e\u2066\u200f")
        assert shown.count("\u2069") == shown.count("\u2068") == (language == "ar")


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_whole_session_is_in_the_configured_language(
    clock: ManualClock, tmp_path: Path, language: Language
) -> None:
    config = f'{CONFIG_TEXT}[console]\nlanguage = "{language}"\n'
    rig = ConsoleRig(clock, tmp_path, config_text=config)
    rig.faults = ("CAM-02",)
    screen = rig.type_lines(
        "help",
        "about",
        "login amina",
        rig.login_code(),
        "pages off",
        "help",
        "help config",
        "status",
        "check",
        "faults",
        "nonsense",
        "config set box.site",
        "logout",
    )
    catalogue = load_catalogue(language)
    assert catalogue["You are logged out."] in screen
    assert load_texts(language).faults["CAM-02"].title in screen
    for sentence in ("pass", "FAIL", "Answer: ", "this list", "Agent", "keep what is on trial"):
        assert catalogue[sentence] in screen, sentence
    for line in screen.splitlines():
        assert width(line) < COLUMNS, line
        assert line.translate({ord(c): None for c in ISOLATES + "\u00a0\a\b"}).isprintable(), line
    assert [what for _, what in rig.receipts][:2] == ["login by code", "pages off"]


def test_a_technician_chooses_the_language_of_the_session_also_before_the_login(
    clock: ManualClock, tmp_path: Path
) -> None:
    rig = ConsoleRig(clock, tmp_path)
    screen = rig.type_lines("language de", "language fr", "login amina", rig.login_code())
    assert "language de: allowed: en, fr, ar" in screen
    assert "Réponse" in screen.replace("\u00a0", " ")
    assert "Bienvenue, amina." in screen
    assert "Type login and press enter." in rig.type_lines("status")
    logged_in = rig.run_logged_in("language ar", "language en", "language")
    assert load_catalogue("ar")["This session is in English."] in logged_in
    assert "This session is in English." in logged_in
    assert [what for _, what in rig.receipts][-3:-1] == ["language en", "language"]


def test_an_english_session_is_ascii(clock: ManualClock, tmp_path: Path) -> None:
    config = CONFIG_TEXT.replace("Bd Mohammed V", "Café الدار")
    rig = ConsoleRig(clock, tmp_path, config_text=config)
    screen = rig.run_logged_in("status")
    assert "Cafe ?????" in screen
    assert screen.isascii()
