"""Child processes that a bench measures."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import videos


@contextlib.contextmanager
def running_process(command: Sequence[str | Path]) -> Iterator[int]:
    """Run a program and stop it at the end of the context. Yields its process id.

    Raises: RuntimeError with the last line of its stderr if it ended by itself.
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
