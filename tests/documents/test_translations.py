"""The quick starts: their commands exist, their translations agree, docs/ is in the index."""

import re
from pathlib import Path

import pytest

from agent.config.recording import MAX_AGE_DAYS, HoldConfig, RecordConfig
from tests.doc_pages import SHOWN_COMMAND

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "quickstart").glob("*.md"))
TRANSLATED = ("installer", "newcomer", "operator", "technician")
LANGUAGES = ("fr", "ar")
TRANSLATIONS = [
    pytest.param(
        DOCS / "quickstart" / f"{name}.md",
        DOCS / "quickstart" / f"{name}.{language}.md",
        id=f"{name}.{language}",
    )
    for name in TRANSLATED
    for language in LANGUAGES
]
READMES = [DOCS.parent / f"README.{language}.md" for language in LANGUAGES]
CODE_BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
LTR_BLOCK = re.compile(
    r'^ *<div dir="ltr">\n\n *```.*?^ *```\n\n *</div>$', re.DOTALL | re.MULTILINE
)
CODE_SPAN = re.compile(r"`[^`\n]+`")
HAZARDS = {
    "en": ("mains", "electrician", "at height", "harness"),
    "fr": ("secteur", "électricien", "en hauteur", "harnais"),
    "ar": ("كهرباء الشبكة", "كهربائي", "مكان مرتفع", "حزام"),
}


def code_blocks(text: str) -> list[str]:
    """Return the code blocks of a page, with their fences and indentation."""
    return CODE_BLOCK.findall(text)


def code_spans(text: str) -> list[str]:
    """Return the code spans of a page, sorted: the languages order words differently."""
    return sorted(CODE_SPAN.findall(CODE_BLOCK.sub("", text)))


def link_targets(text: str) -> list[str]:
    """Return the targets of links and pictures, sorted, each translated page as the English one."""
    targets = re.findall(r"\]\(([^)]+)\)", text)
    return sorted(re.sub(r"\.(fr|ar)\.md$", ".md", target) for target in targets)


def pictures(text: str) -> list[str]:
    """Return the paths of the pictures of a page, in their order."""
    return re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)


def table_rows(text: str) -> int:
    """Return the number of table rows of a page."""
    return len(re.findall(r"^ *\|", text, re.MULTILINE))


def test_there_is_a_quick_start_for_each_of_five_roles() -> None:
    translations = [f"{name}.{language}" for name in TRANSLATED for language in LANGUAGES]
    assert sorted(page.stem for page in PAGES) == sorted(["developer", *TRANSLATED, *translations])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_quick_start_has_commands_that_are_checked(page: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
    assert [line for line in lines if not SHOWN_COMMAND.match(line)] == []


@pytest.mark.parametrize(("english", "translation"), TRANSLATIONS)
def test_a_translation_has_the_commands_and_links_of_the_english_page(
    english: Path, translation: Path
) -> None:
    original = english.read_text(encoding="utf-8")
    translated = translation.read_text(encoding="utf-8")
    assert code_blocks(translated) == code_blocks(original)
    assert code_spans(translated) == code_spans(original)
    assert pictures(translated) == pictures(original)
    # The language line of a page links the two other pages, so the sums are equal.
    assert link_targets(translated) == link_targets(original)
    assert table_rows(translated) == table_rows(original)


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "developer"])
def test_a_quick_start_links_its_other_languages(page: Path) -> None:
    name = page.name.split(".")[0]
    siblings = {f"{name}.md", *(f"{name}.{language}.md" for language in LANGUAGES)}
    targets = set(re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")))
    assert siblings - targets == {page.name}


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.name)
def test_a_short_readme_has_the_first_commands_and_the_answers_of_the_whole_one(
    readme: Path,
) -> None:
    whole = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    short = readme.read_text(encoding="utf-8")
    assert code_blocks(short) == code_blocks(whole)[:1]
    assert set(pictures(short)) <= set(pictures(whole))
    privacy = re.search(r"^## Privacy\n(.*?)^## ", whole, re.DOTALL | re.MULTILINE)
    assert privacy is not None
    assert table_rows(short) == table_rows(privacy[1])
    assert set(link_targets(privacy[1])) <= set(link_targets(short))


@pytest.mark.parametrize(
    "readme", [DOCS.parent / "README.md", *READMES], ids=lambda readme: readme.name
)
def test_the_answer_on_retention_has_the_limits_of_the_code(readme: Path) -> None:
    rows = readme.read_text(encoding="utf-8").splitlines()
    (row,) = (row for row in rows if re.match(r"\| (How long|Combien de temps|كم تُحفظ) ", row))
    limits = [RecordConfig().max_age_h, MAX_AGE_DAYS, HoldConfig().event_days, MAX_AGE_DAYS]
    assert [float(number) for number in re.findall(r"\d+", row)] == limits


@pytest.mark.parametrize("name", ["installer", "technician"])
@pytest.mark.parametrize("language", HAZARDS)
def test_installers_and_technicians_are_warned_of_mains_voltage_and_height(
    name: str, language: str
) -> None:
    file_name = f"{name}.md" if language == "en" else f"{name}.{language}.md"
    text = (DOCS / "quickstart" / file_name).read_text(encoding="utf-8").replace("\n", " ")
    assert [word for word in HAZARDS[language] if word not in text] == []


@pytest.mark.parametrize(
    "page",
    [page for page in [*PAGES, *READMES] if page.stem.endswith(".ar")],
    ids=lambda page: page.name,
)
def test_an_arabic_page_runs_from_right_to_left_and_its_code_from_left_to_right(
    page: Path,
) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith('<div dir="rtl" lang="ar">\n\n# ')
    assert text.endswith("\n\n</div>\n")
    assert CODE_BLOCK.search(LTR_BLOCK.sub("", text)) is None


def test_the_index_has_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = {
        path.relative_to(DOCS).as_posix()
        for path in DOCS.rglob("*.md")
        if path.parent.name != "decisions" and path.name != "README.md"
    }
    assert pages <= set(re.findall(r"\]\(([^)#]+\.md)\)", index))
