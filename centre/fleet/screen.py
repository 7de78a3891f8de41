"""The screen of `vigie watch`: totals, a line for each box, the worst first, and the selected box below."""

import select
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Input, Static

from agent.reporting.payloads import Message
from centre.fleet.box_view import Arrival
from centre.fleet.fleet_view import FleetView
from centre.fleet.rows import detail_lines, totals_line
from centre.fleet.table import FleetTable
from centre.fleet.wire_text import clean_text

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
    #details { height: 8; border-top: solid $primary; }
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
