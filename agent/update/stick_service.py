"""Mount USB sticks for the console, as root: `python -m agent.update.stick_service`.

vigie-stick.service runs it with the socket of vigie-stick.socket. One connection is served at a time: the stick of its
request is mounted until that connection is closed. systemd executes the mount, so this process needs no
capability.
"""

import argparse
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.base.errors import UserError
from agent.update.usb_stick import (
    DEVICE_DIR,
    MAX_MESSAGE_BYTES,
    StickReply,
    StickRequest,
    UsbStick,
    parse_link,
)
from drivers.local_wire import LocalConnection, MalformedMessage, MessageDecoder, peer_credentials

log = logging.getLogger(__name__)

LISTENER_FD = 3
"""The socket that systemd passes, sd_listen_fds(3)."""
IDLE_TIMEOUT_S = 60.0
"""The process ends if no connection comes for so long; systemd starts it again with the next one."""
REQUEST_TIMEOUT_S = 5.0
SYSTEMD_TIMEOUT_S = 40.0
"""Time for a mount or an unmount. Unmounting writes what is left for the stick."""
MOUNT_OPTIONS = "nosuid,nodev,noexec,noatime,errors=remount-ro,umask=0077"
SYSTEMD_MOUNT = "usr/bin/systemd-mount"
SYSTEMCTL = "usr/bin/systemctl"

_REQUEST_DECODER = MessageDecoder(StickRequest)


def serve(listener: socket.socket, root: Path, idle_timeout_s: float = IDLE_TIMEOUT_S) -> None:
    """Serve connections, one after the other, until none comes for `idle_timeout_s`."""
    listener.settimeout(idle_timeout_s)
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            return
        serve_connection(connection, root)


def serve_connection(connection: socket.socket, root: Path) -> None:
    """Mount the stick that a connection requests, until it is closed. The outcome is replied."""
    with LocalConnection(connection, MAX_MESSAGE_BYTES) as console:
        try:
            request = _read_request(console)
            stick = _require_stick(root, request.link)
            owner = peer_credentials(connection).uid
            with _mounted(root, stick, owner, writable=request.writable):
                console.send(StickReply(), REQUEST_TIMEOUT_S)
                # It has no more to say: this returns at its end.
                console.receive_bytes(None)
        except (OSError, UserError) as error:
            log.warning("%s", error)
            with suppress(OSError):
                console.send(StickReply(error=str(error)), REQUEST_TIMEOUT_S)


def _read_request(console: LocalConnection) -> StickRequest:
    """Read the request. Raises: UserError if it is none, OSError."""
    try:
        return console.receive_request(_REQUEST_DECODER, REQUEST_TIMEOUT_S)
    except MalformedMessage as error:
        raise UserError(f"request: {error}") from error


def _require_stick(root: Path, link: str) -> UsbStick:
    stick = parse_link(link)
    if stick is None or not (root / DEVICE_DIR / link).is_symlink():
        raise UserError(f"{link!r}: no USB stick that is plugged in")
    return stick


@contextmanager
def _mounted(root: Path, stick: UsbStick, owner: int, *, writable: bool) -> Iterator[None]:
    """Mount a stick, for the user `owner` alone, and unmount it at the end. Raises: UserError."""
    access = "rw" if writable else "ro"
    try:
        _run_systemd(
            root / SYSTEMD_MOUNT,
            "--quiet",
            "--collect",
            "--fsck=no",
            f"--type={stick.file_system}",
            f"--options={access},{MOUNT_OPTIONS},uid={owner}",
            # A file that is still open, such as a bundle that root copies, does not keep it mounted.
            "--property=LazyUnmount=yes",
            stick.device,
            stick.mount_point,
        )
        log.info("%s is mounted (%s, %s)", stick.device, stick.file_system, access)
        yield
    finally:
        try:
            _run_systemd(root / SYSTEMCTL, "stop", f"run-media-{stick.partition}.mount")
        except UserError as error:
            # It was pulled out, or was never mounted.
            log.info("%s: %s", stick.device, error)
        else:
            log.info("%s is unmounted", stick.device)


def _run_systemd(program: Path, *args: str) -> None:
    """Run a client of systemd. Raises: UserError with its last line if it fails."""
    try:
        completed = subprocess.run(  # noqa: S603 - fixed words, and names that were checked
            (str(program), *args),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SYSTEMD_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{program.name}: {error}") from error
    if completed.returncode:
        lines = completed.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UserError(lines[-1] if lines else f"{program.name}: {completed.returncode}")


def main(arguments: list[str] | None = None) -> int:
    """Serve the socket that systemd has passed."""
    parser = argparse.ArgumentParser(prog="stick_service", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    with socket.socket(fileno=LISTENER_FD) as listener:
        serve(listener, args.root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
