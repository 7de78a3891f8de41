"""agent.base.file_read, and each file that a person names: a device, a pipe, a folder or NUL is refused at once."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.secret_file import read_secret
from agent.clips.uploader import load_authority
from agent.config.broker import BrokerConfig
from agent.detection.scene import load_scene
from agent.detection.still_image import read_image
from agent.recording.encryption.keys import read_private_key
from agent.reporting.mqtt.certificate_expiry import read_validity
from agent.reporting.mqtt.tls import load_ssl_context, read_password

BROKER = BrokerConfig(url="mqtts://centre.example")


def broker(**files: str) -> BrokerConfig:
    return msgspec.structs.replace(BROKER, **files)


LOADERS: dict[str, Callable[[str], object]] = {
    "broker.password_file": lambda path: read_password(broker(password_file=path)),
    "broker.certificate": lambda path: read_validity(broker(certificate=path, key="k")),
    "broker.ca": lambda path: load_ssl_context(broker(ca=path)),
    "link.ca": load_authority,
    "console.secret": lambda path: read_secret(Path(path)),
    "private key of a recipient": lambda path: read_private_key(Path(path)),
    "scene": lambda path: load_scene(Path(path)),
    "image": lambda path: read_image(Path(path)),
}


def make_pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return str(folder / "pipe")


def make_huge(folder: Path) -> str:
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    (folder / "huge").chmod(0o600)
    return str(folder / "huge")


@pytest.mark.parametrize(
    "make_path",
    [
        lambda _: "/dev/zero",
        str,
        lambda _: "a\0b",
        make_pipe,
        make_huge,
    ],
    ids=["device", "folder", "NUL", "pipe", "a terabyte"],
)
@pytest.mark.parametrize("name", LOADERS)
def test_a_file_that_is_no_regular_one_is_refused_in_one_line(
    name: str, make_path: Callable[[Path], str], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as refused:
        LOADERS[name](make_path(tmp_path))
    assert "\n" not in str(refused.value)


def test_a_file_of_the_largest_allowed_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100))
    assert read_regular_file(tmp_path / "file", 100) == bytes(100)
    with pytest.raises(OSError, match="more than 99 bytes"):
        read_regular_file(tmp_path / "file", 99)
