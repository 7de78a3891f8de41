"""The commands of the console, in the order in which help lists them."""

from collections.abc import Sequence

from agent.console.commands import (
    bundle,
    camera,
    check,
    commission,
    config,
    enrol,
    faults,
    footage,
    gpio,
    log,
    logout,
    mqtt,
    net,
    pages,
    ptz,
    reboot,
    selftest,
    serial,
    status,
    update,
)
from agent.console.session import ConsoleCommand


def _always(_words: Sequence[str]) -> bool:
    return True


def _never(_words: Sequence[str]) -> bool:
    return False


_RECEIPTED = {
    **dict.fromkeys(("camera", "commission", "enrol", "footage", "gpio", "ptz"), _always),
    config.NAME: config.changes,
    update.NAME: update.changes,
}
_TOLD = {config.NAME: config.told}
_WHOLE = {"reboot"}

COMMANDS = tuple(
    ConsoleCommand(
        name=module.NAME,
        help=module.HELP,
        usage=module.USAGE,
        run=module.run,
        receipted=_RECEIPTED.get(module.NAME, _never),
        told=_TOLD.get(module.NAME, tuple),
        whole=module.NAME in _WHOLE,
    )
    for module in (
        status,
        check,
        faults,
        camera,
        net,
        mqtt,
        ptz,
        gpio,
        serial,
        footage,
        log,
        config,
        enrol,
        selftest,
        commission,
        bundle,
        update,
        pages,
        reboot,
        logout,
    )
)
