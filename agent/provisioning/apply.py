"""Apply a settings file to the box, as the agent's user.

All files are in folders of that user: root does not write there, because a link could redirect it. The result is
returned to root in one message.
"""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from agent.base import checked_convert
from agent.base.device_identity import IDENTITY_DIR, KEY_FILE, DeviceIdentity
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.json_decode import MalformedJson, decode_json
from agent.base.sha256 import sha256_hex
from agent.config import toml_decode, toml_writer
from agent.config.commit_confirm import PENDING_SUFFIX
from agent.provisioning import atomic_folder, board_config, network_config, time_config
from agent.provisioning.atomic_folder import NewFile
from agent.provisioning.board_config import BoardConfig
from agent.provisioning.network_config import NetworkConfig
from agent.provisioning.settings import (
    CONFIG_FILE,
    IMAGE_FILES,
    MAX_FILE_BYTES,
    NAME_PATTERN,
    BoxFacts,
    BoxSettings,
    InvalidSettings,
    check_settings,
    is_host_name,
    local_name,
    parse_tables,
    scrub_secrets,
)
from agent.provisioning.time_config import TimeConfig

APPLIED_FILE = ".provisioned"
_MAX_RECORD_BYTES = 65_536
_Table = TypeVar("_Table", NetworkConfig, TimeConfig, BoardConfig)

ResultKind = Literal[
    "unprovisioned", "no_settings_file", "unchanged", "refused", "applied", "failed"
]
"""unprovisioned: no settings file, and the box has none; no_settings_file: the box has its own; unchanged:
the file is the one applied before; refused: it has mistakes; applied; failed: the disk refused."""


class BoxFolders(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's configuration and state folders, and the list of the image's overlays. `source` names the
    settings file in messages.
    """

    config_dir: Path
    state_dir: Path
    overlay_list: Path
    source: str


class ProvisioningResult(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome. `lines` are for the technician; `certificate_request` goes to the card, and `scrubbed_settings`
    replace the settings file there.
    """

    kind: ResultKind
    box_id: str | None = None
    is_first: bool = False
    lines: tuple[str, ...] = ()
    certificate_request: str | None = None
    scrubbed_settings: bytes | None = None
    network: NetworkConfig = NetworkConfig()
    time: TimeConfig = TimeConfig()
    time_ca: str | None = None
    """The text of the file `time.ca`."""
    board: BoardConfig = BoardConfig()


class _AppliedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The applied settings file: its digest as given and as scrubbed on the card, and the files it brought."""

    original_sha256: str
    scrubbed_sha256: str
    files: tuple[str, ...]


def apply_settings(data: bytes | None, box_folders: BoxFolders) -> ProvisioningResult:
    """Apply the settings if they are valid and new. After a disk error the result has the current state."""
    try:
        atomic_folder.recover(box_folders.config_dir)
        kind, lines, scrubbed = _evaluate(data, box_folders)
        certificate_request = _pending_request(box_folders)
    except OSError as error:
        path = error.filename or f"{box_folders.config_dir}, {box_folders.state_dir}"
        return current_state(box_folders, f"{path}: {error.strerror or error}")
    return msgspec.structs.replace(
        current_state(box_folders, *lines),
        kind="applied" if kind == "first" else kind,
        is_first=kind == "first",
        certificate_request=certificate_request,
        scrubbed_settings=scrubbed,
    )


def current_state(box_folders: BoxFolders, *lines: str) -> ProvisioningResult:
    """Return the box's id and network without applying anything; read-only."""
    config_dir = box_folders.config_dir
    network, network_errors = _read_table(
        config_dir,
        "network",
        NetworkConfig(),
        network_config.iter_network_problems,
    )
    time, time_errors = _read_table(
        config_dir, "time", TimeConfig(), time_config.iter_time_problems
    )
    board, board_errors = _read_table(
        config_dir, "board", BoardConfig(), board_config.iter_board_problems
    )
    time_ca = None
    if time.ca is not None:
        try:
            time_ca = _read_ca(config_dir, time.ca)
        except (OSError, UnicodeDecodeError) as error:
            # No time server, rather than one that any authority vouches for.
            time, time_errors = TimeConfig(), (*time_errors, f"time.ca = {time.ca!r}: {error}")
    return ProvisioningResult(
        kind="failed",
        box_id=_read_box_id(config_dir),
        lines=(*lines, *network_errors, *time_errors, *board_errors),
        network=network,
        time=time,
        time_ca=time_ca,
        board=board,
    )


def _pending_request(box_folders: BoxFolders) -> str | None:
    box_id = _read_box_id(box_folders.config_dir)
    if box_id is None:
        return None
    # Imported late: most boots have no request, and the import is slow.
    from agent.provisioning.enrolment import pending_request  # noqa: PLC0415

    return pending_request(box_folders.state_dir, box_id)


def _evaluate(
    data: bytes | None, box_folders: BoxFolders
) -> tuple[ResultKind | Literal["first"], tuple[str, ...], bytes | None]:
    has_config = (box_folders.config_dir / CONFIG_FILE).exists()
    if data is None:
        return ("no_settings_file" if has_config else "unprovisioned"), (), None
    applied = _read_applied(box_folders.config_dir) if has_config else None
    digest = sha256_hex(data)
    if applied is not None and digest == applied.scrubbed_sha256:
        return "unchanged", (), None
    try:
        tables = parse_tables(data, box_folders.source)
        scrubbed = scrub_secrets(tables)
        if applied is not None and digest == applied.original_sha256:
            # As given: a power cut came before the secrets were removed from it.
            return "unchanged", (), scrubbed
        settings = check_settings(tables, data, box_folders.source, _read_facts(box_folders))
    except InvalidSettings as error:
        return "refused", error.problems, None
    record = _AppliedRecord(
        original_sha256=digest,
        scrubbed_sha256=digest if scrubbed is None else sha256_hex(scrubbed),
        files=(),
    )
    lines = _apply(settings, box_folders, record, () if applied is None else applied.files)
    return ("applied" if has_config else "first"), lines, scrubbed


def _read_facts(box_folders: BoxFolders) -> BoxFacts:
    has_signed = (box_folders.state_dir / IDENTITY_DIR / KEY_FILE).exists()
    try:
        overlays = box_folders.overlay_list.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        overlays = []
    return BoxFacts(
        signing_id=_read_box_id(box_folders.config_dir) if has_signed else None, overlays=overlays
    )


def _apply(
    settings: BoxSettings,
    box_folders: BoxFolders,
    record: _AppliedRecord,
    previous_names: Collection[str],
) -> tuple[str, ...]:
    from agent.provisioning import enrolment  # noqa: PLC0415 - as above

    identity = DeviceIdentity.load_or_create(box_folders.state_dir / IDENTITY_DIR)
    files, lines = _build_files(settings, box_folders.config_dir)
    credentials = enrolment.resolve_credentials(
        settings, box_folders.config_dir, box_folders.state_dir
    )
    files |= credentials.files
    names = files.keys() | credentials.names | settings.embedded.secrets.keys()
    applied = msgspec.structs.replace(record, files=tuple(sorted(names)))
    files[APPLIED_FILE] = NewFile(data=msgspec.json.encode(applied))
    # A change that a technician has on trial ends with these settings: no boot rolls them back.
    trial = box_folders.config_dir / f"{CONFIG_FILE}{PENDING_SUFFIX}"
    obsolete = {name for name in previous_names if NAME_PATTERN.fullmatch(name)} - names
    if trial.is_file():
        obsolete.add(trial.name)
    atomic_folder.replace_files(box_folders.config_dir, files, obsolete)
    if credentials.consumes_request:
        enrolment.delete_request_key(box_folders.state_dir)
    lines += list(credentials.notes)
    if identity.damaged_key_file is not None:
        lines.append(
            f"the box's signing key was damaged: a new one was made, the old one kept as {identity.damaged_key_file}"
        )
    return tuple(lines)


def _build_files(settings: BoxSettings, config_dir: Path) -> tuple[dict[str, NewFile], list[str]]:
    """Build the files next to the configuration, except the TLS credentials, and lines about missing ones."""
    credential_names = settings.key_names or ()
    lines: list[str] = []
    files = {
        name: NewFile(data=toml_writer.dumps(tables).encode())
        for name, tables in settings.toml_files.items()
    }
    for name, text in settings.embedded.files.items():
        if name not in credential_names:
            files[name] = NewFile(data=text.encode())
    for name, text in settings.embedded.secrets.items():
        if name in credential_names:
            continue
        if text:
            files[name] = NewFile(data=text.encode(), mode=0o600)
        elif _is_missing_or_empty(config_dir / name):
            if name == settings.console_secret_name:
                lines.append(
                    f"the box has no {name!r}: no code opens its console until it is given"
                )
            else:
                # Empty, because the agent refuses to start if a configured file is missing.
                files[name] = NewFile(data=b"", mode=0o600)
                lines.append(
                    f"the box has no {name!r}: what needs it does not work until it is given"
                )
    return files, lines


def _is_missing_or_empty(secret: Path) -> bool:
    """Return whether the secret is missing, or an empty placeholder."""
    try:
        return secret.stat().st_size == 0
    except FileNotFoundError:
        return True


def _read_ca(config_dir: Path, value: str) -> str:
    """Read a file next to the configuration. Raises: OSError, UnicodeDecodeError."""
    name = local_name(value)
    if name is None:
        raise OSError(f"not a file of {config_dir}")
    return read_regular_file(config_dir / name, MAX_FILE_BYTES).decode()


def _read_applied(config_dir: Path) -> _AppliedRecord | None:
    try:
        return decode_json(
            read_regular_file(config_dir / APPLIED_FILE, _MAX_RECORD_BYTES), _AppliedRecord
        )
    except PermissionError:
        raise
    except (OSError, MalformedJson):
        return None


def _read_box_id(config_dir: Path) -> str | None:
    """Read the box's id from its configuration, or None."""
    try:
        box_id = toml_decode.read_toml(config_dir / CONFIG_FILE, "configuration")["box"]["id"]
    except (UserError, KeyError, TypeError):
        return None
    return box_id if isinstance(box_id, str) and is_host_name(box_id) else None


def _read_table(
    config_dir: Path,
    name: str,
    default: _Table,
    find_problems: Callable[[_Table, str], Iterator[str]],
) -> tuple[_Table, tuple[str, ...]]:
    """Read a table of the settings that the agent does not need; an invalid one counts as left out."""
    path = config_dir / IMAGE_FILES[name]
    try:
        if not path.exists():
            return default, ()
        table = checked_convert.convert(
            toml_decode.read_toml(path, name), type(default), str(path), name
        )
    except UserError as error:
        return default, (str(error),)
    except OSError as error:
        return default, (f"{path}: {error.strerror or error}",)
    problems = tuple(find_problems(table, str(path)))
    return (default, problems) if problems else (table, ())
