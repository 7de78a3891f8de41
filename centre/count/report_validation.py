"""How right the counts of a report are: their measured error, or that they are not validated. Pure."""

from agent.base.count_proof import CountValidation, ValidatedCounts
from centre.count.report_elements import Elements, format_length, section, time_bdi
from centre.count.results import CountResult, ValidationShare

_TO_SHEET = ' href="#sheet"'
_HEADS = (
    "light",
    "measured_f1",
    "labelled_films",
    "unverifiable",
    "searched",
    "crossings",
)


def render_validation(elements: Elements, result: CountResult) -> str:
    """Return the section: a row for each light, and for each reason why counts are not validated."""
    parts = [elements.text("h2", "validation")]
    if result.validations:
        rows = (_render_row(elements, share) for share in result.validations)
        head = f"<tr>{elements.heads(*_HEADS)}</tr>"
        parts.append(elements.table(head, rows, "validation"))
    found = [one.validation for one in result.validations]
    validated = next((one for one in found if isinstance(one, ValidatedCounts)), None)
    if validated is not None:
        parts.append(elements.text("p", "validation_note"))
        parts.append(elements.text("p", "validated_by", time=validated.time[:10], by=validated.by))
    if not all(isinstance(one, ValidatedCounts) for one in found):
        parts.append(
            f'<p class="notice">{elements.text("span", "error_unknown")} '
            f"{elements.text('a', 'to_sheet', _TO_SHEET)}</p>"
        )
    return section("validation", *parts)


def f1_cell(elements: Elements, validation: CountValidation | None) -> str:
    """Return the cell of the measured error of counts; None are those of a time that was not searched."""
    if not isinstance(validation, ValidatedCounts):
        return elements.text("td", "not_validated", ' class="view"')
    return elements.text(
        "td",
        "f1_interval",
        ' class="view"',
        f1=_percent(validation.f1),
        low=_percent(validation.f1_low),
        high=_percent(validation.f1_high),
    )


def _render_row(elements: Elements, share: ValidationShare) -> str:
    one = share.validation
    if isinstance(one, ValidatedCounts):
        unverifiable = elements.text("td", "percentage", percent=_percent(one.unverifiable_share))
        error = f"{f1_cell(elements, one)}<td>{one.clips}</td>{unverifiable}"
    else:
        words = elements.text("b", "not_validated"), elements.text("span", f"gap_{one.reason}")
        error = f'<td colspan="3">{"<br>".join(words)}</td>'
    light = elements.text("th", f"light_{one.light}", ' scope="row"')
    searched = time_bdi(format_length(share.observed_s))
    return f"<tr>{light}{error}<td>{searched}</td><td>{share.crossings}</td></tr>"


def _percent(share: float) -> float:
    return round(100 * share, 1)
