"""`vigie console` in a process whose libraries print all the time, past the console, in every way that they can."""

import ctypes
import logging
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

from agent.__main__ import main

LEAK = "LEAK"
AFTERWARDS = "the session is over"


def make_noise() -> None:
    """Print a word to the file descriptors 1 and 2."""
    os.write(1, f"{LEAK} of a descriptor\n".encode())
    os.write(2, f"{LEAK} of a descriptor\n".encode())
    libc = ctypes.CDLL(None)
    libc.printf(f"{LEAK} of C\n".encode())
    libc.perror(f"{LEAK} of C".encode())
    print(f"{LEAK} of Python")  # noqa: T201
    sys.stderr.write(f"{LEAK} of Python\n")
    warnings.warn(f"{LEAK} of a warning", stacklevel=1)
    logging.getLogger("library").critical("%s of a library", LEAK)
    subprocess.run(["sh", "-c", f"echo {LEAK} of a child; echo {LEAK} >&2"], check=True)


def run(noises: Path) -> None:
    """Make noise, and count it in a file, as long as the console's line is open."""
    warnings.simplefilter("always")
    library = logging.getLogger("library")
    library.addHandler(logging.StreamHandler(sys.stderr))
    has_ended = threading.Event()

    def repeat() -> None:
        count = 0
        while not has_ended.wait(0.05):
            make_noise()
            count += 1
            noises.write_text(str(count))

    from agent.console import session  # noqa: PLC0415

    run_session = session.ConsoleSession.run

    def run_noisily(self: session.ConsoleSession, *, ignore_eof: bool) -> None:
        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            run_session(self, ignore_eof=ignore_eof)
        finally:
            has_ended.set()
            thread.join()
            make_noise()

    session.ConsoleSession.run = run_noisily  # type: ignore[method-assign]
    exit_code = main(["console", *sys.argv[2:]])
    print(AFTERWARDS, flush=True)  # noqa: T201
    sys.exit(exit_code)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
