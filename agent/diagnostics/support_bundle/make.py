"""The wiring of `vigie bundle`: what a box has to tell, gathered without its secrets, and signed.

It needs no agent: a dead one is when a bundle is wanted most. What cannot be read is told as left out.
"""

import base64
import importlib.metadata
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent import __version__
from agent.base import atomic_file
from agent.base.clock import Clock, boot_id
from agent.base.device_identity import KEY_FILE, DeviceIdentity
from agent.base.errors import UserError
from agent.config import redaction, strict
from agent.config.redaction import Redactor
from agent.config.shareable_config import allowed, withheld
from agent.diagnostics.support_bundle.format import About, Content, LeftOut, build
from agent.diagnostics.support_bundle.sources import BundleSources, journal
from agent.health.health_file import runtime_folder
from agent.recording.segment_name import rfc3339

INSTALLED_STATE = "/var/lib/vigie"
INSTALLED_RUNTIME = Path("/run/vigie")
_SECRET_FILE_BYTES = 65_536
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


class BundleResult(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that was written."""

    path: Path
    size_bytes: int
    files: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    signed_by: str | None


def make(
    config: Path,
    out: Path,
    clock: Clock,
    *,
    root: Path = Path("/"),
    read_journal: Callable[[], bytes] = journal,
) -> BundleResult:
    """Write a bundle into a folder. `root` is where /proc and /sys are; `read_journal` gives the
    agent's journal, and raises OSError.

    Raises BadInput where the folder cannot be written to or the state is somebody else's.
    """
    tables, problem = _tables(config)
    state = _state(tables, config)
    identity = _identity(state)
    scrubber = _scrubber(tables, state, config.absolute().parent)
    now = clock.utc(clock.boottime_ns())
    box = _box(tables)
    gathering = BundleSources(
        state=state,
        runtime=_runtime(state),
        root=root,
        scrubber=scrubber,
        footage=_text(_table(tables, "record"), "folder") or "footage",
        certificate=_path(tables, config, "broker", "certificate"),
        read_journal=read_journal,
    )
    contents, left_out = gathering.all()
    if problem is None:
        shown = scrubber.value(allowed(tables))
        contents.insert(0, Content(name="config.json", data=_json(shown)))
    else:
        left_out.insert(0, LeftOut(name="config.json", why=scrubber.text(problem)))
    public_key = None if identity is None else base64.b64encode(identity.public_key_raw).decode()
    name = f"vigie-bundle-{box}-{now:%Y%m%dT%H%M%SZ}"
    data = build(
        name,
        About(
            box=box,
            made=rfc3339(now),
            clock_synced=clock.trust().synced,
            boot=boot_id(),
            versions=dict(_versions()),
        ),
        contents,
        left_out,
        public_key,
        None if identity is None else identity.sign,
    )
    path = out / f"{name}.tar.gz"
    _write(path, data)
    return BundleResult(
        path=path,
        size_bytes=len(data),
        files=tuple(content.name for content in contents),
        left_out=tuple(left_out),
        signed_by=public_key,
    )


def _tables(config: Path) -> tuple[dict[str, Any], str | None]:
    """The file's tables, whether or not they are a good configuration, and what is wrong with it."""
    try:
        return strict.parsed(config.read_text(encoding="utf-8"), str(config)), None
    except OSError as error:
        return {}, f"{config}: {error.strerror or error}"
    except (UserError, ValueError):
        # Without what it says: it may be the line of a password.
        return {}, f"{config}: no TOML"


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    table = tables.get(name)
    return table if isinstance(table, dict) else {}


def _text(table: dict[str, Any], key: str) -> str | None:
    value = table.get(key)
    return value if isinstance(value, str) and value else None


def _state(tables: dict[str, Any], config: Path) -> Path:
    return config.absolute().parent / (_text(_table(tables, "box"), "state") or INSTALLED_STATE)


def _runtime(state: Path) -> Path:
    """Where the agent writes how it is: this program may have been started beside systemd."""
    found = runtime_folder(state)
    return found if found.is_dir() or state != Path(INSTALLED_STATE) else INSTALLED_RUNTIME


def _path(tables: dict[str, Any], config: Path, table: str, key: str) -> Path | None:
    given = _text(_table(tables, table), key)
    return None if given is None else config.absolute().parent / given


def _box(tables: dict[str, Any]) -> str:
    """The box's id where it can be a file's name."""
    found = _text(_table(tables, "box"), "id") or ""
    good = found.isascii() and found.replace("-", "").replace("_", "").isalnum()
    return found[:64] if good else "unknown"


def _identity(state: Path) -> DeviceIdentity | None:
    """The box's key, None where it has none yet. Makes none."""
    key = state / "identity" / KEY_FILE
    try:
        owner = key.stat().st_uid
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise UserError(f"state folder {str(state)!r}: not yours to read") from error
    if owner != os.geteuid():
        raise UserError(
            f"state folder {str(state)!r}: belongs to the agent's user; "
            f"allowed: sudo -u '#{owner}' vigie bundle ..."
        )
    return DeviceIdentity.load_or_make(state / "identity")


def _scrubber(tables: dict[str, Any], state: Path, folder: Path) -> Redactor:
    """Knows every secret that this box has in its files."""
    secrets = list(withheld(tables))
    files = [folder / name for name in _secret_files(tables)]
    files += [folder / "console.secret", *sorted((state / "identity").glob("*"))]
    for file in files:
        try:
            with file.open("rb") as opened:
                secrets += redaction.of_file(
                    opened.read(_SECRET_FILE_BYTES).decode("utf-8", "replace")
                )
        except OSError:
            continue
    return Redactor(secrets, set(_texts(allowed(tables))))


def _secret_files(tables: Any, table: str = "") -> Iterator[str]:
    """The names of files that hold something secret, anywhere in a configuration."""
    if isinstance(tables, dict):
        for key, value in tables.items():
            secret = key.endswith(("password_file", "secret_file")) or (table, key) == (
                "broker",
                "key",
            )
            if secret and isinstance(value, str) and "\0" not in value:
                yield value
            else:
                yield from _secret_files(value, key)
    elif isinstance(tables, list):
        for one in tables:
            yield from _secret_files(one, table)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


def _versions() -> Iterator[tuple[str, str]]:
    yield "vigie", __version__
    yield "python", platform.python_version()
    yield "kernel", platform.release()
    yield "machine", platform.machine()
    for name in _LIBRARIES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and for this user alone. Raises BadInput."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.replace_atomically(path, data, 0o600)
    except OSError as error:
        raise UserError(f"--out {str(path.parent)!r}: {error.strerror or error}") from error
