"""Full check of a settings file: driver options, scenes, tours, models and keys, as the agent loads them.

The files are written to a temporary folder, and checked there as by `vigie check-config`.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.base import pem
from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.config import toml_writer
from agent.config.configuration import Config
from agent.config_change import config_check
from agent.console import login
from agent.provisioning.embedded_files import CONFIG_FILE, EmbeddedFiles
from agent.provisioning.file_references import iter_references, local_name

SHM_DIR = Path("/dev/shm")  # noqa: S108 - names in it are random
"""Files in memory: secrets are not written to a disk."""


def usable_shm_dir(folder: Path) -> Path | None:
    """Return the folder if it is writable, else None, tempfile's default."""
    return folder if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) else None


def find_problems(
    tables: dict[str, Any], config: Config, embedded: EmbeddedFiles, source: str
) -> list[str]:
    """Return a line for each problem that the agent would refuse. `config` is decoded from `tables`.

    Secrets are written too, so the temporary folder is in memory if possible.
    """
    with tempfile.TemporaryDirectory(prefix="vigie-settings-", dir=usable_shm_dir(SHM_DIR)) as name:
        folder = Path(name)
        for file, text in {**embedded.files, **embedded.secrets}.items():
            _write_private(folder / file, text)
        _write_private(folder / CONFIG_FILE, toml_writer.dumps(tables))
        found = [
            *map(str, config_check.find_problems(folder / CONFIG_FILE, SystemClock())),
            *_file_problems(folder, config, embedded, source),
        ]
        return [_relabel(line, folder, source) for line in found]


def _relabel(line: str, folder: Path, source: str) -> str:
    """Replace the path of the temporary folder with the name of the settings file."""
    line = line.replace(str(folder / CONFIG_FILE), source).replace(f"{folder}/", "")
    return line if line.startswith(f"{source}: ") else f"{source}: {line}"


def _write_private(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def _collect_error(check: Callable[[], object]) -> Iterator[str]:
    try:
        check()
    except UserError as error:
        yield str(error)


def _file_problems(
    folder: Path, config: Config, embedded: EmbeddedFiles, source: str
) -> Iterator[str]:
    broker, update, renewal = config.broker, config.update, config.renewal
    for key, ca in (
        ("broker.ca", broker.ca),
        ("update.ca", update.ca_file if update else None),
        ("renewal.ca_file", renewal.ca_file if renewal else None),
    ):
        if ca is not None:
            authorities = _embedded_text(ca, embedded).encode()
            yield from _collect_error(lambda: pem.load_authorities(authorities, f"{source}: {key}"))  # noqa: B023 - called at once
    if broker.certificate is not None and broker.key is not None:
        yield from _credential_problems(
            broker.certificate, broker.key, config.box.id, embedded, source
        )
    secret_file = local_name(config.console.secret_file)
    if secret_file is not None and embedded.secrets.get(secret_file):
        file = folder / secret_file
        for problem in _collect_error(lambda: login.read_secret(file)):
            yield f"{source}: secrets.{secret_file!r}: " + problem.removeprefix(
                f"secret {str(file)!r}: "
            )
    for reference in iter_references(config):
        name = reference.name
        if reference.is_secret and reference.key.endswith("password_file") and name is not None:
            text = embedded.secrets.get(name, "")
            if text and not text.rstrip("\r\n").isprintable():
                yield f"{source}: secrets.{name!r}: not a password; allowed: one line of text"


def _embedded_text(name: str | None, embedded: EmbeddedFiles) -> str:
    name = local_name(name or "") or ""
    return embedded.files.get(name) or embedded.secrets.get(name) or ""


def _credential_problems(
    certificate: str, key: str, box_id: str, embedded: EmbeddedFiles, source: str
) -> Iterator[str]:
    """Check the certificate and the key, and that they match if both are given."""
    public_keys: list[object] = []
    pem_key, pem_certificate = _embedded_text(key, embedded), _embedded_text(certificate, embedded)
    if local_name(certificate) == local_name(key):
        yield f"{source}: broker.certificate, broker.key: the same file; allowed: two files"
        return
    if pem_certificate:
        label = f"{source}: broker.certificate = {certificate!r}"
        try:
            certificate_key = pem.load_box_certificate(
                pem_certificate.encode(), box_id, label
            ).public_key()
            public_keys.append(certificate_key)
        except UserError as error:
            yield str(error)
    if pem_key:
        label = f"{source}: broker.key"
        try:
            public_keys.append(pem.load_public_key(pem_key.encode(), label))
        except UserError as error:
            yield str(error)
        if not pem_certificate:
            yield (
                f"{source}: broker.certificate = {certificate!r}: is not in [files], and its key is in "
                "[secrets]; allowed: both, or none: the box makes them"
            )
    if len(public_keys) == 2 and public_keys[0] != public_keys[1]:  # noqa: PLR2004 - a pair
        yield f"{source}: broker.certificate, broker.key: the key does not belong to the certificate"
