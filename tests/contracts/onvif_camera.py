"""Runs ipycam, a camera that speaks ONVIF, with what it gets wrong put right. By the interpreter of
.cache/test-peers: `onvif_camera.py ADDRESS PORT [USER PASSWORD]`.

Put right, in memory:
- its replies on PTZ use prefixes that its envelope does not declare;
- it fills `move_status` into a template that asks for three other names;
- it answers a probe with `ProbeMatch` alone, where WS-Discovery 1.0 (5.3) wants `ProbeMatches`
  around it, and that as the action;
- a preset that is stored again under its token becomes a new one, and absolute moves jump: these
  stay as they are.
"""

import os
import sys
import tempfile
import threading

from ipycam.camera import ReusableThreadingTCPServer
from ipycam.config import CameraConfig
from ipycam.discovery import WSDiscoveryServer
from ipycam.http import IPCameraHTTPHandler
from ipycam.onvif import ONVIFService
from ipycam.ptz import PTZController

PTZ = "http://www.onvif.org/ver20/ptz/wsdl"


class Camera:
    """What the handler of HTTP asks of its camera."""

    def __init__(self, config: CameraConfig) -> None:
        self.config = config
        self.onvif = ONVIFService(config, PTZController())


def mend(service: ONVIFService) -> None:
    soap = service._templates
    soap["envelope"] = soap["envelope"].replace(
        "<s:Envelope ", f'<s:Envelope xmlns:ptz="{PTZ}" xmlns:tptz="{PTZ}" ', 1
    )
    status = soap["ptz_get_status"]
    for name in ("pan_tilt_status", "zoom_status"):
        status = status.replace(f"{{{{{name}}}}}", "{{move_status}}")
    soap["ptz_get_status"] = status.replace("{{utc_time}}", "2026-01-01T00:00:00Z")
    match = soap["probe_match"].replace("discovery/ProbeMatch<", "discovery/ProbeMatches<")
    match = match.replace("<d:ProbeMatch>", "<d:ProbeMatches><d:ProbeMatch>")
    soap["probe_match"] = match.replace("</d:ProbeMatch>", "</d:ProbeMatch></d:ProbeMatches>")


def main(address: str, port: str, user: str = "", password: str = "") -> None:
    # It writes its presets into the working directory.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        config = CameraConfig(
            name="tram-14-front",
            manufacturer="Alstom",
            local_ip=address,
            onvif_port=int(port),
            username=user,
            password=password,
        )
        camera = Camera(config)
        mend(camera.onvif)
        IPCameraHTTPHandler.camera = camera
        server = ReusableThreadingTCPServer(("", config.onvif_port), IPCameraHTTPHandler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        WSDiscoveryServer(camera.onvif).start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
