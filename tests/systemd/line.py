"""A serial line in the container: its far end is this process's standard input and output.

Run in there by the tests. Prints the name of the near end first. As with a real port, nobody has the near
end open but the console.
"""

import fcntl
import os
import shutil
import sys
import termios
import threading
import tty

GROUP = "dialout"
LOOK_S = 0.05


def main() -> None:
    """Carry bytes until the input ends."""
    far, near = os.openpty()
    tty.setraw(near)
    name = os.ttyname(near)
    shutil.chown(name, group=GROUP)
    os.chmod(name, 0o660)  # noqa: PTH101 - as short as the rest
    os.close(near)
    os.write(1, f"{name}\n".encode())
    threading.Thread(target=carry_out, args=(far, name), daemon=True).start()
    while data := os.read(sys.stdin.fileno(), 4096):
        os.write(far, data)


def carry_out(far: int, name: str) -> None:
    """What the console says, whenever one has the near end open."""
    never = threading.Event()
    while True:
        try:
            os.write(1, os.read(far, 4096))
        except OSError:  # nobody has the near end open: pts(4)
            let_go(name)
            never.wait(LOOK_S)


def let_go(name: str) -> None:
    """A real port forgets with its last close whose alone it was; a pseudo-terminal does not."""
    near = os.open(name, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(near, termios.TIOCNXCL)
    os.close(near)


if __name__ == "__main__":
    main()
