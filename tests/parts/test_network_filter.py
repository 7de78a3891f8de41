"""agent.provisioning.network_filter: drop-ins that allow the units the addresses of their peers only."""

import configparser
from pathlib import Path

import msgspec
import pytest

from agent.config.configuration import Config
from agent.provisioning import network_filter
from agent.provisioning.network_filter import DROP_IN, UNIT_DIR, UNITS, find_peers, render_drop_in

TABLES = {
    "box": {"id": "casa-0001", "site": "Bd Zerktouni"},
    "broker": {"url": "mqtts://10.4.0.2:8883"},
    "camera": [
        {"name": "north", "driver": "fake", "options": {"width_px": 640}},
        {
            "name": "tram",
            "driver": "rtsp",
            "options": {"url": "rtsp://user:secret@10.9.0.5:554/live"},
            "detect_options": {"url": "rtsp://10.9.0.6/sub"},
            "onvif": {"url": "http://[fd00::5]"},
        },
    ],
    "head": [{"name": "mast", "driver": "visca", "options": {"port": "socket://10.9.0.7:5678"}}],
}


def config(**changes: object) -> Config:
    return msgspec.convert({**TABLES, **changes}, Config)


def allowed(text: str | None) -> set[str]:
    assert text is not None
    parsed = configparser.ConfigParser()
    parsed.read_string(text)
    service = parsed["Service"]
    assert service["IPAddressDeny"] == "any"
    return set(service["IPAddressAllow"].split())


def test_only_the_broker_the_cameras_and_the_heads_are_allowed() -> None:
    text = render_drop_in(find_peers(config()))
    addresses = {"10.4.0.2", "10.9.0.5", "10.9.0.6", "fd00::5", "10.9.0.7"}
    assert allowed(text) == addresses | {"localhost"}
    assert "secret" not in str(text)


def test_a_broker_on_the_box_itself_needs_no_address() -> None:
    local = config(broker={"url": "mqtt://localhost"}, camera=TABLES["camera"][:1], head=[])
    assert allowed(render_drop_in(find_peers(local))) == {"localhost"}


@pytest.mark.parametrize(
    "changes",
    [
        {"broker": {"url": "mqtts://centre.example:8883"}},
        {"head": [{"name": "m", "driver": "visca", "options": {"port": "socket://head:5678"}}]},
        {"camera": [{"name": "a", "driver": "rtsp", "options": {"url": "rtsp://[/x"}}]},
    ],
)
def test_a_peer_without_an_address_opens_the_filter(changes: dict[str, object]) -> None:
    assert render_drop_in(find_peers(config(**changes))) is None


def test_a_change_is_written_once_and_undone(tmp_path: Path) -> None:
    text = render_drop_in(find_peers(config()))
    assert not network_filter.write_drop_ins(tmp_path, None)
    assert network_filter.write_drop_ins(tmp_path, text)
    files = [tmp_path / UNIT_DIR / f"{unit}.d" / DROP_IN for unit in UNITS]
    assert {(file.read_text(), file.stat().st_mode & 0o777) for file in files} == {(text, 0o644)}
    assert not network_filter.write_drop_ins(tmp_path, text), "systemd is not reloaded for nothing"
    assert network_filter.write_drop_ins(tmp_path, None)
    assert not any(file.exists() for file in files)


def test_an_invalid_configuration_changes_nothing(tmp_path: Path) -> None:
    assert network_filter.write_drop_ins(tmp_path, render_drop_in(find_peers(config())))
    path = tmp_path / "vigie.toml"
    path.write_text("[box")
    assert network_filter.main(["--root", str(tmp_path), str(path)]) == 1
    assert (tmp_path / UNIT_DIR / f"{UNITS[0]}.d" / DROP_IN).exists()


def test_the_hosts_for_footage_are_peers_too() -> None:
    with_address = config(link={"upload_hosts": ["10.4.0.9", "fd00::9"]})
    assert {"10.4.0.9", "fd00::9"} < allowed(render_drop_in(find_peers(with_address)))
    with_name = config(link={"upload_hosts": ["media.centre.example"]})
    assert render_drop_in(find_peers(with_name)) is None
