"""agent.reporting.mqtt.certificate_expiry: NET-05 is raised in time before the box's certificate or the
broker's authority expires, and not without a trusted date.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from agent.base.errors import UserError
from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt.certificate_expiry import (
    CHECK_INTERVAL_S,
    UNSYNCED_RETRY_S,
    CertificateExpiry,
    CertificateKey,
    read_validity,
)
from tests.conftest import ManualClock

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def write(file: Path, begin: datetime, end: datetime) -> Path:
    """A certificate that is good between two moments, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pole-17")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(made.public_bytes(Encoding.PEM))
    return file


def broker(file: Path | None, ca: Path | None = None) -> BrokerConfig:
    return BrokerConfig(url="mqtts://broker", certificate=file and str(file), ca=ca and str(ca))


class Watched:
    """A watch on one file or two, at noon of a day."""

    def __init__(self, file: Path | None, clock: ManualClock, ca: Path | None = None) -> None:
        clock.boot_utc = NOW - timedelta(microseconds=clock.now_ns // 1000)
        self.clock = clock
        self.board = FaultRegistry(clock.boottime_ns)
        self.watch = CertificateExpiry(broker(file, ca), self.board, clock)

    def look(self) -> None:
        self.watch.check()

    def look_if_due(self) -> None:
        self.watch.check_if_due()

    def message(self) -> list[str]:
        assert {fault.code for fault in self.board.active()} <= {"NET-05"}
        return [fault.detail for fault in self.board.active()]


@pytest.mark.parametrize(
    ("begin", "end", "message"),
    [
        (-60 * DAY, 31 * DAY, []),
        (-60 * DAY, 30 * DAY, ["expires on 2026-12-25, in 30 days"]),
        (-60 * DAY, 1 * DAY, ["expires on 2026-11-26, in 1 days"]),
        (-60 * DAY, 0 * DAY, ["expires on 2026-11-25, in 0 days"]),
        (-60 * DAY, -1 * DAY, ["has expired on 2026-11-24"]),
        (1 * DAY, 90 * DAY, ["is good from 2026-11-26 on, not yet"]),
    ],
)
def test_certificate_dates_raise_the_matching_fault_detail(
    begin: timedelta, end: timedelta, message: list[str], tmp_path: Path, clock: ManualClock
) -> None:
    watched = Watched(write(tmp_path / "box.crt", NOW + begin, NOW + end), clock)
    watched.look()
    assert watched.message() == [f"broker.certificate {words}" for words in message]


@pytest.mark.raises_fault("NET-05")
def test_the_certificate_is_checked_daily_and_a_new_one_clears_the_fault(
    tmp_path: Path, clock: ManualClock
) -> None:
    file = write(tmp_path / "box.crt", NOW - DAY, NOW + 30 * DAY + timedelta(hours=1))
    watched = Watched(file, clock)
    watched.look_if_due()
    assert watched.message() == []
    clock.advance_s(CHECK_INTERVAL_S - 1)
    watched.look_if_due()
    assert watched.message() == []
    clock.advance_s(1)
    watched.look_if_due()
    assert watched.message() != []
    write(file, NOW - DAY, NOW + 90 * DAY)
    watched.look_if_due()
    assert watched.message() != []
    clock.advance_s(CHECK_INTERVAL_S)
    watched.look_if_due()
    assert watched.message() == []


def test_without_a_trusted_clock_no_fault_is_raised_or_cleared(
    tmp_path: Path, clock: ManualClock
) -> None:
    file = write(tmp_path / "box.crt", NOW - DAY, NOW + DAY)
    watched = Watched(file, clock)
    clock.synced = False
    watched.look_if_due()
    assert watched.message() == []
    clock.synced = True
    clock.advance_s(UNSYNCED_RETRY_S)
    watched.look_if_due()
    assert watched.message() != []
    clock.synced = False
    write(file, NOW - DAY, NOW + 90 * DAY)
    watched.look()
    assert watched.message() != []


def test_a_box_without_a_certificate_raises_no_expiry_fault(clock: ManualClock) -> None:
    watched = Watched(None, clock)
    watched.look()
    assert watched.message() == []


@pytest.mark.raises_fault("NET-05")
def test_the_brokers_authority_is_checked_in_addition(tmp_path: Path, clock: ManualClock) -> None:
    own = write(tmp_path / "box.crt", NOW - DAY, NOW + 90 * DAY)
    ca = write(tmp_path / "ca.pem", NOW - 900 * DAY, NOW + 12 * DAY)
    watched = Watched(own, clock, ca)
    watched.look()
    (fault,) = watched.board.active()
    assert (fault.code, fault.subject) == ("NET-05", "broker.ca")
    assert watched.message() == ["broker.ca expires on 2026-12-07, in 12 days"]
    write(own, NOW - 90 * DAY, NOW + DAY)
    watched.look()
    assert [fault.subject for fault in watched.board.active()] == [
        "broker.ca",
        "broker.certificate",
    ]
    write(ca, NOW - DAY, NOW + 900 * DAY)
    watched.look()
    assert watched.message() == ["broker.certificate expires on 2026-11-26, in 1 days"]


def test_an_authority_may_expire_once_its_successor_is_in_the_file(
    tmp_path: Path, clock: ManualClock
) -> None:
    ca, new = tmp_path / "ca.pem", tmp_path / "new.pem"
    old = write(ca, NOW - 900 * DAY, NOW + DAY).read_bytes()
    ca.write_bytes(old + write(new, NOW - DAY, NOW + 900 * DAY).read_bytes())
    watched = Watched(None, clock, ca)
    watched.look()
    assert watched.message() == []


def test_the_issuers_in_a_boxs_certificate_file_are_not_checked(
    tmp_path: Path, clock: ManualClock
) -> None:
    own, signer = tmp_path / "box.crt", tmp_path / "signer.pem"
    leaf = write(own, NOW - DAY, NOW + DAY).read_bytes()
    own.write_bytes(leaf + write(signer, NOW - DAY, NOW + 900 * DAY).read_bytes())
    watched = Watched(own, clock)
    watched.look()
    assert watched.message() == ["broker.certificate expires on 2026-11-26, in 1 days"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"not PEM", "holds no certificate in PEM form")],
)
@pytest.mark.parametrize("which", get_args(CertificateKey))
def test_a_file_without_a_certificate_is_named_and_other_checks_continue(
    which: CertificateKey, content: bytes | None, message: str, tmp_path: Path, clock: ManualClock
) -> None:
    file = tmp_path / "box.crt"
    if content is not None:
        file.write_bytes(content)
    own, ca = (file, None) if which == "certificate" else (None, file)
    with pytest.raises(UserError, match=message) as caught:
        read_validity(broker(own, ca), which)
    assert "\n" not in str(caught.value)
    assert f"broker.{which} = '{file}'" in str(caught.value)
    watched = Watched(own, clock, ca)
    watched.look()
    assert watched.message() == []
