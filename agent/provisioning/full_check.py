"""A settings file as the agent would take it: laid out in a folder of its own, with its drivers' options,
its scenes, its tours, its models and its keys. What `vigie check-config` does, without end at the first.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent.app import actuator_specs
from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.capture import camera_source
from agent.config import configuration, toml_writer
from agent.config.configuration import CameraConfig, Config
from agent.config.heads import HeadConfig
from agent.console import login
from agent.provisioning import pem
from agent.provisioning.embedded_files import CONFIG_FILE, EmbeddedFiles
from agent.provisioning.file_references import name_of, references
from agent.recording.encryption.seal import parse_recipients

MEMORY = Path("/dev/shm")  # noqa: S108 - of the names in it none is known before
"""Where Linux has files that are on no disk."""


def in_memory(place: Path) -> Path | None:
    """That place, if files can be laid there; None, which stands for the system's own for such files."""
    return place if place.is_dir() and os.access(place, os.W_OK | os.X_OK) else None


def problems(
    tables: dict[str, Any], config: Config, enclosed: EmbeddedFiles, where: str
) -> list[str]:
    """A line for each thing that the agent would refuse. `config` is `tables` as they were written.

    Secrets are laid out too, so it is done in memory where there is such a place.
    """
    with tempfile.TemporaryDirectory(prefix="vigie-settings-", dir=in_memory(MEMORY)) as name:
        folder = Path(name)
        for file, text in {**enclosed.files, **enclosed.secrets}.items():
            _write(folder / file, text)
        _write(folder / CONFIG_FILE, toml_writer.text(tables))
        found = [
            *_of_config(folder / CONFIG_FILE, where),
            *_of_files(folder, config, enclosed, where),
        ]
        return [_placed(line, folder, where) for line in found]


def _placed(line: str, folder: Path, where: str) -> str:
    """Told of the settings file: nobody knows the folder that it was laid out in."""
    line = line.replace(str(folder / CONFIG_FILE), where).replace(f"{folder}/", "")
    return line if line.startswith(f"{where}: ") else f"{where}: {line}"


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def _said(check: Callable[[], object]) -> Iterator[str]:
    try:
        check()
    except UserError as error:
        yield str(error)


def _of_config(path: Path, where: str) -> Iterator[str]:
    """One thing at a time: a camera or a head that is wrong hides no other one."""
    try:
        config = configuration.load(path)
    except UserError as error:
        yield str(error)
        return
    clock = SystemClock()
    for index in range(len(config.camera)):
        alone = msgspec.structs.replace(config, camera=_alone(config.camera, index, _CAMERA))
        yield from _said(lambda alone=alone: camera_source.sources(alone, clock, where))  # type: ignore[misc]
    without = msgspec.structs.replace(config, pin=())
    for index in range(len(config.head)):
        alone = msgspec.structs.replace(without, head=_alone(config.head, index, _HEAD))
        yield from _said(lambda alone=alone: actuator_specs.fittings(alone, clock, where))  # type: ignore[misc]
    if config.pin:
        pins = msgspec.structs.replace(config, head=())
        yield from _said(lambda: actuator_specs.fittings(pins, clock, where))
    yield from _said(lambda: parse_recipients(config.record.recipient))


_CAMERA = CameraConfig(name="x", driver="fake", options={})
_HEAD = HeadConfig(name="x", driver="fake")
"""Good ones that keep the places of the others."""


def _alone(ones: tuple[Any, ...], index: int, others: Any) -> tuple[Any, ...]:
    return tuple(one if at == index else others for at, one in enumerate(ones))


def _of_files(folder: Path, config: Config, enclosed: EmbeddedFiles, where: str) -> Iterator[str]:
    broker, update = config.broker, config.update
    for key, ca in (("broker.ca", broker.ca), ("update.ca", update.ca if update else None)):
        if ca is not None:
            text = _text(ca, enclosed)
            yield from _said(lambda: pem.check_authorities(text, f"{where}: {key}"))  # noqa: B023 - called at once
    if broker.certificate is not None and broker.key is not None:
        yield from _pair(broker.certificate, broker.key, config.box.id, enclosed, where)
    secret_file = name_of(config.console.secret_file)
    if secret_file is not None and enclosed.secrets.get(secret_file):
        file = folder / secret_file
        for said in _said(lambda: login.read_secret(file)):
            yield f"{where}: secrets.{secret_file!r}: " + said.removeprefix(
                f"secret {str(file)!r}: "
            )
    for one in references(config):
        name = one.name
        if one.secret and one.key.endswith("password_file") and name is not None:
            text = enclosed.secrets.get(name, "")
            if text and not text.rstrip("\r\n").isprintable():
                yield f"{where}: secrets.{name!r}: no password; allowed: one line of text"


def _text(name: str | None, enclosed: EmbeddedFiles) -> str:
    name = name_of(name or "") or ""
    return enclosed.files.get(name) or enclosed.secrets.get(name) or ""


def _pair(
    certificate: str, key: str, box: str, enclosed: EmbeddedFiles, where: str
) -> Iterator[str]:
    """They have to fit each other where both are given."""
    public = []
    pem_key, pem_certificate = _text(key, enclosed), _text(certificate, enclosed)
    if name_of(certificate) == name_of(key):
        yield f"{where}: broker.certificate, broker.key: the same file; allowed: two files"
        return
    if pem_certificate:
        what = f"{where}: broker.certificate = {certificate!r}"
        try:
            public.append(pem.check_certificate(pem_certificate, box, what))
        except UserError as error:
            yield str(error)
    if pem_key:
        what = f"{where}: broker.key"
        try:
            public.append(pem.check_key(pem_key.encode(), what))
        except UserError as error:
            yield str(error)
        if not pem_certificate:
            yield (
                f"{where}: broker.certificate = {certificate!r}: is not in [files], and its key is in "
                "[secrets]; allowed: both, or none and the box makes them"
            )
    if len(public) == 2 and public[0] != public[1]:  # noqa: PLR2004 - a pair
        yield f"{where}: broker.certificate, broker.key: the key does not belong to the certificate"
