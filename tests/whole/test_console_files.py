"""Files over the technician's own cable, with the programs of a terminal program: rx and sx of lrzsz,
the receiver and sender of minicom and of most others.
"""

import hashlib
import re
import shutil
import subprocess
import tarfile
import termios
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.__main__ import main
from agent.console.byte_line import FLOW_CONTROL
from agent.console.commands.camera import MAX_JPEG_BYTES
from agent.recording.custody.receipts import FootageViewed, ServiceAction, parse_line
from tests.whole.report.broker import Certificates
from tests.whole.technician import ConsoleTechnician, make_box_folder

pytestmark = pytest.mark.skipif(
    shutil.which("rx") is None or shutil.which("sx") is None, reason="needs rx and sx: lrzsz"
)

PROMPT = "casa-0001> "
BOX = """
[box]
id = "casa-0001"
site = "Bd Mohammed V"
state = "state"
[broker]
url = "mqtts://127.0.0.1:1"
ca = "ca.crt"
certificate = "box.pem"
key = "box.key"
[[camera]]
name = "north"
driver = "fake"
options = {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = make_box_folder(tmp_path / "box", BOX)
    authority = Certificates(folder)
    authority.make_certificate("casa-0001")
    for kind in ("crt", "key"):
        (folder / f"casa-0001.{kind}").rename(folder / f"box.{kind.replace('crt', 'pem')}")
    return folder


@pytest.fixture
def seat(folder: Path) -> Iterator[ConsoleTechnician]:
    """At a line of 115200."""
    seat = ConsoleTechnician(folder, baud=115_200)
    seat.log_in()
    yield seat
    if seat.process.returncode is None:
        seat.unplug()


def begin(seat: ConsoleTechnician, line: str) -> str:
    """Type a command, and read up to the instruction for the terminal program."""
    seat.send(line.encode() + b"\r")
    return seat.read_until_seen("Ctrl-C cancels.\r\n")


def summed(text: str) -> str:
    found = re.search(r"sha256 ([0-9a-f]{64})", text)
    assert found, text
    return found[1]


@pytest.mark.parametrize("program", [["rx", "-c"], ["rx"]], ids=["crc", "sums"])
def test_a_support_bundle_comes_over_the_cable_and_verifies(
    seat: ConsoleTechnician, folder: Path, program: list[str]
) -> None:
    told = begin(seat, "bundle xmodem")
    name = re.search(r"vigie-bundle-\S+\.tar\.gz", told)
    assert name
    assert seat.transfer(*program, "-q", name[0]) == 0
    after = seat.read_until(PROMPT)
    assert f"Sent. Check it: sha256sum {name[0]}" in after
    got = folder / name[0]
    assert summed(told) == summed(after) == hashlib.sha256(got.read_bytes()).hexdigest()
    assert f"{got.stat().st_size} bytes" in told
    assert main(["bundle", "verify", str(got)]) == 0
    with tarfile.open(got) as tar:
        assert any(member.endswith("manifest.json") for member in tar.getnames())
    for words in (["tar", "-tzf"], ["gzip", "-t"]):
        done = subprocess.run([*words, str(got)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert not list((folder / "state").glob("vigie-bundle*"))


@pytest.fixture
def slow_seat(folder: Path) -> Iterator[ConsoleTechnician]:
    """At a line of 9600."""
    seat = ConsoleTechnician(folder, "--baud", "9600", baud=9600)
    seat.log_in()
    yield seat
    if seat.process.returncode is None:
        seat.unplug()


def test_a_certificate_request_goes_out_and_its_certificate_comes_in_at_9600_baud(
    slow_seat: ConsoleTechnician, folder: Path
) -> None:
    seat = slow_seat
    begin(seat, "enrol request xmodem")
    assert seat.transfer("rx", "-c", "-q", "casa-0001.csr.pem") == 0
    seat.read_until(PROMPT)
    signed = sign(folder, folder / "casa-0001.csr.pem")
    begin(seat, "enrol certificate xmodem")
    assert seat.transfer("sx", "-k", "-q", signed.name) == 0
    told = seat.read_until(PROMPT)
    assert summed(told) == hashlib.sha256(signed.read_bytes()).hexdigest()
    assert "Certificate of casa-0001, valid until" in told
    taken = x509.load_pem_x509_certificate((folder / "box.pem").read_bytes())
    key = load_pem_private_key((folder / "box.key").read_bytes(), None)
    assert taken.public_key() == key.public_key()


def sign(folder: Path, request: Path) -> Path:
    signed = folder / "signed.pem"
    words = ["x509", "-req", "-in", request.name, "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "9"]
    subprocess.run(
        ["openssl", *words, "-CAcreateserial", "-out", signed.name],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return signed


def test_a_cancelled_transfer_leaves_the_console_as_it_was(
    seat: ConsoleTechnician, folder: Path
) -> None:
    begin(seat, "bundle xmodem")
    assert seat.transfer("rx", "-c", "-q", "some.tar.gz", cancel_after_bytes=3000) != 0
    assert "not sent: the other end has cancelled it. Try again." in seat.read_until(PROMPT)
    (folder / "long").write_bytes(bytes(20_000))
    begin(seat, "enrol certificate xmodem")
    assert seat.transfer("sx", "-k", "-q", "long", cancel_after_bytes=5000) != 0
    assert "not received: the other end has cancelled it. Try again." in seat.read_until(PROMPT)
    assert "Box casa-0001" in seat.run_command("status")


@pytest.mark.parametrize("line", ["bundle xmodem", "enrol certificate xmodem"])
def test_ctrl_c_ends_a_transfer_without_a_transfer_program(
    seat: ConsoleTechnician, line: str
) -> None:
    begin(seat, line)
    seat.send(b"\x03")
    assert re.search(r"not (sent|received): cancelled. Try again.\n", seat.read_until(PROMPT))
    assert "Box casa-0001" in seat.run_command("status")


def test_a_file_that_is_not_a_certificate_is_refused(seat: ConsoleTechnician, folder: Path) -> None:
    seat.run_command("enrol request")
    (folder / "noise").write_bytes(bytes(range(256)) * 9 + b"\x18" * 300)
    begin(seat, "enrol certificate xmodem")
    assert seat.transfer("sx", "-k", "-q", "noise") == 0
    assert "not a certificate in PEM" in seat.read_until(PROMPT).replace("\n", " ")
    (folder / "huge").write_bytes(bytes(100_000))
    begin(seat, "enrol certificate xmodem")
    assert seat.transfer("sx", "-k", "-q", "huge") != 0
    assert "not received: it is longer than 32000 bytes" in seat.read_until(PROMPT)


def test_flow_control_bytes_in_a_file_are_transferred(
    seat: ConsoleTechnician, folder: Path
) -> None:
    """Ctrl-S and Ctrl-Q are bytes of a file like others; after it they hold the output again."""
    assert termios.tcgetattr(seat.pty_master)[0] & FLOW_CONTROL == FLOW_CONTROL
    (folder / "flow").write_bytes(b"\x11\x13" * 700)
    begin(seat, "enrol certificate xmodem")
    seat.wait_for(lambda: termios.tcgetattr(seat.pty_master)[0] & FLOW_CONTROL == 0)
    assert seat.transfer("sx", "-k", "-q", "flow") == 0
    told = seat.read_until(PROMPT)
    assert summed(told) == hashlib.sha256(b"\x11\x13" * 700).hexdigest()
    assert termios.tcgetattr(seat.pty_master)[0] & FLOW_CONTROL == FLOW_CONTROL


def test_a_stop_during_a_transfer_ends_the_console_although_the_line_hangs_up(
    seat: ConsoleTechnician,
) -> None:
    begin(seat, "bundle xmodem")
    seat.unplug()
    assert seat.process.returncode == 0


def test_a_picture_of_a_camera_comes_over_the_cable_with_its_receipts(
    seat: ConsoleTechnician, folder: Path
) -> None:
    told = begin(seat, "camera north xmodem")
    name = re.search(r"casa-0001-north-\d{8}T\d{6}Z\.jpg", told)
    size = re.search(r"(\d+) bytes", told)
    assert name
    assert size
    assert re.search(r"about [\d.]+ s at 115200 baud", " ".join(told.split()))
    assert seat.transfer("rx", "-c", "-q", name[0]) == 0
    seat.read_until(PROMPT)
    picture = folder / name[0]
    assert picture.stat().st_size == int(size[1]) <= MAX_JPEG_BYTES
    assert np.asarray(cv2.imread(str(picture))).shape == (720, 1280, 3)
    bodies = [
        parse_line(line).receipt.body
        for path in (folder / "state" / "custody").glob("*.chain")
        for line in path.read_bytes().splitlines()
    ]
    viewed = [body for body in bodies if isinstance(body, FootageViewed)]
    assert [(body.camera, body.by) for body in viewed] == [("north", "amina")]
    actions = [body.action for body in bodies if isinstance(body, ServiceAction)]
    digest = hashlib.sha256(picture.read_bytes()).hexdigest()
    assert actions[-1] == f"sends {name[0]}, sha256 {digest}"


def test_no_pixel_under_a_mask_leaves_in_a_picture(seat: ConsoleTechnician, folder: Path) -> None:
    config = folder / "vigie.toml"
    (folder / "mask.toml").write_text(
        "[[mask]]\npolygon = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]\n"
    )
    config.write_text(config.read_text() + '[camera.detect]\nscene = "mask.toml"\n')
    seat.run_command("logout")
    seat.answer_challenge()
    told = begin(seat, "camera north xmodem")
    name = re.search(r"casa-0001-north-\d{8}T\d{6}Z\.jpg", told)
    assert name
    assert seat.transfer("rx", "-c", "-q", name[0]) == 0
    seat.read_until(PROMPT)
    picture = np.asarray(cv2.imread(str(folder / name[0])))
    masked = picture[:, : picture.shape[1] // 2 - 16]
    assert masked.std() < 2
    assert picture[:, picture.shape[1] // 2 + 16 :].std() > 10
