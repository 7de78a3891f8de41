"""agent.health.vitals.parse: the output of the kernel and the board's tools; any other text is unknown."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.health.vitals import parse

ROUTE = (
    b"Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    b"wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
    b"wwan0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
    b"wwan0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
)
WIRELESS = (
    b"Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n"
    b" face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n"
    b" wlan0: 0000   58.  -52.  -256        0      0      0      0      0        0\n"
)
MODEM = (
    b'{"modem":{"3gpp":{"operator-name":"IAM"},"generic":{"access-technologies":["lte"],'
    b'"signal-quality":{"recent":"yes","value":"67"},"state":"connected"}}}'
)
PRESSURE = (
    b"some avg10=12.50 avg60=3.00 avg300=1.00 total=99\n"
    b"full avg10=1.25 avg60=0.10 avg300=0.00 total=9\n"
)


CELL = (
    b'{"modem":{"signal":{"5g":{"rsrp":"%s","rsrq":"--","snr":"--"},"gsm":{"rssi":"--"},'
    b'"lte":{"error-rate":"--","rsrp":"-94.00","rsrq":"-9.00","rssi":"-65.00","snr":"8.20"},'
    b'"refresh":{"rate":"1"},"threshold":{"error-rate":"no","rssi":"0"}}}}'
)


ARP = (
    b"IP address       HW type     Flags       HW address            Mask     Device\n"
    b"192.168.1.20     0x1         0x2         b8:a4:4f:00:12:34     *        eth0\n"
    b"192.168.1.21     0x1         0x0         00:00:00:00:00:00     *        eth0\n"
    b"192.168.1.22     0x1         0x6         b8:a4:4f:00:12:35     *        eth0\n"
    b"x                0x1         0x2         b8:a4:4f:00:12:35     *        eth0\n"
)


def cell_of(data: bytes) -> list[tuple[str, str, float, str]] | None:
    signal = parse.cell_signal(data)
    if signal is None:
        return None
    return [(signal.technology, one.name, one.value, one.unit) for one in signal.readings]


def signal_of(data: bytes) -> parse.ModemSignal | None:
    modem = parse.modem(data)
    return None if modem is None else parse.modem_signal(modem)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda: parse.celsius(b"48312\n"), 48.312),
        (lambda: parse.celsius(b"-273150\n"), None),
        (
            lambda: cell_of(CELL % b"--"),
            [
                ("lte", "RSRP", -94.0, "dBm"),
                ("lte", "RSRQ", -9.0, "dB"),
                ("lte", "SINR", 8.2, "dB"),
            ],
        ),
        (lambda: cell_of(CELL % b"-101"), [("5g", "RSRP", -101.0, "dBm")]),
        (lambda: cell_of(b'{"modem":{"signal":{"lte":{"rsrp":"32767"}}}}'), None),
        (lambda: cell_of(b'{"modem":{"signal":{"lte":[]}}}'), None),
        (
            lambda: parse.arp_table(ARP),
            {"192.168.1.20": "b8:a4:4f:00:12:34", "192.168.1.22": "b8:a4:4f:00:12:35"},
        ),
        (lambda: parse.arp_table(b"header\na b c d\n"), {}),
        (lambda: parse.scaled(b"5096\n", 1e3), 5.096),
        (lambda: parse.scaled(b"-1500000\n", 1e6), -1.5),
        (lambda: parse.scaled(b"N/A\n", 1e6), None),
        (lambda: parse.alarm(b"1\n"), True),
        (lambda: parse.alarm(b"0\n"), False),
        (lambda: parse.alarm(b"2\n"), None),
        (lambda: parse.load_average(b"0.52 0.58 0.59 1/467 10\n"), 0.52),
        (lambda: parse.cores(b"0-3\n"), 4),
        (lambda: parse.cores(b"0,2-3\n"), 3),
        (lambda: parse.cores(b"3-0\n"), None),
        (lambda: parse.cores(b"0-99999999\n"), None),
        (lambda: parse.kilobyte_field(b"A: 1 kB\nVmRSS:\t   20000 kB\n", "VmRSS"), 20_480_000),
        (lambda: parse.kilobyte_field(b"VmRSS: 20000\n", "VmRSS"), None),
        (lambda: parse.pressure(PRESSURE, "some"), 0.125),
        (lambda: parse.pressure(PRESSURE, "full"), 0.0125),
        (lambda: parse.pressure(b"some avg10=101 avg60=0\n", "some"), None),
        (lambda: parse.life_used(b"0x01 0x03\n"), 0.2),
        (lambda: parse.life_used(b"0x0b 0x01\n"), 1.0),
        (lambda: parse.life_used(b"0x00 0x00\n"), None),
        (lambda: parse.reserve(b"0x01\n"), "normal"),
        (lambda: parse.reserve(b"0x03\n"), "urgent"),
        (lambda: parse.reserve(b"0x00\n"), None),
        (lambda: parse.sectors_written_bytes(b" 1 0 8 9 5 0 1000 7 0 0 0\n"), 512_000),
        (lambda: parse.default_route(ROUTE), "wwan0"),
        (lambda: parse.default_route(ROUTE.splitlines()[0]), None),
        (lambda: parse.wireless_dbm(WIRELESS, "wlan0"), -52.0),
        (lambda: parse.wireless_dbm(WIRELESS, "wlan1"), None),
        (lambda: signal_of(MODEM), parse.ModemSignal(signal=0.67, technology="lte")),
        (lambda: parse.modem(b'{"modem":{}}'), None),
        (lambda: parse.modem(b"error: couldn't find modem"), None),
        (lambda: parse.reset_cause(b"\0\0\x10\x00"), "power"),
        (lambda: parse.reset_cause(b"\0\0\0\x20"), "watchdog"),
        (lambda: parse.reset_cause(b"\0\0\0\0"), None),
        (lambda: parse.reset_cause(b"\x20"), None),
    ],
)
def test_each_source_is_parsed_as_its_maker_documents_it(
    read: Callable[[], Any], value: Any
) -> None:
    assert read() == value


@pytest.mark.parametrize("message", [b"throttled=0x50005\n", b"50005\n", b"50005"])
def test_the_firmwares_program_and_file_give_the_same_readings(message: bytes) -> None:
    reported = parse.throttling(message)
    assert reported == parse.Throttling(
        under_voltage=True,
        throttled=True,
        under_voltage_since_boot=True,
        throttled_since_boot=True,
    )


def test_a_flag_since_boot_is_separate_from_the_current_flag() -> None:
    reported = parse.throttling(b"throttled=0x20000")
    assert reported is not None
    assert not reported.throttled
    assert reported.throttled_since_boot
    assert not reported.under_voltage_since_boot


READERS: list[Callable[[bytes | None], Any]] = [
    parse.decode,
    parse.unsigned,
    parse.celsius,
    parse.alarm,
    parse.load_average,
    parse.cores,
    lambda data: parse.kilobyte_field(data, "MemAvailable"),
    lambda data: parse.pressure(data, "full"),
    parse.throttling,
    parse.life_used,
    parse.reserve,
    parse.sectors_written_bytes,
    parse.default_route,
    lambda data: parse.wireless_dbm(data, "wlan0"),
    parse.modem,
    parse.cell_signal,
    lambda data: parse.scaled(data, 1e6),
    parse.reset_cause,
]


@pytest.mark.parametrize("read", READERS[1:])
def test_a_missing_or_empty_source_is_unknown_and_never_zero(
    read: Callable[[bytes | None], Any],
) -> None:
    assert read(None) is None
    assert read(b"") is None


SEEDS = [ROUTE, WIRELESS, MODEM, PRESSURE, b"throttled=0x50005", b"0x01 0x03", b"0-3,5", b"48312"]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Something real with a stretch of it replaced by anything."""
    seed = draw(st.sampled_from(SEEDS))
    begin = draw(st.integers(0, len(seed)))
    end = draw(st.integers(begin, len(seed)))
    return seed[:begin] + draw(st.binary(max_size=20)) + seed[end:]


@given(data=st.one_of(st.binary(max_size=300), damaged()))
def test_any_text_gives_a_plausible_value_or_unknown(data: bytes) -> None:
    for read in READERS:
        read(data)
    celsius, load = parse.celsius(data), parse.load_average(data)
    assert celsius is None or -60 <= celsius <= 150
    assert load is None or load >= 0
    for share in (parse.life_used(data), parse.pressure(data, "some")):
        assert share is None or 0 <= share <= 1
    reported = signal_of(data)
    assert reported is None or reported.signal is None or 0 <= reported.signal <= 1
    name = parse.default_route(data)
    assert name is None or (0 < len(name) <= 15 and "/" not in name)
