"""Programs that run beside the bench while it watches them."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import videos


@contextlib.contextmanager
def running_process(command: Sequence[str | Path]) -> Iterator[int]:
    """A program that runs while this is entered, and is told to stop at the end. Gives its id.

    Raises RuntimeError with the last line that it said where it ended by itself.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr_file,
        subprocess.Popen(
            [str(word) for word in command],
            cwd=videos.ROOT,
            stdout=subprocess.DEVNULL,
            stderr=stderr_file,
        ) as process,
    ):
        try:
            yield process.pid
            if process.poll() is not None:
                stderr_file.seek(0)
                last_line = (stderr_file.read().strip().splitlines() or ["nothing said"])[-1]
                raise RuntimeError(f"{command[0]} ended by itself: {last_line}")
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20.0)
            process.kill()
