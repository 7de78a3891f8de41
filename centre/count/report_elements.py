"""HTML elements of the report. Each one with a text of the page names it, so that page/report.js can change the language. Pure."""

import base64
import html
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from agent.base.model import Label
from agent.base.view_condition import ViewLimit
from agent.faults.texts import Language
from centre.count.report_texts import Value, fill, load_texts

COLUMN_HEAD = ' scope="col"'
SAVE_BUTTON = ' type="button" class="save"'
_DEFAULT_DIRECTIONS = ("forward", "backward")


class TextKey(str):
    """The key of a text, as the value of a placeholder in another one."""

    __slots__ = ()


class Elements:
    """Elements in one language."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._texts = load_texts(language)

    def text(self, tag: str, key: str, attributes: str = "", /, **values: Value) -> str:
        """Return an element with a text and its values."""
        keys = {name: str(value) for name, value in values.items() if isinstance(value, TextKey)}
        plain = {name: value for name, value in values.items() if name not in keys}
        data = f' data-text="{key}"'
        for name, table in (("values", plain), ("keys", keys)):
            if table:
                data += f' data-{name}="{escape(msgspec.json.encode(table).decode())}"'
        named = {name: self._texts[value] for name, value in keys.items()}
        filled = fill(self._texts[key], {**plain, **named}, self._language)
        return f"<{tag}{attributes}{data}>{escape(filled)}</{tag}>"

    def attribute(self, name: str, key: str) -> str:
        """Return an attribute with a text, for an element without a text of its own."""
        return f' {name}="{escape(self._texts[key])}" data-into="{name}" data-text="{key}"'

    def label(self, label: Label, tag: str = "span", attributes: str = "") -> str:
        """Return the name of a class."""
        return self.text(tag, f"label_{label}", attributes)

    def direction(self, name: str) -> str:
        """Return the name of a direction; one that the scene does not name is a text."""
        return self.text("span", name) if name in _DEFAULT_DIRECTIONS else bdi(name)

    def limits(self, limits: Iterable[ViewLimit]) -> str:
        """Return limits of the view, one below the other."""
        return "<br>".join(self.text("span", f"limit_{limit}") for limit in limits)

    def facts(self, facts: Iterable[tuple[str, str]]) -> str:
        """Return a list of facts: the key of each one's name, and its value as HTML."""
        listed = "".join(f"{self.text('dt', key)}<dd>{value}</dd>" for key, value in facts)
        return f"<dl>{listed}</dl>"

    def heads(self, *keys: str) -> str:
        """Return the heads of columns."""
        return "".join(self.text("th", key, COLUMN_HEAD) for key in keys)

    def table(self, head: str, rows: Iterable[str], name_key: str, *, is_long: bool = False) -> str:
        """Return a table, which keys can scroll if it is wider than the page, or long."""
        kind = "wide long" if is_long else "wide"
        body = "\n".join(rows)
        return (
            f"{self.region(kind, name_key)}<table><thead>{head}</thead><tbody>\n{body}\n</tbody>"
            "</table></div>"
        )

    def region(self, kind: str, name_key: str) -> str:
        """Return the begin of a part that keys can scroll."""
        name = self.attribute("aria-label", name_key)
        return f'<div class="{kind}" role="group" tabindex="0"{name}>'

    def plot(self, svg: str, alt_key: str) -> str:
        """Return a plot."""
        data = base64.b64encode(svg.encode()).decode()
        source = f'src="data:image/svg+xml;base64,{data}"'
        return f"{self.region('wide plot', alt_key)}<img{self.attribute('alt', alt_key)} {source}></div>"

    def colour_key(self, labels: Iterable[Label]) -> str:
        """Return the colours of classes."""
        items = "".join(
            f'<li><i class="colour {label}"></i>{self.label(label)}</li>' for label in labels
        )
        return f'<ul class="key">{items}</ul>'


def direction_value(name: str) -> str:
    """Return the name of a direction as the value of a placeholder."""
    return TextKey(name) if name in _DEFAULT_DIRECTIONS else name


def section(name: str, *parts: str) -> str:
    """Return a section of the page."""
    return f'<section id="{name}">\n' + "\n".join(parts) + "\n</section>"


def count_cells(counts: Sequence[int]) -> str:
    """Return the cells of a row of a table, with their sum."""
    return "".join(f"<td>{count}</td>" for count in counts) + f"<td><b>{sum(counts)}</b></td>"


def format_time(time: datetime, *, seconds: bool = False) -> str:
    """Return a time by the clock there."""
    return f"{time:%Y-%m-%d} {format_clock(time, seconds=seconds)}"


def format_clock(time: datetime, *, seconds: bool = False) -> str:
    """Return the time of day by the clock there."""
    return f"{time:%H:%M:%S}" if seconds else f"{time:%H:%M}"


def format_length(length_s: float) -> str:
    """Return hours, minutes and seconds."""
    minutes, seconds = divmod(int(length_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def bdi(text: str) -> str:
    """Return a name, apart from the direction of the text around it."""
    return f"<bdi>{escape(text)}</bdi>"


def time_bdi(text: str) -> str:
    """Return a time or a length, on one line."""
    return f'<bdi class="time">{text}</bdi>'


def jpeg_url(jpeg: bytes) -> str:
    """Return a picture as an address."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def escape(text: str) -> str:
    """Return text for an element or an attribute."""
    return html.escape(text)
