"""Targets that read streams and devices: video files, cameras, heads, the console's cable, the kernel's files."""

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import zeep
import zeep.exceptions
from wsdiscovery.message import parseSOAPMessage
from wsdiscovery.service import Service

from agent.console import xmodem
from agent.console.keystrokes import KeyDecoder
from agent.console.session import tokenize
from agent.health import flight_page
from agent.health.vitals import parse as vitals
from agent.recording.annex_b import parse_extradata, to_annex_b
from agent.recording.export.segment_reader import SegmentReader
from agent.recording.mp4_reader import DamagedFootage
from drivers import head_probe_codec, rtsp_search
from drivers.onvif import ws_discovery
from drivers.onvif.soap_client import _CALL_ERRORS
from drivers.onvif.subscription import parse_notification
from drivers.pelco_codec import PelcoDecoder
from drivers.visca_codec import ReplyDecoder
from tests.conftest import ManualClock
from tests.fuzz.target import FuzzTarget, make_work_dir
from tests.parts.console_peers import MemoryByteLine
from tests.parts.console_rig import ConsoleRig
from tests.parts.test_mp4_reader import FILES

work_dir = cache(make_work_dir)


def run_mp4(data: bytes) -> None:
    for name in ("1.mp4", "1.mp4.part"):
        path = work_dir() / name
        path.write_bytes(data)
        with suppress(DamagedFootage), SegmentReader(path) as reader:
            for fragment in reader.iter_fragments():
                assert fragment.end <= len(data)


def run_annex_b(data: bytes) -> None:
    for codec in ("h264", "hevc", "mpeg4", "mjpeg"):
        with suppress(ValueError):
            parse_extradata(codec, data)
    for length_bytes in (1, 2, 4):
        with suppress(ValueError):
            to_annex_b(data, length_bytes)


OPERATIONS = (
    ("devicemgmt", "DeviceBinding", "GetDeviceInformation"),
    ("devicemgmt", "DeviceBinding", "GetCapabilities"),
    ("media", "MediaBinding", "GetProfiles"),
    ("ptz", "PTZBinding", "GetStatus"),
    ("ptz", "PTZBinding", "GetPresets"),
    ("events", "PullPointSubscriptionBinding", "PullMessages"),
)


@cache
def soap_operation(index: int) -> tuple[Any, Any, Any]:
    """The client, binding and operation of the SOAP library, as drivers/onvif uses it."""
    import onvif  # noqa: PLC0415 - after drivers.onvif.library, which restores the root logger

    service, binding_name, operation_name = OPERATIONS[index]
    wsdl = Path(onvif.__file__).parent / "wsdl" / f"{service}.wsdl"
    client = zeep.Client(str(wsdl), settings=zeep.Settings(strict=False, xml_huge_tree=True))
    binding = next(
        one for name, one in client.wsdl.bindings.items() if name.endswith("}" + binding_name)
    )
    return client, binding, binding.get(operation_name)


def run_onvif(data: bytes) -> None:
    """The first byte selects the operation that is answered."""
    client, binding, operation = soap_operation((data[0] if data else 0) % len(OPERATIONS))
    answer = SimpleNamespace(
        status_code=200, content=data[1:], headers={"Content-Type": "application/soap+xml"}
    )
    with suppress(*_CALL_ERRORS):
        reply = binding.process_reply(client, operation, answer)
        for message in getattr(reply, "NotificationMessage", None) or ():
            parse_notification(message)


ONVIF_SEED = b"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:tev="http://www.onvif.org/ver10/events/wsdl" xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2"
 xmlns:tt="http://www.onvif.org/ver10/schema"><s:Body><tev:PullMessagesResponse>
<tev:CurrentTime>2026-11-25T10:00:00Z</tev:CurrentTime>
<tev:TerminationTime>2026-11-25T10:02:00Z</tev:TerminationTime><wsnt:NotificationMessage>
<wsnt:Topic Dialect="http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet">tns1:RuleEngine/Motion</wsnt:Topic>
<wsnt:Message><tt:Message UtcTime="2026-11-25T10:00:00Z" PropertyOperation="Changed"><tt:Source>
<tt:SimpleItem Name="VideoSource" Value="1"/></tt:Source><tt:Data><tt:SimpleItem Name="IsMotion" Value="true"/>
</tt:Data></tt:Message></wsnt:Message></wsnt:NotificationMessage></tev:PullMessagesResponse></s:Body></s:Envelope>"""

INFORMATION_SEED = b"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:t="http://www.onvif.org/ver10/device/wsdl"><s:Body><t:GetDeviceInformationResponse>
<t:Manufacturer>A</t:Manufacturer><t:Model>B</t:Model><t:FirmwareVersion>1</t:FirmwareVersion>
<t:SerialNumber>2</t:SerialNumber><t:HardwareId>3</t:HardwareId></t:GetDeviceInformationResponse>
</s:Body></s:Envelope>"""

DISCOVERY_SEED = b"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"
 xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><s:Header><a:MessageID>uuid:1</a:MessageID>
<a:RelatesTo>uuid:2</a:RelatesTo><a:To>urn:x</a:To>
<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches</a:Action></s:Header><s:Body>
<d:ProbeMatches><d:ProbeMatch><a:EndpointReference><a:Address>urn:uuid:3</a:Address></a:EndpointReference>
<d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>onvif://www.onvif.org/name/North%20gate</d:Scopes>
<d:XAddrs>http://10.0.0.21/onvif/device_service</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion>
</d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"""


def run_discovery(data: bytes) -> None:
    # The library logs whatever its own parser raises, and goes on with the next datagram.
    with suppress(Exception):
        envelope = parseSOAPMessage(data, "10.0.0.21")
    if envelope := locals().get("envelope"):
        for match in envelope.getProbeResolveMatches():
            ws_discovery._to_camera(
                Service(match.getTypes(), match.getScopes(), match.getXAddrs(), match.getEPR(), "1")
            )


def run_rtsp_answer(data: bytes) -> None:
    rtsp_search.parse_answer("10.0.0.21", 554, data)


def run_pelco(data: bytes) -> None:
    for dialect in ("D", "P"):
        whole, by_bytes = PelcoDecoder(dialect), PelcoDecoder(dialect)
        messages = whole.feed(data)
        assert messages == [one for byte in data for one in by_bytes.feed(bytes([byte]))]
        head_probe_codec.find_pelco_counts(1, "pan", data)


def run_visca(data: bytes) -> None:
    whole, by_bytes = ReplyDecoder(1), ReplyDecoder(1)
    replies = list(whole.feed(data))
    assert replies == [one for byte in data for one in by_bytes.feed(bytes([byte]))]
    head_probe_codec.parse_chain_length(data)
    position = head_probe_codec.find_visca_answer(1, data)
    if position is not None:
        head_probe_codec.to_visca_head(1, position, position)


def run_console(data: bytes) -> None:
    """Typed after a login: nothing restarts the box, and the screen has printable characters alone."""
    with tempfile.TemporaryDirectory(dir=work_dir()) as folder:
        rig = ConsoleRig(ManualClock(), Path(folder))
        # No reboot, and nothing that waits for a confirmation that these bytes may contain.
        rig.run_logged_in(keys=data)
        assert all(byte in b"\r\n\b\a" or byte >= 0x20 for byte in rig.line.output)


def run_keys(data: bytes) -> None:
    whole, by_bytes = KeyDecoder(), KeyDecoder()
    keys = whole.feed(data)
    assert keys == [one for byte in data for one in by_bytes.feed(bytes([byte]))]
    tokenize("".join(key for key in keys if len(key) == 1))


def run_xmodem(data: bytes) -> None:
    """The bytes come from a sender of a file, then as the answers of a receiver."""
    clock = ManualClock()
    chunks = [data[at : at + 133] for at in range(0, len(data), 133)]
    with suppress(xmodem.TransferFailed):
        received = xmodem.receive(
            MemoryByteLine(clock, chunks, silence_s=3600), 10_000, clock.boottime_ns
        )
        assert len(received) <= 10_000
    with suppress(xmodem.TransferFailed):
        xmodem.send(MemoryByteLine(clock, chunks, silence_s=3600), b"x" * 300, clock.boottime_ns)


def xmodem_seeds() -> Sequence[bytes]:
    block = xmodem.encode_block(1, xmodem.pad(b"a file"), with_crc=True)
    return [block + b"\x04", b"C\x06\x06\x06\x06"]


def run_vitals(data: bytes) -> None:
    for parse in (
        *(vitals.decode, vitals.unsigned, vitals.celsius, vitals.alarm, vitals.load_average),
        *(
            vitals.cores,
            vitals.throttling,
            vitals.life_used,
            vitals.reserve,
            vitals.modem,
            vitals.cell_signal,
        ),
        *(vitals.sectors_written_bytes, vitals.default_route, vitals.arp_table),
    ):
        parse(data)
    vitals.kilobyte_field(data, "MemAvailable")
    vitals.pressure(data, "some")
    vitals.wireless_dbm(data, "wlan0")
    modem = vitals.modem(data)
    if modem is not None:
        vitals.modem_signal(modem)


def run_flight_page(data: bytes) -> None:
    flight_page.decode(data)


def flight_page_seeds() -> Sequence[bytes]:
    page = flight_page.FlightPage(
        number=1, kind="stopped", run="r", boot="b", time="2026-11-25T10:00:00Z", samples=()
    )
    return [flight_page.encode(page).rstrip(b"\0")]


TARGETS = {
    "mp4": FuzzTarget(run_mp4, lambda: list(FILES.values())),
    "annex_b": FuzzTarget(
        run_annex_b,
        lambda: [b"\x01\x42\x00\x0a\xff\xe1\x00\x04abcd\x01\x00\x02xy", b"\x00\x00\x00\x02ab"],
    ),
    "onvif": FuzzTarget(run_onvif, lambda: [b"\x05" + ONVIF_SEED, b"\x00" + INFORMATION_SEED]),
    "discovery": FuzzTarget(run_discovery, lambda: [DISCOVERY_SEED]),
    "rtsp_answer": FuzzTarget(
        run_rtsp_answer, lambda: [b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nServer: x\r\n\r\n"]
    ),
    "pelco": FuzzTarget(
        run_pelco,
        lambda: [b"\xff\x01\x00\x59\x12\x34\xa0", b"\xa0\x00\x00\x02\x20\x00\xaf\x2d"],
    ),
    "visca": FuzzTarget(
        run_visca,
        lambda: [
            b"\x90\x50\x00\x01\x02\x03\x0f\x0f\x0f\x0e\xff",
            b"\x88\x30\x02\xff\x90\x60\x41\xff",
        ],
    ),
    "console": FuzzTarget(
        run_console, lambda: [b"status\r", b"ptz goto gate\r\x1b[A\r", b"help\r"]
    ),
    "keys": FuzzTarget(run_keys, lambda: [b"ptz 'north gate' \x1b[A\x1b[1;5C\r\n\x7f"]),
    "xmodem": FuzzTarget(run_xmodem, xmodem_seeds),
    "vitals": FuzzTarget(
        run_vitals,
        lambda: [
            b"some avg10=1.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 total=0\n",
            b"MemAvailable:   123 kB\n",
            b"0.10 0.20 0.30 1/100 5\n",
            b"Iface\tDestination\tGateway\neth0\t00000000\t0100000A\n",
            b'{"modem":{"signal":{"lte":{"rsrp":"-94.00","rsrq":"-9.00","snr":"8.00"}}}}',
            b'{"modem":{"3gpp":{"operator-name":"x"},"generic":{"signal-quality":{"value":"60"}}}}',
            b"throttled=0x50005\n",
        ],
    ),
    "flight_page": FuzzTarget(run_flight_page, flight_page_seeds),
}
