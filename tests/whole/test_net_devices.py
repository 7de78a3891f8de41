"""`net devices`: which address answers, and which configured camera it is, in a network of the test's own."""

from pathlib import Path

from agent.commands.command import NoArguments
from agent.config import console_settings
from agent.console.acts.act import call_at_console
from agent.console.acts.devices import Peer, devices, find_peers, join_devices
from drivers.onvif.operations import FoundCamera
from drivers.rtsp_search import FoundRtspServer
from tests.conftest import ManualClock
from tests.contracts.onvif_peer import PORT, running_onvif_camera
from tests.contracts.own_network import CAMERA
from tests.parts.console_rig import CONFIG_TEXT, ConsoleRig

MAC = "b8:a4:4f:00:12:34"
CAMERAS = """
[[camera]]
name = "north"
driver = "rtsp"
options = { url = "rtsp://amina:secret@10.77.0.1:8080/1" }
detect_options = { url = "rtsp://10.77.0.1/2" }
detect = { enabled = false }
[[camera]]
name = "south"
driver = "rtsp"
options = { url = "rtsp://127.0.0.1:1/1" }
detect = { enabled = false }
[[head]]
name = "mast"
driver = "fake"
options = { url = "http://10.77.0.1" }
"""
PEERS = (
    Peer(label="camera north", host="10.77.0.9", port=554),
    Peer(label="camera north", host="10.77.0.9", port=80),
    Peer(label="camera south", host="10.77.0.10", port=554),
)


def test_each_address_has_all_that_answers_there_and_the_camera_that_it_is() -> None:
    found = join_devices(
        PEERS,
        (
            FoundRtspServer(host="10.77.0.20", port=554, status=401, server="Acme"),
            FoundRtspServer(host="10.77.0.9", port=554, status=200),
            FoundRtspServer(host="10.77.0.9", port=80),
            FoundRtspServer(host="10.77.0.20", port=9000),
        ),
        (FoundCamera(url="http://10.77.0.9", name="Street 3", hardware=None, id="urn:uuid:1"),),
        {"10.77.0.9": MAC, "10.77.0.1": MAC},
    )
    assert [
        (one.address, one.mac, list(map(str, one.peers)), list(map(str, one.answers)))
        for one in found
    ] == [
        ("10.77.0.1", MAC, [], []),
        ("10.77.0.9", MAC, ["camera north"], ["ONVIF Street 3", "RTSP 554", "HTTP 80"]),
        ("10.77.0.10", None, ["camera south"], []),
        ("10.77.0.20", None, [], ["RTSP 554 (Acme)", "TCP 9000"]),
    ]


def test_the_addresses_of_cameras_and_heads_are_those_of_their_options(tmp_path: Path) -> None:
    config_path = tmp_path / "vigie.toml"
    config_path.write_text(CONFIG_TEXT.partition("[[camera]]")[0] + CAMERAS)
    config = console_settings.read(config_path).config
    assert config is not None
    assert [(str(one.label), one.host, one.port) for one in find_peers(config)] == [
        ("camera north", "10.77.0.1", 8080),
        ("camera north", "10.77.0.1", 554),
        ("camera south", "127.0.0.1", 1),
        ("head mast", "10.77.0.1", 80),
    ]


def test_a_technician_sees_what_answers_and_which_camera_does_not(
    clock: ManualClock, tmp_path: Path
) -> None:
    config = CONFIG_TEXT.partition("[[camera]]")[0] + CAMERAS.partition("[[head]]")[0]
    with running_onvif_camera():
        rig = ConsoleRig(clock, tmp_path, config_text=config)
        (rig.root / "proc/net").mkdir(parents=True)
        (rig.root / "proc/net/arp").write_text(
            f"IP address HW type Flags HW address Mask Device\n{CAMERA} 0x1 0x2 {MAC} * street\n"
        )
        screen = rig.run_logged_in("net devices")
        found = devices(call_at_console(rig.context), NoArguments())
        results = [(str(one.subject), one.ok) for one in found.values]
    assert "Searching 10.77.0.0/24, 10.78.0.0/24" in screen
    (line,) = [line for line in screen.splitlines() if line.startswith(CAMERA)]
    assert f"{MAC}  camera north  ONVIF " in line
    assert f"TCP {PORT}" in " ".join(screen.split())
    assert "camera south: nothing answers at 127.0.0.1" in screen
    assert "secret" not in screen
    assert results == [
        (f"{CAMERA}, {MAC}, camera north", True),
        ("127.0.0.1, camera south", False),
    ]
