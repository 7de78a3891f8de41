"""Render a declaration as a page: a sign, which is the first layer, and the whole declaration, the second.

EDPB guidelines 3/2019, section 7, and CNDP deliberation 350-2013 say what both have to state. The page is one file
that loads nothing, and a missing text is shown as missing. Pure.
"""

import base64
import hashlib
import html
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import get_args

import msgspec

from agent.base.count_proof import CountValidation, UnvalidatedCounts
from agent.base.model import Label
from agent.base.view_condition import Light
from agent.faults.texts import Language
from agent.reporting.declaration.data import DeclarationData, DeclaredCamera

LANGUAGES: tuple[Language, ...] = ("fr", "ar", "en")
"""In the order of the page."""
_DIRECTION: dict[Language, str] = {"fr": "ltr", "ar": "rtl", "en": "ltr"}
_HOURS_PER_DAY = 24.0
_CAMERA_ICON = (
    '<svg viewBox="0 0 64 64" role="img" aria-hidden="true">'
    '<path d="M6 14 44 4l6 20L12 36z"/><path d="M50 10l9 3-3 9-4-1z"/>'
    '<path d="M20 36h8v10h18v8H20z"/><path d="M46 42h6v18h-6z"/>'
    '<circle cx="40" cy="16" r="4" fill="#ffd84d"/></svg>'
)


class PageTexts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts of the page in one language."""

    name: str
    headline: str
    controller: str
    contact: str
    purposes: str
    cndp_receipt: str
    retention_days: str
    rights_contact: str
    more: str
    missing: str
    full_heading: str
    cameras: str
    camera: str
    owner: str
    own: str
    purpose: str
    viewers: str
    any_viewer: str
    recorded: str
    detection: str
    masked: str
    movable: str
    view_of: str
    trusted_rules: str
    countable_time: str
    count_accuracy: str
    by_light: dict[Light, str]
    films: str
    not_validated: str
    not_measured: str
    kept_days: str
    yes: str
    no: str
    retention: str
    event_days: str
    ceiling_days: str
    ceiling_reason: str
    analysis: str
    labels: str
    no_identification: str
    not_followed: str
    joined: str
    joined_limits: str
    access: str
    encrypted: str
    unencrypted: str
    logged: str
    rights: str
    rights_law: str
    rights_how: str
    complaint: str
    about: str
    box: str
    software: str
    public_key: str
    stated: str
    test_authority: str
    unauthenticated: str
    comma: str
    labels_by_name: dict[Label, str]


@cache
def load_texts(language: Language) -> PageTexts:
    """Load the texts of a language, which has a word for each label."""
    texts = msgspec.convert(tomllib.loads(_read(f"{language}.toml")), PageTexts)  # noqa: TID251 - the wheel's
    if set(texts.labels_by_name) != set(get_args(Label)):
        raise ValueError(f"{language}.toml: labels_by_name: allowed: exactly the labels")
    return texts


def render_page(
    data: DeclarationData,
    *,
    box: str,
    time: str,
    languages: Sequence[Language] = LANGUAGES,
) -> str:
    """Return the page. `time` is that of the declaration, RFC 3339."""
    style = _read("page.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    links = "".join(
        f'<a href="#{language}" lang="{language}">{_escape(load_texts(language).name)}</a>'
        for language in languages
    )
    articles = "\n".join(_Article(data, box, time, language).render() for language in languages)
    first = languages[0]
    return f"""<!DOCTYPE html>
<html lang="{first}" dir="{_DIRECTION[first]}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_escape(load_texts(first).headline)}: {_escape(data.site)}</title>
<style>{style}</style>
</head>
<body>
{f"<nav>{links}</nav>" if len(languages) > 1 else ""}
{articles}
</body>
</html>
"""


class _Article:
    """Both layers in one language."""

    def __init__(self, data: DeclarationData, box: str, time: str, language: Language) -> None:
        self._data = data
        self._box = box
        self._time = time
        self._language: Language = language
        self._texts = load_texts(language)

    def render(self) -> str:
        return (
            f'<article id="{self._language}" lang="{self._language}" dir="{_DIRECTION[self._language]}">\n'
            f"{self._render_sign()}\n{self._render_whole()}\n</article>"
        )

    def _render_sign(self) -> str:
        """Render the first layer: what a person can read in front of the box."""
        texts, controller = self._texts, self._data.controller
        return (
            f'<section class="sign">{_CAMERA_ICON}<div><h1>{_escape(texts.headline)}</h1>'
            f'<p class="site"><bdi>{_escape(self._data.site)}</bdi></p>'
            + self._render_facts(
                (texts.controller, controller.name),
                (texts.purposes, getattr(controller.purposes, self._language)),
                (texts.retention_days, self._format_days(self._longest_retention_h())),
                (texts.cndp_receipt, controller.cndp_receipt),
                (texts.rights_contact, controller.rights_contact),
                (texts.more, controller.page),
            )
            + "</div></section>"
        )

    def _render_whole(self) -> str:
        """Render the second layer: the whole declaration."""
        texts, data, controller = self._texts, self._data, self._data.controller
        labels = texts.comma.join(texts.labels_by_name[label] for label in data.detects)
        access = texts.encrypted if data.recipients else texts.unencrypted
        return "\n".join(
            (
                f"<h2>{_escape(texts.full_heading)}</h2>",
                self._render_facts(
                    (texts.controller, controller.name),
                    (texts.contact, controller.contact),
                    (texts.purposes, getattr(controller.purposes, self._language)),
                    (texts.cndp_receipt, controller.cndp_receipt),
                ),
                f"<h3>{_escape(texts.cameras)}</h3>",
                self._render_cameras(),
                f"<h3>{_escape(texts.retention)}</h3>",
                _paragraph(f"{texts.event_days} {self._format_number(data.event_retention_days)}"),
                _paragraph(f"{texts.ceiling_days} {self._format_number(data.max_retention_days)}"),
                _paragraph(texts.ceiling_reason),
                f"<h3>{_escape(texts.analysis)}</h3>",
                _paragraph(f"{texts.labels} {labels}"),
                _paragraph(texts.no_identification),
                *(
                    (
                        _paragraph(texts.joined, data.joined_cameras, texts.comma),
                        _paragraph(texts.joined_limits),
                    )
                    if data.joined_cameras
                    else (_paragraph(texts.not_followed),)
                ),
                f"<h3>{_escape(texts.access)}</h3>",
                _paragraph(access, data.recipients, texts.comma),
                _paragraph(texts.logged),
                f"<h3>{_escape(texts.rights)}</h3>",
                _paragraph(texts.rights_law),
                _paragraph(texts.rights_how),
                self._render_facts((texts.rights_contact, controller.rights_contact)),
                _paragraph(texts.complaint),
                f"<h3>{_escape(texts.about)}</h3>",
                self._render_facts(
                    (texts.box, self._box),
                    (texts.software, data.software),
                    (texts.public_key, data.public_key),
                    (texts.stated, self._time),
                ),
                _paragraph(texts.test_authority) if data.trusts_test_authority else "",
                "" if data.commands_authenticated else _paragraph(texts.unauthenticated),
            )
        )

    def _render_facts(self, *facts: tuple[str, str | None]) -> str:
        return f"<dl>{''.join(f'<dt>{_escape(name)}</dt><dd>{self._render_value(value)}</dd>' for name, value in facts)}</dl>"

    def _render_value(self, value: str | None) -> str:
        if value is None:
            return f'<span class="missing">{_escape(self._texts.missing)}</span>'
        return f"<bdi>{_escape(value)}</bdi>"

    def _render_cameras(self) -> str:
        texts = self._texts
        headings = (
            *(texts.camera, texts.owner, texts.purpose, texts.viewers, texts.recorded),
            *(texts.detection, texts.trusted_rules, texts.countable_time, texts.count_accuracy),
            *(texts.masked, texts.movable, texts.kept_days),
        )
        head = "".join(f"<th>{_escape(heading)}</th>" for heading in headings)
        rows = "\n".join(self._render_camera(camera) for camera in self._data.cameras)
        return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>'

    def _render_camera(self, camera: DeclaredCamera) -> str:
        texts = self._texts
        own_purpose = getattr(self._data.controller.purposes, self._language)
        cells = (
            f"<bdi>{_escape(camera.name)}</bdi>"
            + (
                f"<br>{_escape(texts.view_of)} <bdi>{_escape(camera.view_of)}</bdi>"
                if camera.view_of
                else ""
            ),
            f"<bdi>{_escape(camera.owner or texts.own)}</bdi>",
            self._render_value(own_purpose if camera.owner is None else camera.purpose),
            f"<bdi>{_escape(texts.any_viewer if camera.viewers is None else texts.comma.join(camera.viewers))}</bdi>",
            _escape(self._yes_or_no(camera.recorded)),
            _escape(self._yes_or_no(camera.detection)),
            _escape(self._format_rules(camera)),
            _escape(self._format_ratio(camera.countable_ratio)),
            "<br>".join(map(self._render_validation, camera.validation)) or "-",
            _escape(self._yes_or_no(camera.masked)),
            _escape(self._yes_or_no(camera.on_ptz_head)),
            _escape(self._format_days(camera.retention_h)),
        )
        return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"

    def _yes_or_no(self, value: bool) -> str:  # noqa: FBT001 - the value that is printed
        return self._texts.yes if value else self._texts.no

    def _format_rules(self, camera: DeclaredCamera) -> str:
        """Return such as `3 / 4`: the trusted rules, and all of them."""
        if not camera.rules:
            return "0"
        trusted = camera.trusted_rules
        return f"{self._texts.not_measured if trusted is None else trusted} / {camera.rules}"

    def _format_ratio(self, ratio: float | None) -> str:
        return self._texts.not_measured if ratio is None else f"{ratio * 100:.0f}\u00a0%"

    def _render_validation(self, counts: CountValidation) -> str:
        """Render such as `by day: 95.6 % (89.6 - 98.2 %), films: 7`."""
        texts = self._texts
        light = texts.by_light[counts.light]
        if isinstance(counts, UnvalidatedCounts):
            return _escape(f"{light}: {texts.not_validated}")
        f1, low, high = (
            self._format_number(round(100 * share, 1))
            for share in (counts.f1, counts.f1_low, counts.f1_high)
        )
        figures = f"{f1}\u00a0% ({low}\u00a0\u2013\u00a0{high}\u00a0%)"
        return (
            f'{_escape(light)}: <bdi dir="ltr">{figures}</bdi>'
            f"{_escape(texts.comma)}{_escape(texts.films)}: {counts.clips}"
        )

    def _longest_retention_h(self) -> float | None:
        """Return the longest retention of all cameras, with the footage of events; None if nothing is kept."""
        kept = [camera.retention_h for camera in self._data.cameras if camera.retention_h]
        if not kept:
            return None
        return max(*kept, self._data.event_retention_days * _HOURS_PER_DAY)

    def _format_days(self, hours: float | None) -> str:
        return self._format_number(0 if hours is None else hours / _HOURS_PER_DAY)

    def _format_number(self, number: float) -> str:
        text = f"{round(number, 2):g}"
        return text if self._language == "en" else text.replace(".", ",")


def _paragraph(text: str, names: Iterable[str] = (), comma: str = "") -> str:
    isolated = comma.join(f"<bdi>{_escape(name)}</bdi>" for name in names)
    return f"<p>{_escape(text)} {isolated}</p>" if isolated else f"<p>{_escape(text)}</p>"


def _escape(text: str) -> str:
    return html.escape(text)


def _read(name: str) -> str:
    return (resources.files("agent.reporting.declaration") / name).read_text(encoding="utf-8")
