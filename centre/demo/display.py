"""Two ways to show the demo while it runs: a live screen, or plain lines where none can be."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, Literal, Protocol, Self, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from centre.demo.screen import DemoState, format_count

STATUS_EVERY_S = 10.0

StateT = TypeVar("StateT")
StateT_contra = TypeVar("StateT_contra", contravariant=True)


class DemoDisplay(Protocol[StateT_contra]):
    """Shows moments. Use it as a context."""

    def __enter__(self) -> Self:
        """Take the terminal."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        """Give it back."""
        ...

    def show(self, state: StateT_contra) -> None:
        """Show how it stands."""
        ...


def create_display(
    console: Console,
    render: Callable[[StateT, int, int], RenderableType],
    format_lines: Callable[[StateT], Iterable[str]],
) -> DemoDisplay[StateT]:
    """What fits the console: a screen, which `draw` makes for so many columns and rows, or the
    `lines` that are new at each moment.
    """
    if console.is_terminal:
        return LiveDisplay(console, render)
    return PlainDisplay(console, format_lines)


class LiveDisplay(Generic[StateT]):
    """A screen that is drawn anew at each moment."""

    def __init__(
        self, console: Console, render: Callable[[StateT, int, int], RenderableType]
    ) -> None:
        self._console = console
        self._render = render
        self._live = Live(console=console, auto_refresh=False, screen=True)

    def __enter__(self) -> Self:
        """Take the terminal."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        """Give the terminal back as it was."""
        self._live.stop()
        return False

    def show(self, state: StateT) -> None:
        """Draw the screen."""
        size = self._console.size
        self._live.update(self._render(state, size.width, size.height), refresh=True)


class PlainDisplay(Generic[StateT]):
    """Lines, one after the other."""

    def __init__(self, console: Console, format_lines: Callable[[StateT], Iterable[str]]) -> None:
        self._console = console
        self._format_lines = format_lines

    def __enter__(self) -> Self:
        """Nothing is taken."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        """Nothing is given back."""
        return False

    def show(self, state: StateT) -> None:
        """Print what is new."""
        for text in self._format_lines(state):
            self._console.print(Text(text), soft_wrap=True)


class VideoStatusLines:
    """A line for each event of a film, and now and then one that tells how far it is."""

    def __init__(self) -> None:
        self._shown_count = 0
        self._last_status_s = 0.0

    def __call__(self, state: DemoState) -> list[str]:
        """What is new."""
        stats = state.stats
        new_count = stats.event_total - self._shown_count
        self._shown_count = stats.event_total
        events = stats.recent_events[-new_count:] if new_count else ()
        lines = [f"{event.t_s:7.1f} s  {event.text}" for event in events]
        if stats.video_s - self._last_status_s >= STATUS_EVERY_S:
            self._last_status_s = stats.video_s
            tracks_text = ", ".join(
                format_count(label, count) for label, count in stats.track_counts.items()
            )
            lines.append(f"{stats.video_s:7.1f} s  -- followed so far: {tracks_text or 'nobody'}")
        return lines
