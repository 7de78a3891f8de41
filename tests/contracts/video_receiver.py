"""Runs the video server of the tests, and reads what was sent to it."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from drivers.av_stream import frame_planes
from tests.contracts.conftest import HERE, SYSTEM_PYTHON
from tests.free_port import free_port
from tests.server_certificate import ServerCertificate

USER, PASSWORD = "pole-17", "br:ead @ö/"  # as video_server.py has them

PROBE = """
import sys, gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, Gst, GstRtspServer
Gst.init(None)
sys.exit(not (Gst.ElementFactory.find("rtph264depay") and Gio.TlsBackend.get_default().supports_tls()))
"""


def skip_without_server() -> None:
    """Skip the test if GStreamer's RTSP server or its TLS is missing."""
    probe = subprocess.run([SYSTEM_PYTHON, "-c", PROBE], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("needs gir1.2-gst-rtsp-server-1.0 and glib-networking: make setup-test")


class VideoServer:
    """GStreamer's server in a process of its own; it can be frozen and killed."""

    def __init__(
        self, folder: Path, certificate: ServerCertificate | None = None, *arguments: str
    ) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        tls = (
            ()
            if certificate is None
            else ("--certificate", str(certificate.certificate), "--key", str(certificate.key))
        )
        # A port of its own choice, as for the broker: it is in the configuration of a box before.
        self.port = free_port()
        self.process = subprocess.Popen(
            [
                SYSTEM_PYTHON,
                str(HERE / "video_server.py"),
                str(folder),
                "--port",
                str(self.port),
                *tls,
                *arguments,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert int(self.process.stdout.readline()) == self.port

    def file(self, name: str = "a") -> Path:
        return self.folder / f"{name}.h264"

    def received_bytes(self, name: str = "a") -> int:
        file = self.file(name)
        return file.stat().st_size if file.exists() else 0

    def luma_planes(self, name: str = "a") -> list[npt.NDArray[np.uint8]]:
        """The pictures of the stream so far, their brightness alone."""
        planes: list[npt.NDArray[np.uint8]] = []
        # The last unit may be cut.
        with (
            av.open(str(self.file(name)), format="h264") as container,
            suppress(av.InvalidDataError),
        ):
            planes.extend(np.array(frame_planes(frame)[0]) for frame in container.decode(video=0))
        return planes

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
