"""Parsers of kernel files and of the output of the board's tools. Pure.

Each function takes raw bytes and returns None if they cannot be parsed: unknown is never a zero.
"""

import re
from typing import Literal

import msgspec

from agent.base.health_model import LinkKind
from agent.base.json_decode import JsonDecoder, MalformedJson

MAX_PERCENT = 100
MAX_CORES = 4096
SECTOR_BYTES = 512
"""The sector size of the kernel's disk statistics; the disk's own may differ."""

LIFE_USED_UP = 0x0B
"""The highest valid step of an eMMC's wear register, JESD84-B51 (DEVICE_LIFE_TIME_EST_TYP_A)."""

_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", re.ASCII)
_IPV4 = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}", re.ASCII)
_UNSIGNED = re.compile(r"\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,12}(?:\.\d{0,12})?", re.ASCII)


def decode(data: bytes | None) -> str:
    """Return the bytes as stripped ASCII text, or an empty string if they are not ASCII."""
    if data is None:
        return ""
    try:
        return data.decode("ascii").strip(" \t\r\n\0")
    except UnicodeDecodeError:
        return ""


def unsigned(data: bytes | None) -> int | None:
    """Parse a non-negative integer."""
    return _unsigned(decode(data))


def celsius(data: bytes | None) -> float | None:
    """Parse thousandths of a degree (sysfs-class-thermal). Impossible values are a broken sensor."""
    millidegrees = _decimal(decode(data))
    if millidegrees is None or not -60_000 <= millidegrees <= 150_000:  # noqa: PLR2004
        return None
    return millidegrees / 1000


def scaled(data: bytes | None, divisor: float) -> float | None:
    """Parse a number in the kernel's unit, such as microvolts, and divide it."""
    number = _decimal(decode(data))
    return None if number is None else number / divisor


def alarm(data: bytes | None) -> bool | None:
    """Parse a file of 0 or 1, such as a hwmon `*_alarm`."""
    return {"0": False, "1": True}.get(decode(data))


def load_average(data: bytes | None) -> float | None:
    """Parse the first number of /proc/loadavg."""
    fields = decode(data).split()
    number = _decimal(fields[0]) if fields else None
    return number if number is not None and number >= 0 else None


def cores(data: bytes | None) -> int | None:
    """Count the cores of a sysfs list such as `0-3,5`."""
    total = 0
    for span in decode(data).split(","):
        first, _, last = span.partition("-")
        begin, end = _unsigned(first), _unsigned(last or first)
        if begin is None or end is None or not begin <= end < MAX_CORES:
            return None
        total += end - begin + 1
    return total


def kilobyte_field(data: bytes | None, key: str) -> int | None:
    """Parse the line of `key`, such as `VmRSS:     5812 kB`, to bytes."""
    for line in decode(data).splitlines():
        name, _, rest = line.partition(":")
        match rest.split():
            case [number, "kB"] if name == key:
                number_kb = _unsigned(number)
                return None if number_kb is None else number_kb * 1024
    return None


def pressure(data: bytes | None, kind: Literal["some", "full"]) -> float | None:
    """Parse the ten-second average of a /proc/pressure file to 0..1."""
    for line in decode(data).splitlines():
        match line.split():
            case [line_kind, average, *_] if line_kind == kind and average.startswith("avg10="):
                return _fraction(average.removeprefix("avg10="))
    return None


class Throttling(msgspec.Struct, frozen=True, kw_only=True):
    """The board firmware's throttling flags: the current ones, and those latched since the boot."""

    under_voltage: bool
    throttled: bool
    under_voltage_since_boot: bool
    throttled_since_boot: bool


def throttling(data: bytes | None) -> Throttling | None:
    """Parse `vcgencmd get_throttled` (`throttled=0x50005`) or the firmware's file (`50005`).

    Bits: 0 under-voltage, 1 frequency capped, 2 throttled, 3 soft temperature limit; from bit 16 on
    the same flags, latched since the boot.
    """
    word = decode(data)
    hexadecimal = word.removeprefix("throttled=0x") if word.startswith("throttled=") else word
    if not re.fullmatch(r"[0-9A-Fa-f]{1,8}", hexadecimal, re.ASCII):
        return None
    bits = int(hexadecimal, 16)
    return Throttling(
        under_voltage=bool(bits & 0x1),
        throttled=bool(bits & 0xE),
        under_voltage_since_boot=bool(bits & 0x1_0000),
        throttled_since_boot=bool(bits & 0xE_0000),
    )


def life_used(data: bytes | None) -> float | None:
    """Parse an eMMC's `life_time`, two registers such as `0x01 0x03`, to the worse of both, 0..1.

    A step is a tenth of the life; the value is that of its lower bound. 0x0b means used up.
    """
    used = [
        min(1.0, (step - 1) / 10)
        for step in (_hexadecimal(word) for word in decode(data).split()[:2])
        if step is not None and 1 <= step <= LIFE_USED_UP
    ]
    return max(used) if used else None


def reserve(data: bytes | None) -> Literal["normal", "warning", "urgent"] | None:
    """Parse an eMMC's `pre_eol_info`: the state of its spare blocks."""
    step = _hexadecimal(decode(data))
    level_by_step: dict[int | None, Literal["normal", "warning", "urgent"]] = {
        1: "normal",
        2: "warning",
        3: "urgent",
    }
    return level_by_step.get(step)


def sectors_written_bytes(data: bytes | None) -> int | None:
    """Parse the seventh number of a disk's `stat` (sysfs-block) to bytes."""
    fields = decode(data).split()
    sectors = _unsigned(fields[6]) if len(fields) > 6 else None  # noqa: PLR2004 the seventh
    return None if sectors is None else sectors * SECTOR_BYTES


def arp_table(data: bytes | None) -> dict[str, str]:
    """Parse /proc/net/arp: return the hardware address of each address that has answered."""
    found = {}
    for line in decode(data).splitlines()[1:]:
        fields = line.split()
        is_complete = len(fields) >= 4 and re.fullmatch(r"0x[0-9a-f]*[2367abef]", fields[2])  # noqa: PLR2004 ATF_COM
        if is_complete and _MAC.fullmatch(fields[3]) and _IPV4.fullmatch(fields[0]):
            found[fields[0]] = fields[3]
    return found


def default_route(data: bytes | None) -> str | None:
    """Parse /proc/net/route: return the adapter of the default route with the lowest metric."""
    found: list[tuple[int, str]] = []
    for line in decode(data).splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 8 and fields[1] == fields[7] == "00000000":  # noqa: PLR2004 destination, mask
            metric = _unsigned(fields[6])
            if metric is not None and re.fullmatch(r"[\w.:-]{1,15}", fields[0], re.ASCII):
                found.append((metric, fields[0]))
    return min(found)[1] if found else None


def wireless_dbm(data: bytes | None, adapter: str) -> float | None:
    """Parse /proc/net/wireless: return the signal level of `adapter`."""
    for line in decode(data).splitlines()[2:]:
        name, _, rest = line.partition(":")
        fields = rest.split()
        if name.strip() == adapter and len(fields) >= 3:  # noqa: PLR2004 status, link, level
            level = _decimal(fields[2].rstrip("."))
            return level if level is not None and -150 <= level < 0 else None  # noqa: PLR2004
    return None


def link_kind(adapter: str, *, wireless: bool) -> LinkKind:
    """Classify an adapter: wireless, a modem by its name, or else wired."""
    if wireless:
        return "wireless"
    return "modem" if adapter.startswith(("wwan", "ppp", "usb")) else "wired"


class ModemSignal(msgspec.Struct, frozen=True, kw_only=True):
    """A modem's signal quality, 0..1, and its access technology, such as `lte`."""

    signal: float | None
    technology: str | None


class ModemSignalQuality(msgspec.Struct, frozen=True):
    """ModemManager's signal quality, in percent."""

    value: str = ""


class ModemGeneric(msgspec.Struct, frozen=True, rename="kebab"):
    """ModemManager's `generic` section. An unset value is `--`."""

    manufacturer: str = ""
    model: str = ""
    state: str = ""
    state_failed_reason: str = ""
    power_state: str = ""
    sim: str = ""
    unlock_required: str = ""
    signal_quality: ModemSignalQuality = ModemSignalQuality()
    access_technologies: list[str] = []


class Modem3gpp(msgspec.Struct, frozen=True, rename="kebab"):
    """ModemManager's `3gpp` section: the registration at a cell."""

    operator_code: str = ""
    operator_name: str = ""
    registration_state: str = ""


class Modem(msgspec.Struct, frozen=True):
    """One modem, as `mmcli --modem=any --output-json` prints it."""

    generic: ModemGeneric
    cell: Modem3gpp = msgspec.field(default=Modem3gpp(), name="3gpp")


class _ModemManager(msgspec.Struct, frozen=True):
    modem: Modem


_MODEM_DECODER = JsonDecoder(_ModemManager)


def modem(data: bytes | None) -> Modem | None:
    """Parse the output of `mmcli --modem=any --output-json`."""
    try:
        return _MODEM_DECODER.decode(data or b"").modem
    except MalformedJson:
        return None


def modem_signal(modem: Modem) -> ModemSignal | None:
    """Return the modem's signal, or None if it reports none."""
    generic = modem.generic
    names = [name for name in generic.access_technologies if re.fullmatch(r"[\w.+-]{1,16}", name)]
    signal = _fraction(generic.signal_quality.value)
    if signal is None and not names:
        return None
    return ModemSignal(signal=signal, technology=names[0] if names else None)


class CellReading(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of a cell's signal, in dBm, dB or percent."""

    name: str
    value: float
    unit: str


class CellSignal(msgspec.Struct, frozen=True, kw_only=True):
    """The readings of one access technology, such as `lte`."""

    technology: str
    readings: tuple[CellReading, ...]


class _SignalModem(msgspec.Struct, frozen=True):
    signal: dict[str, dict[str, str]]


class _SignalManager(msgspec.Struct, frozen=True):
    modem: _SignalModem


_SIGNAL_DECODER = JsonDecoder(_SignalManager)
_LTE_READINGS = (("RSRP", "rsrp", "dBm"), ("RSRQ", "rsrq", "dB"), ("SINR", "snr", "dB"))
_SIGNAL_READINGS = {
    "5g": _LTE_READINGS,
    "lte": _LTE_READINGS,
    "umts": (("RSCP", "rscp", "dBm"), ("Ec/Io", "ecio", "dB")),
    "gsm": (("RSSI", "rssi", "dBm"),),
}
"""By technology, the newest first: the name in the field, ModemManager's key, the unit."""


def cell_signal(data: bytes | None) -> CellSignal | None:
    """Parse the output of `mmcli --signal-get --output-json`: the newest technology that has a reading."""
    try:
        sections = _SIGNAL_DECODER.decode(data or b"").modem.signal
    except MalformedJson:
        return None
    for technology, wanted in _SIGNAL_READINGS.items():
        values = [
            (name, _decimal(sections.get(technology, {}).get(key, "")), unit)
            for name, key, unit in wanted
        ]
        readings = tuple(
            CellReading(name=name, value=value, unit=unit)
            for name, value, unit in values
            if value is not None and -200 <= value <= 100  # noqa: PLR2004 beyond is no measurement
        )
        if readings:
            return CellSignal(technology=technology, readings=readings)
    return None


ResetCause = Literal["power", "watchdog"]


def reset_cause(data: bytes | None) -> ResetCause | None:
    """Parse the Raspberry Pi's `chosen/bootloader/rsts`: the reset register at the boot, four bytes.

    Bit 12 is a power-on. Bits 4 to 6 are the watchdog, which an ordered restart uses too.
    """
    if data is None or len(data) != 4:  # noqa: PLR2004 a cell of the device tree
        return None
    bits = int.from_bytes(data, "big")
    if bits & 0x1000:
        return "power"
    return "watchdog" if bits & 0x70 else None


def _fraction(percent: str) -> float | None:
    value = _decimal(percent)
    return None if value is None or not 0 <= value <= MAX_PERCENT else round(value / 100, 4)


def _unsigned(word: str) -> int | None:
    return int(word) if _UNSIGNED.fullmatch(word) else None


def _decimal(word: str) -> float | None:
    return float(word) if _DECIMAL.fullmatch(word) else None


def _hexadecimal(word: str) -> int | None:
    return int(word, 16) if re.fullmatch(r"0x[0-9A-Fa-f]{1,4}", word, re.ASCII) else None
