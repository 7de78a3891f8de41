"""Two ways to show the demo while it runs: a live screen, or plain lines where none can be."""

from types import TracebackType
from typing import Literal, Protocol, Self

from rich.console import Console
from rich.live import Live

from agent.demo.screen import Moment, amount, screen

STATUS_EVERY_S = 10.0


class DemoView(Protocol):
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

    def show(self, moment: Moment) -> None:
        """Show how it stands."""
        ...


class LiveView:
    """A screen that is drawn anew at each moment."""

    def __init__(self, console: Console) -> None:
        self._console = console
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

    def show(self, moment: Moment) -> None:
        """Draw the screen."""
        size = self._console.size
        self._live.update(screen(moment, size.width, size.height), refresh=True)


class PlainView:
    """A line for each event, and now and then one that tells how far it is."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = 0
        self._status_s = 0.0

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

    def show(self, moment: Moment) -> None:
        """Print what is new."""
        view = moment.view
        new = view.events_so_far - self._shown
        for event in view.events[-new:] if new else ():
            self._line(f"{event.t_s:7.1f} s  {event.text}")
        self._shown = view.events_so_far
        if view.film_s - self._status_s >= STATUS_EVERY_S:
            self._status_s = view.film_s
            found = ", ".join(amount(label, count) for label, count in view.found.items())
            self._line(f"{view.film_s:7.1f} s  -- followed so far: {found or 'nobody'}")

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
