"""Run ipycam, an ONVIF camera, with its mistakes corrected. By the interpreter of
.cache/test-peers:

    onvif_camera.py announced ADDRESS PORT [USER PASSWORD]   answers WS-Discovery, turns itself
    onvif_camera.py body ADDRESS [driven]                    turned by its parent process

The second form writes requests to its output and reads the answers from its input, a line of JSON each:
the body of the tests, whose state is known, does what ONVIF requested. `driven`: it moves alone,
and reports no positions.

Corrected, in memory:
- its replies on PTZ use prefixes that its envelope does not declare;
- it fills `move_status` into a template that asks for three other names;
- it answers a probe with `ProbeMatch` alone, where WS-Discovery 1.0 (5.3) wants `ProbeMatches`
  around it, and that as the action.
Left as it is: a preset that is stored again under its token becomes a new one.
"""

import json
import os
import re
import sys
import tempfile
import threading
from types import SimpleNamespace
from typing import Any

from ipycam.camera import ReusableThreadingTCPServer
from ipycam.config import CameraConfig
from ipycam.discovery import WSDiscoveryServer
from ipycam.http import IPCameraHTTPHandler
from ipycam.onvif import ONVIFService
from ipycam.ptz import PTZController

PTZ_NAMESPACE = "http://www.onvif.org/ver20/ptz/wsdl"


class RemotePtzController:
    """ipycam's controller, done elsewhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def _request(self, operation: str, *arguments: Any) -> Any:
        with self._lock:
            write_line(json.dumps([operation, *arguments]))
            answer = json.loads(sys.stdin.readline())
        if answer == "silence":
            threading.Event().wait()
        return answer

    def continuous_move(self, pan: float, tilt: float, zoom: float) -> None:
        self._request("move", pan, tilt, zoom)

    def stop_movement(self, pan_tilt: bool, zoom: bool) -> None:
        assert pan_tilt, "a stop of the zoom alone"
        assert zoom, "a stop of pan and tilt alone"
        self._request("stop")

    def absolute_move(self, pan: float, tilt: float, zoom: float | None) -> None:
        self._request("goto", pan, tilt, zoom)

    def get_status(self) -> dict[str, Any]:
        return dict(self._request("status"))

    def get_presets(self) -> dict[str, Any]:
        return {
            token: SimpleNamespace(**preset) for token, preset in self._request("presets").items()
        }

    def set_preset(self, token: str, name: str) -> None:
        self._request("store", token, name)

    def goto_preset(self, token: str) -> None:
        self._request("recall", token)


class CameraStub:
    """The camera's methods that the HTTP handler calls."""

    def __init__(self, config: CameraConfig, ptz_controller: Any) -> None:
        self.config = config
        self.onvif = ONVIFService(config, ptz_controller)


def write_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def patch_templates(service: ONVIFService) -> None:
    templates = service._templates
    templates["envelope"] = templates["envelope"].replace(
        "<s:Envelope ", f'<s:Envelope xmlns:ptz="{PTZ_NAMESPACE}" xmlns:tptz="{PTZ_NAMESPACE}" ', 1
    )
    status = templates["ptz_get_status"]
    for name in ("pan_tilt_status", "zoom_status"):
        status = status.replace(f"{{{{{name}}}}}", "{{move_status}}")
    templates["ptz_get_status"] = status.replace("{{utc_time}}", "2026-01-01T00:00:00Z")
    match = templates["probe_match"].replace("discovery/ProbeMatch<", "discovery/ProbeMatches<")
    match = match.replace("<d:ProbeMatch>", "<d:ProbeMatches><d:ProbeMatch>")
    templates["probe_match"] = match.replace("</d:ProbeMatch>", "</d:ProbeMatch></d:ProbeMatches>")


def remove_positions(service: ONVIFService) -> None:
    templates = service._templates
    space = r"<tt:Absolute(\w+)PositionSpace>.*?</tt:Absolute\1PositionSpace>"
    templates["ptz_get_nodes"] = re.sub(space, "", templates["ptz_get_nodes"], flags=re.DOTALL)
    position = r"<tt:(PTZ)?Position>.*?</tt:(PTZ)?Position>"
    templates["ptz_get_status"] = re.sub(position, "", templates["ptz_get_status"], flags=re.DOTALL)


def serve(config: CameraConfig, camera: CameraStub) -> int:
    IPCameraHTTPHandler.camera = camera
    server = ReusableThreadingTCPServer((config.local_ip, config.onvif_port), IPCameraHTTPHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def run_announced(address: str, port: str, user: str = "", password: str = "") -> None:
    config = CameraConfig(
        name="tram-14-front",
        manufacturer="Alstom",
        local_ip=address,
        onvif_port=int(port),
        username=user,
        password=password,
    )
    camera = CameraStub(config, PTZController())
    patch_templates(camera.onvif)
    serve(config, camera)
    WSDiscoveryServer(camera.onvif).start()
    write_line("ready")
    sys.stdin.read()


def run_remote_controlled(address: str, driven: str = "") -> None:
    config = CameraConfig(local_ip=address, onvif_port=0)
    camera = CameraStub(config, RemotePtzController())
    patch_templates(camera.onvif)
    if driven:
        remove_positions(camera.onvif)
    config.onvif_port = serve(config, camera)
    write_line(str(config.onvif_port))
    threading.Event().wait()


if __name__ == "__main__":
    # It writes its presets into the working directory.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        {"announced": run_announced, "body": run_remote_controlled}[sys.argv[1]](*sys.argv[2:])
