"""agent.reporting.declaration: the sign and the whole declaration, in three languages, from the declaration alone."""

import base64
import hashlib
import html
import re
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.count_proof import LIGHTS, count_validation
from agent.base.model import LABELS
from agent.config.configuration import Config
from agent.config.declaration import iter_missing
from agent.faults.texts import Language
from agent.reporting.declaration.data import (
    DeclarationData,
    DeclaredCamera,
    DeclaredController,
    DeclaredPurposes,
)
from agent.reporting.declaration.page import LANGUAGES, load_texts, render_page
from tests.count_proofs import count_proof, light_proof
from tests.pure.test_declaration import CONFIG, TABLES, declare

TIME = "2026-11-03T07:41:05.250Z"
CONTROLLER = DeclaredController(
    name="Commune de Casablanca",
    contact="Place Mohammed V",
    purposes=DeclaredPurposes(fr="Sécurité routière", ar="السلامة الطرقية", en="Road safety"),
    cndp_receipt="D-VS-123/2026",
    rights_contact="donnees@casablanca.example",
    page="https://casablanca.example/cameras",
)
CAMERA = DeclaredCamera(
    name="north",
    owner=None,
    purpose=None,
    viewers=None,
    on_ptz_head=True,
    detection=True,
    recorded=True,
    masked=True,
    retention_h=60.0,
)
DATA = DeclarationData(
    site="Bd Zerktouni",
    detects=LABELS,
    cameras=(CAMERA,),
    event_retention_days=7.0,
    max_retention_days=90,
    recipients=("prefecture",),
    public_key="11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    software="vigie 0.1.0",
    trusts_test_authority=False,
    commands_authenticated=True,
    controller=CONTROLLER,
)


def page_of(data: DeclarationData = DATA, *languages: Language) -> str:
    return render_page(data, box="pole-17", time=TIME, languages=languages or LANGUAGES)


class Loader(HTMLParser):
    """Finds what a browser would load, run or send."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sign_and_the_page_state_what_the_guidelines_ask(language: Language) -> None:
    texts = load_texts(language)
    page = html.unescape(page_of(DATA, language))
    sign, _, whole = page.partition("</section>")
    for expected in (
        texts.headline,
        "Bd Zerktouni",
        "Commune de Casablanca",
        getattr(CONTROLLER.purposes, language),
        "D-VS-123/2026",
        "donnees@casablanca.example",
        "https://casablanca.example/cameras",
        "<bdi>7</bdi>",
    ):
        assert expected in sign, expected
    for expected in (
        "Place Mohammed V",
        "prefecture",
        "2.5" if language == "en" else "2,5",
        texts.no_identification,
        texts.rights_law,
        texts.complaint,
        texts.logged,
        "pole-17",
        TIME,
        DATA.public_key,
        *texts.labels_by_name.values(),
    ):
        assert expected in whole, expected
    assert texts.missing not in page
    assert texts.test_authority not in page
    assert texts.unauthenticated not in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_states_which_cameras_join_tracks_and_else_that_none_does(
    language: Language,
) -> None:
    texts = load_texts(language)
    alone = html.unescape(page_of(DATA, language))
    assert texts.not_followed in alone
    assert texts.joined not in alone
    joined = msgspec.structs.replace(DATA, joined_cameras=("south", "<north>"))
    page = page_of(joined, language)
    assert "<bdi>south</bdi>" in page
    assert "<bdi>&lt;north&gt;</bdi>" in page
    assert texts.joined in html.unescape(page)
    assert texts.joined_limits in html.unescape(page)
    assert texts.not_followed not in html.unescape(page)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_nobody_has_stated_is_missing_and_not_invented(language: Language) -> None:
    nothing = msgspec.structs.replace(DATA, controller=DeclaredController())
    page = html.unescape(page_of(nothing, language))
    sign = page.partition("</section>")[0]
    assert sign.count(load_texts(language).missing) == 5
    assert load_texts(language).missing in page.partition("</section>")[2]


def test_purposes_of_another_language_do_not_stand_in() -> None:
    only_french = msgspec.structs.replace(
        DATA,
        controller=msgspec.structs.replace(
            CONTROLLER, purposes=DeclaredPurposes(fr="Sécurité routière")
        ),
    )
    assert "Sécurité routière" not in html.unescape(page_of(only_french, "en"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_tells_what_the_box_does_and_does_not(language: Language) -> None:
    texts = load_texts(language)
    plain = msgspec.structs.replace(
        DATA, recipients=(), trusts_test_authority=True, commands_authenticated=False
    )
    page = html.unescape(page_of(plain, language))
    assert texts.unencrypted in page
    assert texts.encrypted not in page
    assert texts.test_authority in page
    assert texts.unauthenticated in page
    tram = msgspec.structs.replace(
        CAMERA, name="tram", owner="Casa Tramway", purpose="safety", viewers=("Samira Alaoui",)
    )
    lent = html.unescape(page_of(msgspec.structs.replace(DATA, cameras=(tram,)), language))
    row = lent.partition("<tbody>")[2].partition("</tbody>")[0]
    for expected in ("tram", "Casa Tramway", "safety", "Samira Alaoui"):
        assert expected in row


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("rules", "trusted", "cell"), [(0, None, "0"), (4, 3, "3 / 4"), (4, None, "{unknown} / 4")]
)
def test_the_page_says_how_many_lines_and_zones_can_be_trusted(
    language: Language, rules: int, trusted: int | None, cell: str
) -> None:
    texts = load_texts(language)
    counted = msgspec.structs.replace(CAMERA, rules=rules, trusted_rules=trusted)
    page = html.unescape(page_of(msgspec.structs.replace(DATA, cameras=(counted,)), language))
    assert f"<th>{texts.trusted_rules}</th>" in page
    assert f"<td>{cell.format(unknown=texts.not_measured)}</td>" in page


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("ratio", "cell"), [(None, "{unknown}"), (0.0, "0\u00a0%"), (0.97, "97\u00a0%")]
)
def test_the_page_says_for_how_much_of_the_time_counts_can_be_trusted(
    language: Language, ratio: float | None, cell: str
) -> None:
    texts = load_texts(language)
    counted = msgspec.structs.replace(CAMERA, rules=4, trusted_rules=3, countable_ratio=ratio)
    page = html.unescape(page_of(msgspec.structs.replace(DATA, cameras=(counted,)), language))
    assert f"<th>{texts.countable_time}</th>" in page
    assert f"<td>{cell.format(unknown=texts.not_measured)}</td>" in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_how_right_counts_are_in_each_light(language: Language) -> None:
    texts = load_texts(language)
    proof = count_proof(light_proof("day", f1=0.956, f1_low=0.896, f1_high=0.982, clips=7))
    validation = tuple(count_validation(proof, None, light) for light in LIGHTS)
    counted = msgspec.structs.replace(CAMERA, rules=4, validation=validation)
    page = html.unescape(page_of(msgspec.structs.replace(DATA, cameras=(counted,)), language))
    assert f"<th>{texts.count_accuracy}</th>" in page
    shown = "95.6\u00a0% (89.6\u00a0\u2013\u00a098.2\u00a0%)"
    shown = shown if language == "en" else shown.replace(".", ",")
    by_day = f'{texts.by_light["day"]}: <bdi dir="ltr">{shown}</bdi>{texts.comma}{texts.films}: 7'
    assert f"<td>{by_day}<br>{texts.by_light['night']}: {texts.not_validated}</td>" in page


def test_a_box_that_keeps_nothing_says_so() -> None:
    nothing = msgspec.structs.replace(
        DATA, cameras=(msgspec.structs.replace(CAMERA, recorded=False, retention_h=None),)
    )
    sign = page_of(nothing, "en").partition("</section>")[0]
    assert f"<dt>{load_texts('en').retention_days}</dt><dd><bdi>0</bdi>" in sign


def test_each_language_has_its_direction_and_arabic_runs_to_the_left() -> None:
    page = page_of()
    articles = re.findall(r'<article id="(..)" lang="(..)" dir="(...)">', page)
    assert articles == [("fr", "fr", "ltr"), ("ar", "ar", "rtl"), ("en", "en", "ltr")]
    assert 'href="#ar"' in page
    assert '<html lang="ar" dir="rtl">' in page_of(DATA, "ar")
    assert "<nav>" not in page_of(DATA, "ar")


def test_the_page_loads_and_runs_nothing_by_its_own_policy() -> None:
    page = page_of()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    loader = Loader()
    loader.feed(page)
    assert not loader.tags & {"script", "img", "link", "iframe", "form", "object", "a href"}
    assert not loader.attributes & {"src", "style", "onclick", "onload", "srcset"}
    assert "url(" not in style


@given(st.text(max_size=60))
def test_no_text_of_a_declaration_becomes_markup(text: str) -> None:
    hostile = f'{text}<script>alert(1)</script>"&'
    data = msgspec.structs.replace(
        DATA,
        site=hostile,
        recipients=(hostile,),
        cameras=(msgspec.structs.replace(CAMERA, owner=hostile, viewers=(hostile,)),),
        controller=msgspec.structs.replace(CONTROLLER, name=hostile, page=hostile),
    )
    loader = Loader()
    loader.feed(page_of(data))
    assert "script" not in loader.tags


def test_the_texts_of_all_languages_are_written_alike() -> None:
    for language in LANGUAGES:
        texts = msgspec.structs.asdict(load_texts(language))
        assert all(texts.values())
    french = "".join(str(value) for value in msgspec.structs.asdict(load_texts("fr")).values())
    assert not re.search(r" [:;?!]", french), "a no-break space comes before these"


def test_the_configuration_is_declared_and_its_gaps_are_named() -> None:
    assert list(iter_missing(CONFIG.declaration)) == [
        "declaration.controller",
        "declaration.contact",
        "declaration.cndp_receipt",
        "declaration.rights_contact",
        "declaration.page",
        "declaration.purposes.fr",
        "declaration.purposes.ar",
        "declaration.purposes.en",
    ]
    assert declare(CONFIG, {}, []).controller == DeclaredController()
    stated = {
        "controller": "Commune de Casablanca",
        "contact": "Place Mohammed V",
        "cndp_receipt": "D-VS-123/2026",
        "rights_contact": "donnees@casablanca.example",
        "page": "https://casablanca.example/cameras",
        "purposes": {"fr": "Sécurité routière", "ar": "السلامة الطرقية", "en": "Road safety"},
    }
    config = msgspec.convert({**TABLES, "declaration": stated}, Config)
    assert list(iter_missing(config.declaration)) == []
    assert declare(config, {}, []).controller == CONTROLLER


@pytest.mark.parametrize(
    "wrong",
    [{"controller": ""}, {"contact": "x" * 301}, {"contact": "a\nb"}, {"page": "http://x"}],
)
def test_a_text_that_is_too_long_or_no_line_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**TABLES, "declaration": wrong}, Config)


def test_a_view_names_the_camera_whose_picture_it_is_a_part_of() -> None:
    view = msgspec.structs.replace(CAMERA, name="around-north", view_of="around <b>")
    page = page_of(msgspec.structs.replace(DATA, cameras=(CAMERA, view)), "en")
    assert page.count("part of the picture of <bdi>around &lt;b&gt;</bdi>") == 1
