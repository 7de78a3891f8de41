"""The report of `vigie count` as a page: what is in it, in three languages, and what a hostile name cannot do."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.base.count_proof import LIGHTS, ProofGap, UnvalidatedCounts
from agent.base.view_condition import VIEW_LIMITS
from agent.faults.texts import LANGUAGES, Language
from agent.reporting.declaration.page import load_texts as load_declaration_texts
from centre.count import plots
from centre.count.report import HeatMap, render_report
from centre.count.report_texts import fill, load_texts, read_source
from centre.count.results import CountResult
from centre.count.sample import SAMPLE_SIZE, STRETCH_S, draw_sample
from tests.count_result import VALIDATED, build_result, grey_jpeg

FOLDER = Path(plots.__file__).parent
HEAT_MAP = HeatMap(jpeg=grey_jpeg(120), tracks=400, most=77)
NEEDS_PLOTS = pytest.mark.skipif(not plots.is_installed(), reason="needs the extra `count`")
JPEGS = (grey_jpeg(90), grey_jpeg(140), None)
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
HOSTILE = st.sampled_from(
    (
        "</script><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onclick='alert(1)",
        "{count} $body ${texts}",
        "a & b < c",
        "\u202egpj.exe",
        "<!--",
    )
)


class _Elements(HTMLParser):
    """The elements of a page by name, and the text of it that a person reads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._raw = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._raw += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._raw -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bars a page is rendered in a hundredth of the time."""
    monkeypatch.setattr(plots, "is_installed", lambda: False)


def render(result: CountResult, language: Language = "en") -> str:
    sample = draw_sample(result)
    return render_report(result, sample, dict.fromkeys(sample.crossings, JPEGS), HEAT_MAP, language)


# ---- the sample


def test_the_same_result_draws_the_same_crossings_and_another_one_others() -> None:
    first, again, other = (draw_sample(build_result(number)) for number in (400, 400, 401))
    assert first == again
    assert first.crossings != other.crossings
    assert len(set(first.crossings)) == SAMPLE_SIZE
    assert first.crossings == tuple(sorted(first.crossings))


def test_of_fewer_crossings_all_are_drawn() -> None:
    assert draw_sample(build_result(3)).crossings == (0, 1, 2)
    assert draw_sample(build_result(0, films=())) == draw_sample(build_result(0, films=()))
    assert draw_sample(build_result(0, films=())).stretch is None


def test_each_crossing_has_about_the_same_chance() -> None:
    drawn = [
        index for number in range(400, 460) for index in draw_sample(build_result(number)).crossings
    ]
    thirds = [sum(index * 3 // 400 == third for index in drawn) for third in range(3)]
    assert min(thirds) > len(drawn) / 4


def test_a_stretch_is_within_its_film() -> None:
    result = build_result()
    stretch = draw_sample(result).stretch
    assert stretch is not None
    assert stretch.end_s - stretch.begin_s == STRETCH_S
    assert 0 <= stretch.begin_s < stretch.end_s <= result.films[stretch.film].played_s


# ---- the page


@NEEDS_PLOTS
def test_the_same_result_gives_the_same_bytes() -> None:
    assert render(build_result()) == render(build_result())


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_policy_has_the_hashes_of_the_page_and_allows_no_request(language: Language) -> None:
    page = render(build_result(40), language)
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    for name, kind in (("report.js", "script"), ("report.css", "style")):
        source = read_source(name)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
        assert f">{source}</{kind}>" in page
    assert policy.startswith("default-src 'none';")
    assert set(re.findall(r"img-src ([^;]*)", policy)) == {"data:"}
    elements = _Elements(page)
    for _, attributes in elements.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/"))
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
    assert (
        "html",
        {"lang": language, "dir": "rtl" if language == "ar" else "ltr"},
    ) in elements.tags


@NEEDS_PLOTS
def test_the_numbers_of_the_page_are_those_of_the_result() -> None:
    result = build_result(untrusted=())
    text = re.sub(r"\s+", " ", _Elements(render(result)).text)
    for line in result.scene.line:
        for direction in (line.forward_name, line.backward_name):
            count = sum(
                (one.line, one.direction) == (line.name, direction) for one in result.crossings
            )
            assert (
                f"\u2068{direction}\u2069: {count} in all" in text
                or f"{direction}: {count} in all" in text
            )
    assert "The view shows road users well enough" in text
    assert "20 of 400 crossings were drawn" in text
    assert "V85: 5" in text


@pytest.mark.usefixtures("without_plots")
def test_a_view_that_fails_is_said_at_the_head_and_in_its_interval() -> None:
    page = render(build_result())
    text = _Elements(page).text
    assert "12 % have counts that are not to be trusted" in text
    assert text.count("rain or snow hides road users") >= 3
    assert page.count('<tr class="untrusted">') == 2


def plain(page: str) -> str:
    return _Elements(page).text.replace("\u2068", "").replace("\u2069", "")


@pytest.mark.usefixtures("without_plots")
def test_a_validated_light_has_its_error_its_films_and_its_unverifiable_share() -> None:
    text = plain(render(build_result(validation=VALIDATED)))
    validation = text.split("Measured error of the counts")[1].split("Crossings by interval")[0]
    assert "by day95.6 %, between 89.6 % and 98.2 %711.4 %2:00:00400" in validation
    assert "Validated on 2026-12-01 by amina." in validation
    assert "not validated" not in validation
    assert text.count("between 89.6 % and 98.2 %") == 1 + 2 * 8, "and each interval"


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("gap", get_args(ProofGap))
@pytest.mark.parametrize("language", LANGUAGES)
def test_counts_without_a_proof_that_holds_are_not_validated(
    language: Language, gap: ProofGap
) -> None:
    texts = load_texts(language)
    result = build_result(40, validation=UnvalidatedCounts(light="night", reason=gap))
    text = plain(render(result, language))
    assert f"{texts['light_night']}{texts['not_validated']}{texts[f'gap_{gap}']}" in text
    assert texts["error_unknown"] in text
    assert text.count(texts["not_validated"]) >= 1 + 2 * 8


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (build_result(0), "No crossing was counted."),
        (build_result(0, films=()), "There is no film."),
        (build_result(40, ground=False), "The ground of the scene is not calibrated"),
        (build_result(40), "V85 needs 50 motor vehicles"),
        (build_result(40, labels=("person",)), "there are 0."),
    ],
)
def test_a_result_without_something_says_so(result: CountResult, sentence: str) -> None:
    assert sentence in _Elements(render(result)).text


@pytest.mark.usefixtures("without_plots")
def test_a_table_beyond_the_bound_is_in_the_files_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = render(build_result())
    monkeypatch.setattr("centre.count.report.MAX_TABLE_ROWS", 7)
    page = render(build_result())
    assert "The table of 8 intervals is too long" in _Elements(page).text
    assert page.count("<table") == whole.count("<table") - 2


@pytest.mark.usefixtures("without_plots")
def test_a_film_that_cannot_be_read_again_gives_a_sheet_without_pictures() -> None:
    result = build_result(40)
    sample = draw_sample(result)
    page = render_report(result, sample, {}, None, "en")
    assert page.count('class="card"') == SAMPLE_SIZE
    assert "There are no tracks." in page
    assert "data:image/jpeg" not in page


@settings(deadline=None, max_examples=30)
@given(first=HOSTILE | NAMES, second=HOSTILE | NAMES, film=HOSTILE | NAMES)
def test_hostile_names_are_text(first: str, second: str, film: str) -> None:
    assume(first != second)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plots, "is_installed", lambda: False)
        plain = _Elements(render(build_result(30)))
        elements = _Elements(render(build_result(30, lines=(first, second), films=(film, "b"))))
    for tag in ("script", "img", "button", "a", "style"):
        assert elements.count(tag) == plain.count(tag), tag
    assert first in elements.text
    assert film in elements.text


def test_without_matplotlib_the_page_has_all_but_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "is_installed", lambda: False)
    page = render(build_result())
    assert "matplotlib is not installed" in page
    assert "image/svg" not in page
    assert page.count("<table") == _Elements(page).count("table") > 10


@NEEDS_PLOTS
def test_a_plot_has_no_word_and_no_name() -> None:
    ticks = plots.IntervalTicks(times=("08:00",), days=("2026-05-12",), is_continued=(True,))
    svg = plots.draw_intervals({"car": [3], "bus": [1]}, ticks, [True], 4)
    words = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert words
    assert all(re.fullmatch(r"[\d:.\-]+", word) for word in words)
    assert svg == plots.draw_intervals({"car": [3], "bus": [1]}, ticks, [True], 4)


@NEEDS_PLOTS
def test_many_intervals_are_one_path_for_each_class() -> None:
    count = 10_000
    ticks = plots.IntervalTicks(
        times=("08:00",) * count, days=("2026-05-12",) * count, is_continued=(True,) * count
    )
    svg = plots.draw_intervals({"car": [1] * count, "bus": [0] * count}, ticks, [False] * count, 1)
    assert svg.count("<path") < 60


# ---- the texts


def test_each_language_has_the_same_texts_with_the_same_placeholders() -> None:
    english = load_texts("en")
    for language in LANGUAGES:
        texts = load_texts(language)
        assert texts.keys() == english.keys()
        for key, text in texts.items():
            found, wanted = (sorted(re.findall(r"\{\w+\}", one)) for one in (text, english[key]))
            assert found == wanted, (language, key)


def test_each_limit_and_each_class_has_a_text() -> None:
    for language in LANGUAGES:
        texts = load_texts(language)
        assert all(texts[f"limit_{limit}"] for limit in VIEW_LIMITS)
        assert all(texts[f"light_{light}"] for light in LIGHTS)
        assert all(
            texts[f"label_{label}"] for label in load_declaration_texts(language).labels_by_name
        )


def test_each_text_of_the_files_is_used() -> None:
    modules = (one for one in FOLDER.glob("*.py"))
    source = read_source("report.js") + "".join(one.read_text(encoding="utf-8") for one in modules)
    own = msgspec.json.decode(read_source("texts/en.json"), type=dict[str, str])
    computed = {"before_alt", "moment_alt", "after_alt"}
    unused = [
        key
        for key in own
        if not re.search(rf"""["']{key}["']""", source)
        and key not in computed
        and not key.startswith(("limit_", "gap_"))
    ]
    assert unused == []


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_signs_and_digits_are_those_of_the_language(language: Language) -> None:
    own = msgspec.json.decode(read_source(f"texts/{language}.json"), type=dict[str, str])
    for text in own.values():
        if language == "fr":
            assert not re.search(r"(?<=\S) [:;?!%]", text), text
            assert "'" not in text
        else:
            assert not re.search(r"[,;?]", text.replace("{", "")), text
            assert not re.search("[\u0660-\u0669]", text)


def test_a_value_in_a_text_is_isolated_and_has_the_decimal_sign_of_the_language() -> None:
    assert fill("{a} {b} {c}", {"a": "x{b}", "b": 1.5}, "fr") == "\u2068x{b}\u2069 1,5 {c}"
    assert fill("{b}", {"b": 1.5}, "en") == "1.5"
