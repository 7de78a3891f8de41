"""The screen of `vigie watch`: totals, a line for each box, the worst first, and the selected box below."""

import select
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events, message
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Footer, Input, Static

from agent.reporting.payloads import Message
from centre.fleet.box_view import Arrival, BoxView
from centre.fleet.fleet_view import FleetView
from centre.fleet.rows import (
    ColumnWidth,
    box_row,
    choose_columns,
    detail_lines,
    heading_row,
    totals_line,
)
from centre.fleet.wire_text import clean_text

_CURSOR_STYLE = Style(reverse=True)


class FleetTable(ScrollView, can_focus=True):
    """The boxes in the order that it is given, below a line of headings that stays. One of them is selected:
    the first, until another one is.
    """

    DEFAULT_CSS = """
    FleetTable { height: 1fr; overflow-x: hidden; overflow-y: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "move_page(-1)", "page up", show=False),
        Binding("pagedown", "move_page(1)", "page down", show=False),
        Binding("home", "move_to_end(-1)", "first", show=False),
        Binding("end", "move_to_end(1)", "last", show=False),
    ]

    class Selected(message.Message):
        """Another box is selected."""

    def __init__(self) -> None:
        super().__init__()
        self._views: Sequence[BoxView] = ()
        self._now = datetime.now(UTC)
        self._columns: tuple[ColumnWidth, ...] = ()
        """Empty if the boxes or the width have changed."""
        self._selected_box: str | None = None
        self._cursor = 0
        """Index of the selected box, which may have another place after each draw; 0 if it is not shown."""

    @property
    def selected(self) -> BoxView | None:
        """The selected box, or None if there is no box."""
        return self._views[self._cursor] if self._views else None

    def show_boxes(self, views: Sequence[BoxView], now: datetime) -> None:
        """Show these boxes. `now` is for the ages of their states."""
        self._views, self._now = views, now
        ids = [view.box for view in views]
        self._cursor = ids.index(self._selected_box) if self._selected_box in ids else 0
        self.virtual_size = Size(0, len(views) + 1)
        self._columns = ()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one line of the widget: the headings, or a box."""
        index = round(self.scroll_offset.y) + y - 1
        if not self._columns:
            self._columns = choose_columns(self.size.width, self._views)
        if y == 0:
            text = heading_row(self._columns)
        elif index < len(self._views):
            text = box_row(self._views[index], self._columns, self._now)
        else:
            text = Text("")
        base = self.rich_style
        if y > 0 and self._views and index == self._cursor and self.has_focus:
            base += _CURSOR_STYLE
        segments = Segment.apply_style(text.render(self.app.console, end=""), base)
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def on_resize(self, _event: events.Resize) -> None:
        """Choose the columns again for the new width."""
        self._columns = ()

    def on_click(self, event: events.Click) -> None:
        """Select the box that was clicked."""
        index = round(self.scroll_offset.y) + event.y - 1
        if event.y > 0 and index < len(self._views):
            self._select(index)

    def action_move(self, boxes: int) -> None:
        """Select a box further down, or up."""
        self._select(self._cursor + boxes)

    def action_move_page(self, pages: int) -> None:
        """Select a box a page further down, or up."""
        self._select(self._cursor + pages * max(1, self.size.height - 2))

    def action_move_to_end(self, direction: int) -> None:
        """Select the last box, or the first."""
        self._select(0 if direction < 0 else len(self._views) - 1)

    def _select(self, index: int) -> None:
        if not self._views:
            return
        index = self._cursor = min(max(index, 0), len(self._views) - 1)
        # The first one is the worst: without a choice it is whichever box is in that place.
        self._selected_box = self._views[index].box if index else None
        top, rows = round(self.scroll_offset.y), self.size.height - 1
        if index < top:
            self.scroll_to(y=index, animate=False)
        elif index >= top + rows:
            self.scroll_to(y=index - rows + 1, animate=False)
        self.refresh()
        self.post_message(self.Selected())


STDIN_FD = 0
REDRAWS_PER_S = 4
"""At most, however many messages arrive."""
MAX_AGE_OF_PICTURE = timedelta(seconds=10)
"""The ages of states grow without messages, too."""


class FleetScreen(App[None]):
    """Shows boxes until `q`, Ctrl-C, `end` or the end of the terminal. `update`, `show_connection` and `end` are thread-safe."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Static { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #details { height: auto; min-height: 8; max-height: 12; border-top: solid $primary; }
    #filter { display: none; height: 1; border: none; padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter"),
        Binding("escape", "clear_filter", "all boxes"),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", "quit", show=False, priority=True),
    ]

    def __init__(
        self, connection: str, utc_now: Callable[[], datetime], stored: Iterable[Message] = ()
    ) -> None:
        """`stored`: see `FleetView`."""
        super().__init__()
        self._utc_now = utc_now
        self._lock = threading.Lock()
        """Guards the two below."""
        self._fleet = FleetView(stored)
        self._connection = connection
        self._is_changed = threading.Event()
        self._has_ended = threading.Event()
        self._drawn: datetime | None = None

    def update(self, message: Message, arrival: Arrival) -> None:
        """Update the box that sent the message."""
        with self._lock:
            self._fleet.update(message, arrival)
        self._is_changed.set()

    def show_connection(self, text: str) -> None:
        """Show the state of the connection to the broker."""
        with self._lock:
            self._connection = text
        self._is_changed.set()

    def end(self) -> None:
        """End the screen within a redraw."""
        self._has_ended.set()

    def compose(self) -> ComposeResult:
        """Return the widgets, from top to bottom."""
        yield Static(id="broker")
        yield Static(id="totals")
        yield FleetTable()
        yield Static(id="details")
        yield Input(placeholder="words of an id, a site, a state, a fault or an event", id="filter")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Draw, and again while messages arrive."""
        self.query_one(FleetTable).focus()
        self._draw()
        self.set_interval(1 / REDRAWS_PER_S, self._tick)

    def action_filter(self) -> None:
        """Open the line for the filter's words."""
        field = self.query_one(Input)
        field.display = True
        field.focus()

    def action_clear_filter(self) -> None:
        """Show all boxes again."""
        field = self.query_one(Input)
        field.value = ""
        field.display = False
        self.query_one(FleetTable).focus()

    def on_input_changed(self, _event: Input.Changed) -> None:
        """Show the boxes with these words."""
        self._draw()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        """Return to the table; the filter stays."""
        self.query_one(FleetTable).focus()

    def on_fleet_table_selected(self, _event: FleetTable.Selected) -> None:
        """Show the details of another box."""
        self._draw_details()

    def _tick(self) -> None:
        if self._has_ended.is_set() or _is_terminal_gone():
            self.exit()
            return
        is_old = self._drawn is None or self._utc_now() - self._drawn >= MAX_AGE_OF_PICTURE
        if self._is_changed.is_set() or is_old:
            self._draw()

    def _draw(self) -> None:
        self._is_changed.clear()
        self._drawn = self._utc_now()
        filter_text = self.query_one(Input).value
        with self._lock:
            connection = self._connection
            totals, views = self._fleet.totals(), self._fleet.ranked(filter_text)
        self.query_one("#broker", Static).update(Text(clean_text(connection)))
        self.query_one("#totals", Static).update(totals_line(totals, len(views), filter_text))
        self.query_one(FleetTable).show_boxes(views, self._drawn)
        self._draw_details()

    def _draw_details(self) -> None:
        view = self.query_one(FleetTable).selected
        lines = [Text("no box")] if view is None else list(detail_lines(view))
        self.query_one("#details", Static).update(Text("\n").join(lines))


def _is_terminal_gone() -> bool:
    """Return whether the other end of the terminal is closed. Textual reads its end of file for ever."""
    terminal = select.poll()
    terminal.register(STDIN_FD, 0)
    return any(events & select.POLLHUP for _, events in terminal.poll(0))
