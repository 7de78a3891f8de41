"""The first boot, as root sees it, and each boot after: settings from the card, network, host name.

What lies in the agent's folders is done by the agent's user, see `inside`. Whatever goes wrong there,
the box gets a network and the console tells why.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.base.device_identity import STATE_LOST
from agent.provisioning import apply, status_display
from agent.provisioning import boot_partition as card
from agent.provisioning import network as networking
from agent.provisioning.apply import BoxFolders, ProvisioningResult
from agent.provisioning.network import Network
from agent.provisioning.run_as_user import ChildFailed, as_user
from agent.provisioning.settings import FILE_NAME
from agent.provisioning.status_display import Light

STATE_VOLATILE = "run/vigie-state-volatile"
"""Beneath the root: the initramfs leaves it where no partition of the state could be opened, and the
folders of the configuration and the state are in memory."""

log = logging.getLogger(__name__)

WITHIN_S = 90
"""So long the settings may take. The unit gives up after 120 s, and the network is to be set before."""
_READING_WITHIN_S = 10
"""So long it may take to read what stands, after that."""
_NETWORK = "run/systemd/network"
_HOST_NAME = "proc/sys/kernel/hostname"


class BootPaths(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is. `root` is where the machine's dev, proc, run and sys are looked for."""

    card: Path
    folder: Path
    state: Path
    user: str
    root: Path


def boot(given: BootPaths) -> int:
    """Do it all, and tell. The exit code: 0 done, or nothing to do; 1 it failed; 2 the settings are
    wrong. Raises BadInput.
    """
    trouble: list[str] = []
    data = None
    try:
        data = card.settings(given.card)
    except OSError as error:
        # What a cut has left in the box is put right all the same.
        trouble.append(_why(error))
    outcome = _taken_in(data, given, trouble)
    if outcome is not None and _is_volatile(given):
        # It ends with the power: the card keeps the secrets, and gets no request of a key that will not be.
        outcome = msgspec.structs.replace(outcome, request=None, left=None)
    _try(trouble, lambda: _set_network(given.root, outcome.network if outcome else Network()))
    if outcome is not None:
        _set_host_name(given.root, outcome.box)
        if data is not None:
            # Without settings it may be no card of ours, or no card at all.
            _try(trouble, lambda: _put_on_card(given.card, outcome))
    return _tell(given, outcome, trouble)


def _put_on_card(folder: Path, outcome: ProvisioningResult) -> None:
    card.tidy(folder)
    if outcome.box is not None and outcome.request is not None:
        card.put_request(folder, outcome.box, outcome.request)
    if outcome.left is not None:
        # Last: until then the file as it was given says that there is something to do.
        card.write_scrubbed_settings(folder, outcome.left)


def _try(trouble: list[str], do: Callable[[], None]) -> None:
    try:
        do()
    except OSError as error:
        trouble.append(_why(error))


def _why(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _is_volatile(given: BootPaths) -> bool:
    return (given.root / STATE_VOLATILE).exists()


def _taken_in(
    data: bytes | None, given: BootPaths, trouble: list[str]
) -> ProvisioningResult | None:
    """What came of the settings; how the box stands, where nobody can tell; None if not even that."""
    places = BoxFolders(folder=given.folder, state=given.state, where=FILE_NAME)
    try:
        return _by_user(given, lambda: apply.apply_settings(data, places), WITHIN_S)
    except (ChildFailed, OSError) as error:
        trouble.append(f"{error}; see journalctl -u vigie-provision")
    try:
        return _by_user(given, lambda: apply.current_state(places), _READING_WITHIN_S)
    except (ChildFailed, OSError):
        trouble.append(f"{given.folder} cannot be read either: every port asks DHCP")
        return None


def _by_user(
    given: BootPaths, work: Callable[[], ProvisioningResult], within_s: int
) -> ProvisioningResult:
    """Raises ChildFailed and OSError."""
    said = as_user(given.user, lambda: msgspec.json.encode(work()), within_s)
    return msgspec.json.decode(said, type=ProvisioningResult)


def _set_network(root: Path, network: Network) -> None:
    folder = root / _NETWORK
    folder.mkdir(parents=True, exist_ok=True)
    files = networking.rendered(network)
    for name in (networking.MINE, networking.OTHERS):
        if name in files:
            (folder / name).write_text(files[name], encoding="ascii")
            # systemd-networkd has a user of its own.
            (folder / name).chmod(0o644)
        else:
            (folder / name).unlink(missing_ok=True)


def _set_host_name(root: Path, box: str | None) -> None:
    """Only what the kernel says: /etc does not last, and nobody asks it."""
    path = root / _HOST_NAME
    try:
        if box is not None and path.read_text(encoding="ascii").strip() != box:
            path.write_text(box, encoding="ascii")
    except OSError as error:
        log.warning("host name: %s: %s", path, error.strerror or error)


def _tell(given: BootPaths, outcome: ProvisioningResult | None, trouble: list[str]) -> int:
    code, light, title, lines = _words(given, outcome)
    if (trouble or _is_volatile(given)) and code == 0 and light == "own":
        # A title with the box's name is for when all is well, see `_correct_result`.
        lines = [title.removeprefix(_TITLE), *lines] if title else lines
        title = f"{_TITLE}NOT ALL COULD BE DONE"
    lines += trouble
    if _is_volatile(given):
        lines.insert(0, _VOLATILE)
    elif outcome is not None and (given.root / STATE_LOST).exists():
        lines.insert(0, _LOST)
    if trouble or _is_volatile(given):
        code, light = 1, "fast"
    status_display.set_led(given.root, light)
    if not title and not lines:
        _correct_result(given.card, outcome)
        return code
    title = title or f"{_TITLE}box {outcome.box if outcome else None}"
    for line in (title, *lines):
        log.log(logging.WARNING if code else logging.INFO, "%s", line)
    text = status_display.banner(title, lines)
    status_display.print_console(given.root, text)
    if outcome is None or outcome.kind != "waiting":
        # A card that cannot be written has been told of by now.
        with suppress(OSError):
            _put_result(given.card, text)
    return code


_TITLE = "VIGIE: "
_NOBODY = "this box does not know who it is, and records nothing"
_LOST = (
    "the partition of the box's state was lost and is made anew: its key, its receipts and what waited "
    "for the centre are gone. Tell the centre; have its new certificate request signed"
)
_VOLATILE = (
    "the disk's own partition for keys and settings cannot be opened: the box runs from memory until it "
    "is switched off, and the secrets stay in the settings file; replace the card or the disk"
)
_SEE = "docs/settings.md says what belongs in it"


def _correct_result(folder: Path, outcome: ProvisioningResult | None) -> None:
    """What was wrong and is no more is told to the laptop no longer."""
    if outcome is None or outcome.box is None:
        return
    title = f"{_TITLE}box {outcome.box}"
    with suppress(OSError):
        told = card.result(folder)
        if told is not None and f"\n* {title} " not in told:
            _put_result(
                folder, status_display.banner(f"{title} is as it was set up", _to_sign(outcome))
            )


def _put_result(folder: Path, text: str) -> None:
    card.put_result(folder, text.strip("\n") + "\n")


def _words(
    given: BootPaths, outcome: ProvisioningResult | None
) -> tuple[int, Light, str, list[str]]:
    """Exit code, light, title and lines."""
    if outcome is None:
        return 1, "fast", f"{_TITLE}THE SETTINGS COULD NOT BE TAKEN IN", []
    lines = list(outcome.lines)
    match outcome.kind:
        case "waiting":
            alike = card.look_alikes(given.card)
            seen = f"; there is {', '.join(alike)}: is it that?" if alike else ""
            return (
                0,
                "slow",
                f"{_TITLE}NO SETTINGS",
                [
                    _NOBODY,
                    f"{given.card} holds no {FILE_NAME}{seen}",
                    f"put {FILE_NAME} on the card's first partition, and start the box again; "
                    + _SEE,
                    *lines,
                ],
            )
        case "refused":
            title = f"{_TITLE}THE SETTINGS ARE WRONG"
            return 2, "fast", title, [_keeps_running_text(outcome), *lines]
        case "failed":
            title = f"{_TITLE}THE SETTINGS COULD NOT BE TAKEN IN"
            return 1, "fast", title, [_keeps_running_text(outcome), *lines]
        case "applied":
            first = "is set up" if outcome.is_first else "has new settings"
            title = f"{_TITLE}box {outcome.box} {first}"
            return 0, "own", title, [*lines, *_to_sign(outcome)]
        case _:
            return 0, "own", "", lines


def _keeps_running_text(outcome: ProvisioningResult) -> str:
    if outcome.box is None:
        return _NOBODY
    return f"the box goes on as {outcome.box}, with the settings that it has"


def _to_sign(outcome: ProvisioningResult) -> list[str]:
    if outcome.request is None:
        return []
    line = (
        f"have {outcome.box}{card.REQUEST_END} on the card signed by the centre; until then the box "
        "records, and its broker refuses it"
    )
    return [line]
