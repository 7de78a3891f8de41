"""What the agent's user does of the first boot: it takes settings in, beside what the box has by now.

Everything here is in folders of that user, so nothing of it is done by root, who could be led elsewhere
by a link. What it finds is told to root in one message.
"""

import hashlib
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import msgspec

from agent.base.device_identity import KEY_FILE, DeviceIdentity
from agent.base.errors import UserError
from agent.config import strict, toml_writer
from agent.provisioning import atomic_folder as folders
from agent.provisioning import network as networking
from agent.provisioning.atomic_folder import NewFile
from agent.provisioning.embedded_files import CONFIG_FILE, NAME, NETWORK_FILE
from agent.provisioning.file_references import name_of
from agent.provisioning.network import Network
from agent.provisioning.settings import (
    BadSettings,
    BoxSettings,
    is_host_name,
    parse,
    without_secrets,
)

APPLIED_FILE = ".provisioned"
IDENTITY = "identity"

Kind = Literal["waiting", "kept", "unchanged", "refused", "applied", "failed"]
"""waiting: no settings, and the box has none; kept: no settings, and it has them; unchanged: they are
those that it has; refused: they are wrong; applied: they were taken in; failed: the disk did not let it."""


class BoxFolders(msgspec.Struct, frozen=True, kw_only=True):
    """Where the agent looks for its configuration, and its state folder; `where` is the settings file,
    for messages.
    """

    folder: Path
    state: Path
    where: str


class ProvisioningResult(msgspec.Struct, frozen=True, kw_only=True):
    """`lines` are to be told. `box` is who the box is now. `request` belongs on the card, and `left` in
    place of the settings file.
    """

    kind: Kind
    box: str | None = None
    is_first: bool = False
    lines: tuple[str, ...] = ()
    request: str | None = None
    left: bytes | None = None
    network: Network = Network()


class _Applied(msgspec.Struct, frozen=True, kw_only=True):
    """Which settings the box has: the digests of the file as it was given and as it was left on the
    card, and the files that came with it.
    """

    given: str
    left: str
    names: tuple[str, ...]


def apply_settings(data: bytes | None, places: BoxFolders) -> ProvisioningResult:
    """Take the settings in, if they are good and new. Whatever the disk refuses, the outcome has the box
    and the network as they stand.
    """
    try:
        folders.recover(places.folder)
        kind, lines, left = _evaluate(data, places)
        request = _request_out(places)
    except OSError as error:
        what = error.filename or f"{places.folder}, {places.state}"
        return current_state(places, f"{what}: {error.strerror or error}")
    return msgspec.structs.replace(
        current_state(places, *lines),
        kind="applied" if kind == "first" else kind,
        is_first=kind == "first",
        request=request,
        left=left,
    )


def current_state(places: BoxFolders, *lines: str) -> ProvisioningResult:
    """Who the box is, and its network: what counts where settings could not be taken in. Only reads."""
    network, trouble = _network(places.folder)
    return ProvisioningResult(
        kind="failed", box=_box(places.folder), lines=(*lines, *trouble), network=network
    )


def _request_out(places: BoxFolders) -> str | None:
    box = _box(places.folder)
    if box is None:
        return None
    # Here, because most starts have no request, and it takes its time to load.
    from agent.provisioning.tls_credentials import request_out  # noqa: PLC0415

    return request_out(places.state, box)


def _evaluate(
    data: bytes | None, places: BoxFolders
) -> tuple[Kind | Literal["first"], tuple[str, ...], bytes | None]:
    is_there = (places.folder / CONFIG_FILE).exists()
    if data is None:
        return ("kept" if is_there else "waiting"), (), None
    applied = _applied(places.folder) if is_there else None
    digest = _digest(data)
    if applied is not None and digest in (applied.left, applied.given):
        # As it was given: a cut came before the secrets were taken out of it.
        left = without_secrets(data) if digest != applied.left else None
        return "unchanged", (), left
    try:
        settings = parse(data, places.where)
        _check_same_box(settings, places)
    except BadSettings as error:
        return "refused", error.problems, None
    lines = _apply(settings, places, () if applied is None else applied.names)
    return ("applied" if is_there else "first"), lines, without_secrets(data)


def _check_same_box(settings: BoxSettings, places: BoxFolders) -> None:
    """A box that has signed as one may not become another. Raises BadSettings."""
    now = _box(places.folder)
    has_signed = (places.state / IDENTITY / KEY_FILE).exists()
    if now is not None and now != settings.box and has_signed:
        problem = (
            f"{places.where}: box.id = {settings.box!r}: this box is {now!r}, and has signed as that; "
            f"allowed: {now!r}, or a box that is flashed anew"
        )
        raise BadSettings([problem])


def _apply(settings: BoxSettings, places: BoxFolders, before: Collection[str]) -> tuple[str, ...]:
    from agent.provisioning import tls_credentials as pairs  # noqa: PLC0415 - as above

    identity = DeviceIdentity.load_or_make(places.state / IDENTITY)
    pair = pairs.resolve_credentials(settings, places.folder, places.state)
    files, lines = _files(settings, places.folder, pair.names)
    files |= pair.files
    names = files.keys() | pair.names | settings.enclosed.secrets.keys()
    left = without_secrets(settings.data) or settings.data
    applied = _Applied(given=_digest(settings.data), left=_digest(left), names=tuple(sorted(names)))
    files[APPLIED_FILE] = NewFile(data=msgspec.json.encode(applied))
    folders.replace(places.folder, files, _gone(before, names))
    if pair.spends_request:
        pairs.spend_request(places.state)
    lines += list(pair.notes)
    if identity.set_aside is not None:
        lines.append(f"the box's key was damaged: it has a new one, and kept {identity.set_aside}")
    return tuple(lines)


def _files(
    settings: BoxSettings, folder: Path, of_pair: Collection[str]
) -> tuple[dict[str, NewFile], list[str]]:
    """What lies beside the configuration but for the pair, and what there is to tell about it."""
    lines: list[str] = []
    network = msgspec.to_builtins(settings.network)
    given = {key: value for key, value in network.items() if value is not None}
    files = {
        CONFIG_FILE: NewFile(data=toml_writer.text(settings.tables).encode()),
        NETWORK_FILE: NewFile(data=toml_writer.text(given).encode()),
    }
    for name, text in settings.enclosed.files.items():
        if name not in of_pair:
            files[name] = NewFile(data=text.encode())
    console = name_of(settings.config.console.secret_file)
    for name, text in settings.enclosed.secrets.items():
        if name in of_pair:
            continue
        if text:
            files[name] = NewFile(data=text.encode(), mode=0o600)
        elif _is_lacking(folder / name):
            if name == console:
                lines.append(
                    f"the box has no {name!r}: no code opens its console until it is given"
                )
            else:
                # Empty, since the agent refuses to start without a file that it is told to read.
                files[name] = NewFile(data=b"", mode=0o600)
                lines.append(
                    f"the box has no {name!r}: what needs it does not work until it is given"
                )
    return files, lines


def _is_lacking(secret: Path) -> bool:
    """Whether it is not there, or only its place is kept."""
    try:
        return secret.stat().st_size == 0
    except FileNotFoundError:
        return True


def _gone(before: Collection[str], names: Collection[str]) -> set[str]:
    return {name for name in before if NAME.fullmatch(name)} - set(names)


def _applied(folder: Path) -> _Applied | None:
    try:
        return msgspec.json.decode((folder / APPLIED_FILE).read_bytes(), type=_Applied)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _box(folder: Path) -> str | None:
    """Who the box is by its configuration; None where it has none that tells."""
    try:
        box = tomllib.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))["box"]["id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return box if isinstance(box, str) and is_host_name(box) else None


def _network(folder: Path) -> tuple[Network, tuple[str, ...]]:
    """That of the box; what it asks DHCP for where it has none that is good."""
    path = folder / NETWORK_FILE
    try:
        if not path.exists():
            return Network(), ()
        network = strict.into(strict.read_toml(path, "network"), Network, str(path), "network")
    except UserError as error:
        return Network(), (str(error),)
    except OSError as error:
        return Network(), (f"{path}: {error.strerror or error}",)
    problems = tuple(networking.problems(network, str(path)))
    return (Network(), problems) if problems else (network, ())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
