"""Widget with a line for each box. It draws the visible lines only, so its cost does not grow with the fleet."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from centre.fleet.box_view import BoxView
from centre.fleet.rows import ColumnWidth, box_row, choose_columns, heading_row

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

    class Selected(Message):
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
