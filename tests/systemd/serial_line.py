"""A serial line in the container: its far end is this process's standard input and output.

Run in there by the tests. Prints the name of the near end first. As with a real port, only the console
has the near end open.
"""

import fcntl
import os
import shutil
import sys
import termios
import threading
import tty

GROUP = "dialout"
POLL_INTERVAL_S = 0.05


def main() -> None:
    """Carry bytes until the input ends."""
    master, slave = os.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    shutil.chown(name, group=GROUP)
    os.chmod(name, 0o660)  # noqa: PTH101 - as short as the rest
    os.close(slave)
    os.write(1, f"{name}\n".encode())
    threading.Thread(target=forward_output, args=(master, name), daemon=True).start()
    while data := os.read(sys.stdin.fileno(), 4096):
        os.write(master, data)


def forward_output(master: int, name: str) -> None:
    """Forward the console's output as long as the near end is open."""
    never_set = threading.Event()
    while True:
        try:
            os.write(1, os.read(master, 4096))
        except OSError:  # no process has the near end open: pts(4)
            clear_exclusive(name)
            never_set.wait(POLL_INTERVAL_S)


def clear_exclusive(name: str) -> None:
    """A real port drops its exclusive mode with its last close; a pseudo-terminal does not."""
    slave = os.open(name, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(slave, termios.TIOCNXCL)
    os.close(slave)


if __name__ == "__main__":
    main()
