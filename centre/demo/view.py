"""Two ways to show the demo while it runs: a live screen, or plain lines where none can be."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, Literal, Protocol, Self, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from centre.demo.screen import Moment, amount

STATUS_EVERY_S = 10.0

M = TypeVar("M")
Shown_contra = TypeVar("Shown_contra", contravariant=True)


class DemoView(Protocol[Shown_contra]):
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

    def show(self, moment: Shown_contra) -> None:
        """Show how it stands."""
        ...


def view_on(
    console: Console,
    draw: Callable[[M, int, int], RenderableType],
    lines: Callable[[M], Iterable[str]],
) -> DemoView[M]:
    """What fits the console: a screen, which `draw` makes for so many columns and rows, or the
    `lines` that are new at each moment.
    """
    if console.is_terminal:
        return LiveView(console, draw)
    return PlainView(console, lines)


class LiveView(Generic[M]):
    """A screen that is drawn anew at each moment."""

    def __init__(self, console: Console, draw: Callable[[M, int, int], RenderableType]) -> None:
        self._console = console
        self._draw = draw
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

    def show(self, moment: M) -> None:
        """Draw the screen."""
        size = self._console.size
        self._live.update(self._draw(moment, size.width, size.height), refresh=True)


class PlainView(Generic[M]):
    """Lines, one after the other."""

    def __init__(self, console: Console, lines: Callable[[M], Iterable[str]]) -> None:
        self._console = console
        self._lines = lines

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

    def show(self, moment: M) -> None:
        """Print what is new."""
        for text in self._lines(moment):
            self._console.print(Text(text), soft_wrap=True)


class FilmLines:
    """A line for each event of a film, and now and then one that tells how far it is."""

    def __init__(self) -> None:
        self._shown = 0
        self._status_s = 0.0

    def __call__(self, moment: Moment) -> list[str]:
        """What is new."""
        view = moment.view
        new = view.events_so_far - self._shown
        self._shown = view.events_so_far
        events = view.events[-new:] if new else ()
        lines = [f"{event.t_s:7.1f} s  {event.text}" for event in events]
        if view.film_s - self._status_s >= STATUS_EVERY_S:
            self._status_s = view.film_s
            found = ", ".join(amount(label, count) for label, count in view.found.items())
            lines.append(f"{view.film_s:7.1f} s  -- followed so far: {found or 'nobody'}")
        return lines
