"""A camera that speaks ONVIF, in a network of its own, and the test in there with it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.onvif.discovery import FoundCamera, discover
from tests.contracts.own_network import CAMERA, NamespaceUnavailable, network_namespace

PYTHON = Path(__file__).parents[2] / ".cache" / "test-peers" / "bin" / "python"
SCRIPT = Path(__file__).parent / "onvif_camera.py"
PORT = 8080
URL = f"http://{CAMERA}:{PORT}"
USER, PASSWORD = "vigie", "geheim & <more>"


class OnvifCameraProcess:
    """The camera's process."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(PYTHON), str(SCRIPT), "announced", CAMERA, str(PORT), USER, PASSWORD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def running_onvif_camera() -> Iterator[OnvifCameraProcess]:
    """The camera, alive; the calling thread is in its network. Skips where that cannot be."""
    if not PYTHON.exists():
        pytest.skip("needs ipycam in .cache/test-peers: make setup-test")
    try:
        with network_namespace():
            camera = OnvifCameraProcess()
            try:
                yield camera
            finally:
                camera.kill()
    except NamespaceUnavailable as error:
        pytest.skip(f"needs a network namespace of its own, which root may make: {error}")


def search_until_found(interface: str | None = None) -> tuple[FoundCamera, ...]:
    """Search until a camera is found, twice as long each time: on a busy machine it answers too late for a short search."""
    searches = (discover(timeout_s, interface) for timeout_s in (4.0, 8.0, 16.0, 32.0, 64.0))
    return next(filter(None, searches), ())


def write_password_file(folder: Path, text: str = PASSWORD, mode: int = 0o600) -> str:
    path = folder / "camera.password"
    path.write_text(f"{text}\n", encoding="utf-8")
    path.chmod(mode)
    return str(path)
