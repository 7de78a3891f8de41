"""`vigie bundle`: collect a box's state and logs, redact its secrets, sign the bundle.

Needs no running agent: a bundle matters most when the agent is dead. The manifest lists files that
cannot be read as omitted.
"""

import base64
import importlib.metadata
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent import __version__
from agent.base import atomic_file
from agent.base.clock import Clock, boot_id, rfc3339
from agent.base.device_identity import DeviceIdentity
from agent.base.errors import UserError
from agent.base.json_format import encode_indented
from agent.base.message import Message
from agent.config import redaction, toml_decode
from agent.config.redaction import Redactor, redact_config, redacted_texts
from agent.diagnostics.support_bundle.archive_format import (
    BundleFile,
    OmittedFile,
    SupportBundleInfo,
    build_bundle,
)
from agent.diagnostics.support_bundle.sources import SupportBundleSources, query_journal
from agent.health.health_file import get_runtime_dir
from agent.reporting.renewal import credentials

_MAX_SECRET_FILE_BYTES = 65_536
_LIBRARIES = (
    "ai-edge-litert",
    "av",
    "cryptography",
    "msgspec",
    "numpy",
    "opencv-python-headless",
    "paho-mqtt",
    "picamera2",
    "lgpio",
)


class SupportBundleResult(msgspec.Struct, frozen=True, kw_only=True):
    """A written bundle. `config_error`: why the configuration, and the state that it names, are not in it."""

    path: Path
    config_error: str | None
    size_bytes: int
    files: tuple[str, ...]
    omitted: tuple[OmittedFile, ...]
    signed_by: str | None


def format_result(result: SupportBundleResult) -> list[Message]:
    """Format a written bundle for a terminal."""
    return [
        Message(
            "Written: {path}: {count} files, {size_kb:.0f} kB",
            path=str(result.path),
            count=len(result.files),
            size_kb=result.size_bytes / 1e3,
        ),
        *(
            Message("  left out: {name}: {reason}", name=item.name, reason=item.reason)
            for item in result.omitted
        ),
        Message("  not signed: this box has no key yet")
        if result.signed_by is None
        else Message("  signed by {key}", key=result.signed_by),
    ]


def make_bundle(
    config: Path,
    out_folder: Path,
    clock: Clock,
    *,
    default_state_dir: Path,
    root: Path = Path("/"),
    read_journal: Callable[[], bytes] = query_journal,
) -> SupportBundleResult:
    """Write a bundle into a folder.

    `default_state_dir` is the box's state folder if the configuration names none. `root` is the folder of /proc and /sys.
    `read_journal` returns the agent's journal, and raises OSError. Raises UserError if the folder cannot be written to or another user owns the state.
    """
    tables, config_error = _read_tables(config)
    state_dir = _state_dir(tables, config, default_state_dir)
    identity = DeviceIdentity.load_existing(state_dir, "bundle")
    redactor = _make_redactor(tables, state_dir, config.absolute().parent)
    now = clock.utc(clock.boottime_ns())
    box_id = _box_id(tables)
    sources = SupportBundleSources(
        state_dir=state_dir,
        runtime_dir=get_runtime_dir(state_dir),
        root=root,
        redactor=redactor,
        footage_folder=_text(_table(tables, "record"), "folder") or "footage",
        certificate_file=_certificate_file(tables, config, state_dir),
        read_journal=read_journal,
    )
    bundle_files, omitted = sources.collect()
    if config_error is None:
        redacted = redactor.redact(redact_config(tables))
        bundle_files.insert(0, BundleFile(name="config.json", data=encode_indented(redacted)))
    else:
        omitted.insert(
            0, OmittedFile(name="config.json", reason=redactor.redact_text(config_error))
        )
    public_key = None if identity is None else base64.b64encode(identity.public_key_raw).decode()
    name = f"vigie-bundle-{box_id}-{now:%Y%m%dT%H%M%SZ}"
    data = build_bundle(
        name,
        SupportBundleInfo(
            box=box_id,
            created_time=rfc3339(now),
            clock_synced=clock.trust().synced,
            boot=boot_id(),
            versions=dict(_iter_versions()),
        ),
        bundle_files,
        omitted,
        public_key,
        None if identity is None else identity.sign,
    )
    path = out_folder / f"{name}.tar.gz"
    _write_private(path, data)
    return SupportBundleResult(
        path=path,
        config_error=config_error,
        size_bytes=len(data),
        files=tuple(content.name for content in bundle_files),
        omitted=tuple(omitted),
        signed_by=public_key,
    )


def _read_tables(config: Path) -> tuple[dict[str, Any], str | None]:
    """Return the tables of a configuration, valid or not, and its error or None."""
    try:
        return toml_decode.parse_toml(config.read_text(encoding="utf-8"), str(config)), None
    except OSError as error:
        return {}, f"{config}: {error.strerror or error}"
    except (UserError, ValueError):
        # Without the parser's message: it may quote a line with a password.
        return {}, f"{config}: not valid TOML"


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    table = tables.get(name)
    return table if isinstance(table, dict) else {}


def _text(table: dict[str, Any], key: str) -> str | None:
    value = table.get(key)
    return value if isinstance(value, str) and value else None


def _state_dir(tables: dict[str, Any], config: Path, default: Path) -> Path:
    return _config_path(tables, config, "box", "state") or default


def _config_path(tables: dict[str, Any], config: Path, table: str, key: str) -> Path | None:
    configured = _text(_table(tables, table), key)
    return None if configured is None else config.absolute().parent / configured


def _certificate_file(tables: dict[str, Any], config: Path, state_dir: Path) -> Path | None:
    """Return the file of the renewed certificate if there is one, else that of the configuration."""
    renewed = state_dir / credentials.FOLDER / credentials.CREDENTIALS_FILE
    is_renewed = bool(_table(tables, "renewal")) and renewed.exists()
    return renewed if is_renewed else _config_path(tables, config, "broker", "certificate")


def _box_id(tables: dict[str, Any]) -> str:
    """Return the box's id if it can be a file's name."""
    box_id = _text(_table(tables, "box"), "id") or ""
    is_valid = box_id.isascii() and box_id.replace("-", "").replace("_", "").isalnum()
    return box_id[:64] if is_valid else "unknown"


def build_redactor(config: Path, default_state_dir: Path) -> Redactor:
    """Return a redactor of every secret in the files of the box with this configuration."""
    tables, _ = _read_tables(config)
    state_dir = _state_dir(tables, config, default_state_dir)
    return _make_redactor(tables, state_dir, config.absolute().parent)


def _make_redactor(tables: dict[str, Any], state_dir: Path, folder: Path) -> Redactor:
    secrets = list(redacted_texts(tables))
    files = [folder / name for name in _iter_secret_files(tables)]
    files += [folder / "console.secret", *sorted((state_dir / "identity").glob("*"))]
    files += sorted((state_dir / credentials.FOLDER).glob("*"))
    for file in files:
        try:
            with file.open("rb") as stream:
                secrets += redaction.secrets_in_file(
                    stream.read(_MAX_SECRET_FILE_BYTES).decode("utf-8", "replace")
                )
        except OSError:
            continue
    return Redactor(secrets, set(_iter_texts(redact_config(tables))))


def _iter_secret_files(tables: Any, table: str = "") -> Iterator[str]:
    """Yield the paths of all files with secrets that a configuration names."""
    if isinstance(tables, dict):
        for key, value in tables.items():
            is_secret_file = key.endswith(("password_file", "secret_file")) or (table, key) == (
                "broker",
                "key",
            )
            if is_secret_file and isinstance(value, str) and "\0" not in value:
                yield value
            else:
                yield from _iter_secret_files(value, key)
    elif isinstance(tables, list):
        for item in tables:
            yield from _iter_secret_files(item, table)


def _iter_texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _iter_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _iter_texts(item)
    elif isinstance(value, str):
        yield value


def _iter_versions() -> Iterator[tuple[str, str]]:
    yield "vigie", __version__
    yield "python", platform.python_version()
    yield "kernel", platform.release()
    yield "machine", platform.machine()
    for name in _LIBRARIES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _write_private(path: Path, data: bytes) -> None:
    """Write atomically, readable by this user only. Raises UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.replace_atomically(path, data, 0o600)
    except OSError as error:
        raise UserError(f"--out {str(path.parent)!r}: {error.strerror or error}") from error
