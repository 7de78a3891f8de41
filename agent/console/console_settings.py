"""What a console begins with: of a configuration as much as can be read, since a broken one is just
what a technician may have come for.
"""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.base.errors import UserError
from agent.config import configuration
from agent.config import console as console_config
from agent.config.configuration import BoxConfig, Config
from agent.config.console import ConsoleConfig
from agent.config.names import Name
from agent.config.strict import into, read_toml
from agent.console.login import Authenticator, read_secret

UNKNOWN_BOX = "unknown"


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`config` is None where the file is not good; the rest is what could be made out of it."""

    path: Path
    config: Config | None
    box: str
    site: str
    state: Path
    console: ConsoleConfig


def read(path: Path, environ: Mapping[str, str] = os.environ) -> ConsoleSettings:
    """Read a configuration file, good or not. Raises nothing of it."""
    try:
        config = configuration.load(path)
    except UserError:
        return _of_a_bad_one(path, environ)
    return ConsoleSettings(
        path=path,
        config=config,
        box=config.box.id,
        site=config.box.site,
        state=Path(config.box.state),
        console=config.console,
    )


def _of_a_bad_one(path: Path, environ: Mapping[str, str]) -> ConsoleSettings:
    folder = path.absolute().parent
    try:
        tables = read_toml(path, "configuration")
    except UserError:
        tables = {}
    try:
        console = into(tables.get("console", {}), ConsoleConfig, str(path))
    except UserError:
        console = ConsoleConfig()
    box: dict[str, Any] = tables["box"] if isinstance(tables.get("box"), dict) else {}
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    state = box.get("state", given or BoxConfig.__struct_defaults__[-1])
    named, site = box.get("id"), box.get("site")
    return ConsoleSettings(
        path=path,
        config=None,
        box=_name(named) or UNKNOWN_BOX,
        site=site if isinstance(site, str) else "its configuration is not good",
        state=folder / (state if isinstance(state, str) else given),
        console=console_config.anchored(console, folder),
    )


def _name(value: object) -> str | None:
    try:
        return msgspec.convert(value, Name)
    except msgspec.ValidationError:
        return None


def gate_of(settings: ConsoleSettings) -> tuple[Authenticator, str | None]:
    """Who may come in; and why there are no codes, where the secret's file is there and no good."""
    problem, secret = None, None
    file = Path(settings.console.secret_file)
    if file.exists():
        try:
            secret = read_secret(file)
        except UserError as error:
            problem = str(error)
    technicians = settings.console.technician
    times = Counter(one.id for one in technicians)
    # A bad configuration may name two by one id: nobody can tell who that is, so neither comes in.
    keys = {one.id: one.public_key for one in technicians if times[one.id] == 1}
    return Authenticator(settings.box, secret, keys, os.urandom), problem
