"""The commands of the console, in the order in which help lists them."""

from agent.service.commands import (
    bundle,
    camera,
    check,
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
)
from agent.service.session import Command

_RECEIPTED = {"camera", "enrol", "footage", "gpio", "ptz"}
_WHOLE = {"reboot"}

COMMANDS = tuple(
    Command(
        name=module.NAME,
        help=module.HELP,
        usage=module.USAGE,
        run=module.run,
        receipted=module.NAME in _RECEIPTED,
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
        bundle,
        pages,
        reboot,
        logout,
    )
)
