"""`vigie probe` as a technician uses it: a camera that speaks ONVIF, an RTSP
server, libcamera's virtual camera. Heads are in `test_probe_heads`.
"""

import json
import socket
import tomllib
from collections.abc import Callable
from pathlib import Path

import gpiozero
import pytest

from agent.__main__ import main
from tests import virtual_camera
from tests.contracts.conftest import RtspServer, _missing_rtsp_reason
from tests.contracts.onvif_peer import (
    PASSWORD,
    URL,
    USER,
    running_onvif_camera,
    write_password_file,
)
from tests.contracts.own_network import NamespaceUnavailable, network_namespace

ETH_P_IP = 0x0800  # linux/if_ether.h


@pytest.fixture
def vigie(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The command, which succeeds, and its output."""

    def run(*arguments: str) -> str:
        assert main(["probe", *arguments]) == 0
        return capsys.readouterr().out

    return run


def test_onvif_cameras_are_found_and_adopted(tmp_path: Path, vigie: Callable[..., str]) -> None:
    credentials = ("--username", USER, "--password-file", write_password_file(tmp_path))
    with running_onvif_camera():
        reported = json.loads(vigie("--network", "--interface", "street", *credentials, "--json"))
        named = vigie("--onvif", URL, *credentials, "--toml")
        refused = json.loads(vigie("--onvif", URL, "--json"))
        nowhere = vigie("--network", "--interface", "eth7")
    (camera,) = reported["onvif"]["found"]
    assert (camera["url"], camera["problem"]) == (URL, None)
    assert camera["adopted"]["stream_url"].endswith("/video_main")
    assert PASSWORD not in json.dumps(reported)
    tables = tomllib.loads(named)
    assert tables["camera"][0]["options"]["url"] == camera["adopted"]["stream_url"]
    assert (tables["head"][0]["driver"], tables["head"][0]["camera"]) == (
        "onvif",
        tables["camera"][0]["name"],
    )
    (alone,) = refused["onvif"]["found"]
    assert alone["problem"] == {"kind": "protocol", "message": "wants a user and a password"}
    assert "ONVIF cameras: absent: interface 'eth7': not there; allowed: street, yard" in nowhere


def test_nothing_is_sent_without_a_request(vigie: Callable[..., str]) -> None:
    try:
        with (
            network_namespace(),
            socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP)) as ear,
        ):
            ear.setblocking(False)
            vigie()
            with pytest.raises(BlockingIOError):
                ear.recv(65_536)
            vigie("--network", "--interface", "street")
            assert ear.recv(65_536), "the ear hears"
    except NamespaceUnavailable as error:
        pytest.skip(f"needs a network namespace of its own, which root may make: {error}")


def test_an_rtsp_server_of_the_subnet_is_found(vigie: Callable[..., str]) -> None:
    missing = _missing_rtsp_reason()
    if missing:
        pytest.skip(missing)
    server = RtspServer()
    try:
        ask = ("--subnet", "127.0.0.1/32", "--rtsp-port", str(server.port))
        reported = json.loads(vigie(*ask, "--json"))
        shown, tables = vigie(*ask), vigie(*ask, "--toml")
    finally:
        server.kill()
    (found,) = reported["rtsp"]["found"]
    assert (found["host"], found["port"], found["status"]) == ("127.0.0.1", server.port, 200)
    assert "GStreamer" in found["server"]
    assert f"rtsp://127.0.0.1:{server.port}/" in shown.replace("\n", "")
    # The machine may have cameras, and another test its virtual one.
    assert {"name": "rtsp-127-0-0-1", "driver": "rtsp", "options": {}} in tomllib.loads(tables)[
        "camera"
    ]
    assert "RTSP servers: nothing found" in vigie(*ask)


def test_a_camera_module_is_found_in_a_process_of_its_own(
    vigie: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = virtual_camera.skip_reason()
    if reason is not None:
        pytest.skip(reason)
    for name, value in virtual_camera.picamera2_environment().items():
        monkeypatch.setenv(name, value)
    with virtual_camera.installed_pipeline():
        reported, tables = json.loads(vigie("--json")), vigie("--toml")
    (module,) = reported["camera_modules"]["found"]
    assert (module["number"], module["model"]) == (0, "Virtual0")
    camera = {"name": "csi0", "driver": "csi", "options": {"camera": module["id"]}}
    assert camera in tomllib.loads(tables)["camera"]


def test_gpio_chips_are_opened_and_no_line_is_changed(
    vigie: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    reported = json.loads(vigie("--json"))["pins"]
    assert (reported["factory"]["name"], reported["problem"]) == ("mock", None)
    factory = gpiozero.Device.pin_factory
    assert not factory.pins
    factory.close()


def test_missing_devices_are_reported_by_kind(
    vigie: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "picamera2.py").write_text("raise ImportError('No module named libcamera')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    message = vigie()
    assert "camera modules: absent: needs Picamera2 and libcamera (apt-get install" in message
    assert "video devices" in message
    assert "serial ports" in message
    assert "pins" in message
    assert "not queried: --heads, --network, --subnet A.B.C.D/N" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "/dev/ttyUSB0"], "--port: allowed: together with --heads"),
        (["--heads", "--port", "ttyUSB0"], "--port 'ttyUSB0': allowed: a path such as"),
        (["--heads", "--port", "socket://h:99999"], "--port 'socket://h:99999': allowed: a path"),
        (
            ["--heads", "--baud", "fast"],
            "--baud 'fast': 'fast' is not a number; allowed: numbers from 300",
        ),
        (["--heads", "--baud", "300-9600"], "--baud '300-9600': allowed: numbers with commas"),
        (
            ["--heads", "--addresses", "0-3"],
            "--addresses '0-3': '0-3' is not a number; allowed: numbers",
        ),
        (["--heads", "--addresses", "8-1"], "from 1 to 255, such as 1-8,12"),
        (["--subnet", "10.0.0.0/8"], "16777216 addresses are too many; allowed: IPv4"),
        (["--subnet", "camera.example"], "--subnet 'camera.example': not a subnet; allowed: IPv4"),
        (["--rtsp-port", "554"], "together with --subnet"),
        (["--subnet", "10.0.0.1/32", "--rtsp-port", "0"], "numbers from 1 to 65535"),
        (["--onvif", "rtsp://h/"], "--onvif 'rtsp://h/': allowed: http://HOST[:PORT]"),
        (["--onvif", "http://u:p@h/"], "without a user name"),
        (["--interface", "eth0"], "together with --network"),
        (
            ["--network", "--username", "vigie"],
            "--username, --password-file: allowed: both or neither",
        ),
        (
            ["--network", "--username", "vigie", "--password-file", "/none"],
            "--password-file: password_file '/none' cannot be read",
        ),
    ],
)
def test_a_wrong_argument_is_one_clear_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vigie: ")
    assert err.count("\n") == 1
    assert message in err
