"""The first boot, as root sees it, and each boot after: settings from the card, network, host name.

What lies in the agent's folders is done by the agent's user, see `inside`. Whatever goes wrong there,
the box gets a network and the console tells why.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.identity import STATE_LOST
from agent.provision import card, inside, notices
from agent.provision import network as networking
from agent.provision.as_user import ChildFailed, as_user
from agent.provision.inside import Outcome, Places
from agent.provision.network import Network
from agent.provision.notices import Light
from agent.provision.settings import FILE_NAME

log = logging.getLogger(__name__)

WITHIN_S = 90
"""So long the settings may take. The unit gives up after 120 s, and the network is to be set before."""
_NETWORK = "run/systemd/network"
_HOST_NAME = "proc/sys/kernel/hostname"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is. `root` is where the machine's dev, proc, run and sys are looked for."""

    card: Path
    folder: Path
    state: Path
    user: str
    root: Path


def boot(given: Given) -> int:
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
    _try(trouble, lambda: _set_network(given.root, outcome.network if outcome else Network()))
    if outcome is not None:
        _set_host_name(given.root, outcome.box)
        if data is not None:
            # Without settings it may be no card of ours, or no card at all.
            _try(trouble, lambda: _put_on_card(given.card, outcome))
    return _tell(given, outcome, trouble)


def _put_on_card(folder: Path, outcome: Outcome) -> None:
    card.tidy(folder)
    if outcome.box is not None and outcome.request is not None:
        card.put_request(folder, outcome.box, outcome.request)
    if outcome.left is not None:
        # Last: until then the file as it was given says that there is something to do.
        card.put_left(folder, outcome.left)


def _try(trouble: list[str], do: Callable[[], None]) -> None:
    try:
        do()
    except OSError as error:
        trouble.append(_why(error))


def _why(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _taken_in(data: bytes | None, given: Given, trouble: list[str]) -> Outcome | None:
    places = Places(folder=given.folder, state=given.state, where=FILE_NAME)

    def work() -> bytes:
        return msgspec.json.encode(inside.take_in(data, places))

    try:
        said = as_user(given.user, work, WITHIN_S)
    except (ChildFailed, OSError) as error:
        trouble.append(f"{error}; see journalctl -u vigie-provision")
        return None
    return msgspec.json.decode(said, type=Outcome)


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


def _tell(given: Given, outcome: Outcome | None, trouble: list[str]) -> int:
    code, light, title, lines = _words(given, outcome)
    lines += trouble
    if outcome is not None and (given.root / STATE_LOST).exists():
        lines.insert(0, _LOST)
    if trouble:
        code, light, title = 1, "fast", title or "VIGIE: NOT ALL COULD BE DONE"
    notices.shine(given.root, light)
    if not title and not lines:
        return code
    title = title or f"VIGIE: box {outcome.box if outcome else None}"
    for line in (title, *lines):
        log.log(logging.WARNING if code else logging.INFO, "%s", line)
    text = notices.banner(title, lines)
    notices.say(given.root, text)
    if outcome is None or outcome.kind != "waiting":
        # A card that cannot be written has been told of by now.
        with suppress(OSError):
            card.put_result(given.card, text.strip("\n") + "\n")
    return code


_LOST = (
    "the partition of the box's state was lost and is made anew: its key, its receipts and what waited "
    "for the centre are gone. Tell the centre; have its new certificate request signed"
)
_SEE = "docs/settings.md says what belongs into it"


def _words(given: Given, outcome: Outcome | None) -> tuple[int, Light, str, list[str]]:
    """Exit code, light, title and lines."""
    if outcome is None:
        return 1, "fast", "VIGIE: THE SETTINGS COULD NOT BE TAKEN IN", []
    lines = list(outcome.lines)
    match outcome.kind:
        case "waiting":
            alike = card.look_alikes(given.card)
            seen = f"; there is {', '.join(alike)}: is it that?" if alike else ""
            return (
                0,
                "slow",
                "VIGIE: NO SETTINGS",
                [
                    "this box does not know who it is, and records nothing",
                    f"{given.card} holds no {FILE_NAME}{seen}",
                    f"put {FILE_NAME} on the card's first partition, and start the box again; "
                    + _SEE,
                    *lines,
                ],
            )
        case "refused":
            now = (
                f"the box goes on as {outcome.box}, with the settings that it has"
                if outcome.box
                else "this box does not know who it is, and records nothing"
            )
            return 2, "fast", "VIGIE: THE SETTINGS ARE WRONG", [now, *lines]
        case "applied":
            first = "is set up" if outcome.is_first else "has new settings"
            if outcome.request is not None:
                lines.append(
                    f"have {outcome.box}{card.REQUEST_END} on the card signed by the centre; until then "
                    "the box records, and its broker refuses it"
                )
            return 0, "own", f"VIGIE: box {outcome.box} {first}", lines
        case _:
            return 0, "own", "", lines
