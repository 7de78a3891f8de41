"""The demo's output while it runs: a live screen, or plain lines if there is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from centre.demo.screen import NewLines, ScreenContent, render_screen


@contextmanager
def open_display(console: Console) -> Iterator[Callable[[ScreenContent], None]]:
    """Yield a function that shows a moment: on a live screen, or as the lines that are new."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, screen=True) as live:

            def draw(content: ScreenContent) -> None:
                size = console.size
                live.update(render_screen(content, size.width, size.height), refresh=True)

            yield draw
        return
    new_lines = NewLines()

    def print_new(content: ScreenContent) -> None:
        for text in new_lines(content):
            console.print(Text(text), soft_wrap=True)

    yield print_new
