"""agent.provisioning.settings: every file that a configuration names is found."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.base import checked_convert
from agent.config import configuration
from agent.config.configuration import Config
from agent.provisioning.settings import list_references, local_name

EVERY = """
[box]
id = "casa-0001"
site = "x"
[broker]
url = "mqtts://centre.example"
ca = "F"
certificate = "F"
key = "F"
username = "x"
password_file = "F"
[console]
secret_file = "F"
[update]
feed = "https://centre.example/feed"
public_key = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
ca_file = "F"
[[camera]]
name = "north"
driver = "rtsp"
options = { path = "F", password_file = "F", url = "x" }
detect_options = { path = "F" }
[camera.detect]
scenes = { gate = "F" }
[camera.onvif]
url = "http://10.0.0.31"
username = "x"
password_file = "F"
[[camera]]
name = "south"
driver = "rtsp"
options = {}
detect = { scene = "F" }
[[head]]
name = "mast"
driver = "onvif"
camera = "north"
options = { password_file = "F" }
"""


def leaves(value: Any, under: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{under}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{under}[{index}]")
    else:
        yield under, value


def test_every_path_of_the_configuration_is_a_file_reference(tmp_path: Path) -> None:
    file = tmp_path / "vigie.toml"
    file.write_text(EVERY)
    plain = checked_convert.convert(tomllib.loads(EVERY), Config, "x")
    anchored = dict(leaves(msgspec.to_builtins(configuration.load(file))))
    paths = {key for key, value in anchored.items() if value == str(tmp_path / "F")}
    assert {one.key for one in list_references(plain)} == paths
    # And the configuration above has all of them: every key of a path that has no default.
    moved = {key for key, value in leaves(msgspec.to_builtins(plain)) if anchored[key] != value}
    assert moved == paths


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("ca.pem", "ca.pem"),
        ("./ca.pem", "ca.pem"),
        ("/etc/vigie/ca.pem", "ca.pem"),
        ("/etc/vigie/../shadow", None),
        ("/etc/shadow", None),
        ("/", None),
        ("..", None),
        ("", None),
        ("keys/ca.pem", None),
        ("ca.pem\n", None),
        (".hidden", None),
    ],
)
def test_only_a_name_next_to_the_configuration_is_a_file_reference(
    value: str, name: str | None
) -> None:
    assert local_name(value) == name
