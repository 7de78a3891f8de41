"""Load gpiozero's pin factory, and map its errors.

On a board the factory is lgpio: it alone supports every Raspberry Pi, the 5 included. It makes a FIFO
in the working folder when it is loaded, and changes that folder (`LG_WD`; gpiozero issue 1106). So it
is loaded here, in a folder of its own, and the working folder is restored. The variable
GPIOZERO_PIN_FACTORY is respected: `mock` has pins without a board.

There is one factory for the process, and it stays: the lines of a closed pin remain claimed, as
inputs, until the process ends.
"""

import importlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gpiozero

from drivers.errors import DriverError, DriverErrorKind

CHIP = "/dev/gpiochip0"
"""The chip of the header, on the Raspberry Pi 5 too since gpiozero 2.0.1.post3 (issue 1166)."""

FACTORY_VARIABLE = "GPIOZERO_PIN_FACTORY"
_LOAD_LOCK = threading.Lock()
_folders: list[tempfile.TemporaryDirectory[str]] = []
"""lgpio's folder, which is deleted when the process ends."""


@contextmanager
def pin_errors(display_name: str) -> Iterator[None]:
    """Load the factory, and map errors of gpiozero within this context.

    Raises: DriverError `busy`, `absent`, `closed` or `unsupported`; the message begins with `display_name`.
    """
    try:
        with _LOAD_LOCK:
            _ensure_factory()
        yield
    except gpiozero.GPIOPinInUse as error:
        raise DriverError("busy", f"{display_name}: in use by another part of the agent") from error
    except gpiozero.PinInvalidPin as error:
        raise DriverError("absent", f"{display_name}: this board has no such pin") from error
    except (ImportError, OSError, gpiozero.BadPinFactory, gpiozero.PinUnknownPi) as error:
        raise DriverError("absent", f"{display_name}: no pins here: {error}") from error
    except gpiozero.DeviceClosed as error:
        raise DriverError("closed", f"{display_name}: closed") from error
    except gpiozero.GPIOZeroError as error:
        raise DriverError("unsupported", f"{display_name}: {error}") from error
    except _lgpio_errors() as error:
        lgpio_message = str(error).strip("'")
        raise DriverError(
            _error_kind(lgpio_message), f"{display_name}: {_error_text(lgpio_message)}"
        ) from error


def _ensure_factory() -> None:
    if gpiozero.Device.pin_factory is not None:
        return
    if os.environ.setdefault(FACTORY_VARIABLE, "lgpio") == "lgpio" and "lgpio" not in sys.modules:
        _load_lgpio()
    gpiozero.Device.ensure_pin_factory()


def _load_lgpio() -> None:
    configured_folder = os.environ.get("LG_WD")
    if configured_folder is None:
        runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or None
        _folders.append(tempfile.TemporaryDirectory(prefix="lgpio-", dir=runtime))
        os.environ["LG_WD"] = _folders[-1].name
    working_folder_fd = os.open(".", os.O_PATH)
    try:
        importlib.import_module("lgpio")
    finally:
        os.fchdir(working_folder_fd)
        os.close(working_folder_fd)
        if configured_folder is None:
            # A child of this process must not take the same folder.
            del os.environ["LG_WD"]


def _lgpio_errors() -> tuple[type[Exception], ...]:
    """Return lgpio's error type if it is loaded; its base is Exception itself."""
    lgpio = sys.modules.get("lgpio")
    return () if lgpio is None else (lgpio.error,)


def _error_kind(lgpio_message: str) -> DriverErrorKind:
    """Return the kind of an lgpio error, which has no code but a text of its `lgErrInfo` table."""
    if lgpio_message == "GPIO busy":
        return "busy"
    if lgpio_message == "can not open gpiochip" and Path(CHIP).exists():
        return "unsupported"
    return "absent"


def _error_text(lgpio_message: str) -> str:
    if lgpio_message == "GPIO busy":
        return "another process has it"
    if lgpio_message == "can not open gpiochip":
        if Path(CHIP).exists():
            return f"{CHIP} is denied to this user: it must be in the group `gpio`"
        return f"no pins here: {CHIP} is not there"
    return lgpio_message
