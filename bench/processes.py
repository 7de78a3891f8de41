"""Programs that run beside the bench while it watches them."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import films


@contextlib.contextmanager
def running(command: Sequence[str | Path]) -> Iterator[int]:
    """A program that runs while this is entered; its output goes nowhere. Gives its id."""
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=films.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20.0)
            process.kill()
