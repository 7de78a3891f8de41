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


def _always(_argv: Sequence[str]) -> bool:
    return True


def _never(_argv: Sequence[str]) -> bool:
    return False


_NEEDS_RECEIPT = {
    **dict.fromkeys(("camera", "commission", "enrol", "footage", "gpio", "ptz"), _always),
    config.NAME: config.is_modifying,
    update.NAME: update.is_modifying,
}
_REDACT_ARGS = {config.NAME: config.redact_args}
_FULL_NAME_ONLY = {"reboot"}

COMMANDS = tuple(
    ConsoleCommand(
        name=module.NAME,
        help=module.HELP,
        usage=module.USAGE,
        run=module.run,
        needs_receipt=_NEEDS_RECEIPT.get(module.NAME, _never),
        redact_args=_REDACT_ARGS.get(module.NAME, tuple),
        requires_full_name=module.NAME in _FULL_NAME_ONLY,
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
