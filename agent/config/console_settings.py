"""Settings of the console, also from an invalid configuration: its repair may be the technician's task."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.base.checked_convert import convert
from agent.base.errors import UserError
from agent.base.message import Message, Text
from agent.config import configuration
from agent.config.configuration import BoxConfig, Config
from agent.config.console import ConsoleConfig
from agent.config.file_paths import resolve_paths
from agent.config.names import Name
from agent.config.toml_decode import read_toml

UNKNOWN_BOX = "unknown"


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one box. `config` is None if the file is not valid; the rest is what can be read."""

    path: Path
    config: Config | None
    box_id: str
    site: Text
    state_dir: Path
    console: ConsoleConfig


def read(path: Path, environ: Mapping[str, str] = os.environ) -> ConsoleSettings:
    """Read a configuration file; an invalid one gives what can be read of it."""
    try:
        config = configuration.load(path)
    except UserError:
        return _read_invalid(path, environ)
    return ConsoleSettings(
        path=path,
        config=config,
        box_id=config.box.id,
        site=config.box.site,
        state_dir=Path(config.box.state),
        console=config.console,
    )


def _read_invalid(path: Path, environ: Mapping[str, str]) -> ConsoleSettings:
    folder = path.absolute().parent
    try:
        tables = read_toml(path, "configuration")
    except UserError:
        tables = {}
    try:
        console = convert(tables.get("console", {}), ConsoleConfig, str(path))
    except UserError:
        console = ConsoleConfig()
    box: dict[str, Any] = tables["box"] if isinstance(tables.get("box"), dict) else {}
    default_state_dir = (
        environ.get("STATE_DIRECTORY", "").split(":")[0]
        or BoxConfig(id=UNKNOWN_BOX, site="-").state
    )
    box_id, site, state_dir = box.get("id"), box.get("site"), box.get("state")
    return ConsoleSettings(
        path=path,
        config=None,
        box_id=_valid_name(box_id) or UNKNOWN_BOX,
        site=site if isinstance(site, str) else Message("its configuration is not valid"),
        state_dir=folder / (state_dir if isinstance(state_dir, str) else default_state_dir),
        console=resolve_paths(console, folder, "console"),
    )


def _valid_name(value: object) -> str | None:
    try:
        return msgspec.convert(value, Name)
    except msgspec.ValidationError:
        return None
