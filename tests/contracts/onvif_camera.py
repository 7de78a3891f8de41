"""Runs ipycam, a camera that speaks ONVIF, with what it gets wrong put right. By the interpreter of
.cache/test-peers:

    onvif_camera.py announced ADDRESS PORT [USER PASSWORD]   answers WS-Discovery, turns itself
    onvif_camera.py body ADDRESS [driven]                    turned by whoever started it

The second one asks at its output and is told at its input, a line of JSON each: what it was told
over ONVIF is done by the body of the tests, which knows the truth. `driven`: it can be driven alone,
and tells no positions.

Put right, in memory:
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

PTZ = "http://www.onvif.org/ver20/ptz/wsdl"


class Body:
    """ipycam's controller, done elsewhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def _ask(self, do: str, *given: Any) -> Any:
        with self._lock:
            say(json.dumps([do, *given]))
            answer = json.loads(sys.stdin.readline())
        if answer == "silence":
            threading.Event().wait()
        return answer

    def continuous_move(self, pan: float, tilt: float, zoom: float) -> None:
        self._ask("move", pan, tilt, zoom)

    def stop_movement(self, pan_tilt: bool, zoom: bool) -> None:
        assert pan_tilt, "a stop of the zoom alone"
        assert zoom, "a stop of pan and tilt alone"
        self._ask("stop")

    def absolute_move(self, pan: float, tilt: float, zoom: float | None) -> None:
        self._ask("goto", pan, tilt, zoom)

    def get_status(self) -> dict[str, Any]:
        return dict(self._ask("status"))

    def get_presets(self) -> dict[str, Any]:
        return {token: SimpleNamespace(**preset) for token, preset in self._ask("presets").items()}

    def set_preset(self, token: str, name: str) -> None:
        self._ask("store", token, name)

    def goto_preset(self, token: str) -> None:
        self._ask("recall", token)


class Camera:
    """What the handler of HTTP asks of its camera."""

    def __init__(self, config: CameraConfig, body: Any) -> None:
        self.config = config
        self.onvif = ONVIFService(config, body)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


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


def take_positions_away(service: ONVIFService) -> None:
    soap = service._templates
    space = r"<tt:Absolute(\w+)PositionSpace>.*?</tt:Absolute\1PositionSpace>"
    soap["ptz_get_nodes"] = re.sub(space, "", soap["ptz_get_nodes"], flags=re.DOTALL)
    position = r"<tt:(PTZ)?Position>.*?</tt:(PTZ)?Position>"
    soap["ptz_get_status"] = re.sub(position, "", soap["ptz_get_status"], flags=re.DOTALL)


def serve(config: CameraConfig, camera: Camera) -> int:
    IPCameraHTTPHandler.camera = camera
    server = ReusableThreadingTCPServer((config.local_ip, config.onvif_port), IPCameraHTTPHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def announced(address: str, port: str, user: str = "", password: str = "") -> None:
    config = CameraConfig(
        name="tram-14-front",
        manufacturer="Alstom",
        local_ip=address,
        onvif_port=int(port),
        username=user,
        password=password,
    )
    camera = Camera(config, PTZController())
    mend(camera.onvif)
    serve(config, camera)
    WSDiscoveryServer(camera.onvif).start()
    say("ready")
    sys.stdin.read()


def body(address: str, driven: str = "") -> None:
    config = CameraConfig(local_ip=address, onvif_port=0)
    camera = Camera(config, Body())
    mend(camera.onvif)
    if driven:
        take_positions_away(camera.onvif)
    config.onvif_port = serve(config, camera)
    say(str(config.onvif_port))
    threading.Event().wait()


if __name__ == "__main__":
    # It writes its presets into the working directory.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        {"announced": announced, "body": body}[sys.argv[1]](*sys.argv[2:])
