"""The commands of the console, in the order of `help`."""

from agent.console.commands.bundle import BUNDLE
from agent.console.commands.camera import CAMERA
from agent.console.commands.check import CHECK
from agent.console.commands.commission import COMMISSION
from agent.console.commands.config import CONFIG
from agent.console.commands.enrol import ENROL
from agent.console.commands.faults import FAULTS_COMMAND
from agent.console.commands.footage import FOOTAGE
from agent.console.commands.gpio import GPIO
from agent.console.commands.mqtt import MQTT
from agent.console.commands.net import NET
from agent.console.commands.page import PAGE
from agent.console.commands.ptz import PTZ
from agent.console.commands.simple import LANGUAGE, LOG, LOGOUT, PAGES, REBOOT, SELFTEST, SERIAL
from agent.console.commands.status import STATUS
from agent.console.commands.update import UPDATE

COMMANDS = (
    STATUS,
    CHECK,
    FAULTS_COMMAND,
    CAMERA,
    NET,
    MQTT,
    PTZ,
    GPIO,
    SERIAL,
    FOOTAGE,
    LOG,
    CONFIG,
    ENROL,
    SELFTEST,
    COMMISSION,
    PAGE,
    BUNDLE,
    UPDATE,
    PAGES,
    LANGUAGE,
    REBOOT,
    LOGOUT,
)
