"""The process of the page's acts without an agent: its socket, its receipts, uploads, and the end of the session."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from agent.base.errors import UserError
from agent.console.act_listener import LIMITS, RECEIPT_BURST
from agent.console.act_server import read_start
from agent.console.act_wire import ActReply, ActRequest, call_act
from agent.console.page_wire import ACTS_SOCKET_NAME
from agent.update import request_file, usb_bundle
from drivers.local_wire import MessageDecoder, connect, pack_message
from tests.whole.act_box import ActFailed, ActServer
from tests.whole.act_values import is_painted, page_actions
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import TIMEOUT_S, AgentBox

MASK = "[[mask]]\npolygon = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]\n"


@pytest.fixture
def box_folder(tmp_path: Path) -> Path:
    """The folder of a box whose agent has never run."""
    box = AgentBox(tmp_path / "box", "mqtt://127.0.0.1:1", detect_fps=1)
    (box.folder / "state").mkdir()
    return box.folder


def test_an_update_is_stored_for_root_whole_or_not_at_all(box_folder: Path, tmp_path: Path) -> None:
    root = make_image_root(tmp_path)
    folder = request_file.request_dir(root)
    server = ActServer(box_folder, root=root)
    bundle = bytes(range(256)) * 1000
    with pytest.raises(ActFailed, match="256000 bytes have come; allowed: 256001"):
        server.value("update_install", bundle, len(bundle) + 1)
    with pytest.raises(ActFailed, match="256000 bytes have come; allowed: 255999"):
        server.value("update_install", bundle, len(bundle) - 1)
    with pytest.raises(ActFailed, match="the file: allowed: 2000000000 bytes at most"):
        server.value("update_install", bundle, 2_000_000_001)
    with pytest.raises(ActFailed, match="the file: allowed: 0 bytes at most"):
        server.value("status", bundle)
    assert uploads(root) == []
    request_id = server.value("update_install", bundle)["id"]
    (upload,) = uploads(root)
    assert upload.read_bytes() == bundle
    request = request_file.decode_request((folder / request_file.REQUEST_FILE).read_bytes())
    assert (request.id, request.requester) == (request_id, "amina")
    waiting = server.value("update_status")
    assert (waiting["id"], waiting["state"], waiting["lines"]) == (request_id, "waiting", [])
    assert (waiting["action"], waiting["requester"]) == ("install", "amina")
    with pytest.raises(ActFailed, match="another request waits already"):
        server.value("update_install", b"another bundle")
    copied = usb_bundle.copy_to_box(root, request.bundle_path or "", tmp_path / "downloads", print)
    assert copied.read_bytes() == bundle
    status = request_file.UpdateRequestStatus(
        id=request_id, action="install", requester="amina", state="running", step="checking"
    )
    request_file.status_file(folder).write(status)
    assert server.value("update_status")["step"] == "checking"
    done = msgspec.structs.replace(status, state="done", lines=("version 2 is in slot B",))
    request_file.status_file(folder).write(done)
    assert server.value("update_status")["lines"] == ["version 2 is in slot B"]
    # The next one takes its place, under a name of its own.
    (folder / request_file.REQUEST_FILE).unlink()
    server.value("update_install", b"the next bundle")
    (newer,) = uploads(root)
    assert newer != upload
    assert newer.read_bytes() == b"the next bundle"
    assert server.close() == 0


def make_image_root(folder: Path) -> Path:
    """Make the root of a system with slots."""
    root = folder / "root"
    (root / "proc").mkdir(parents=True)
    (root / "proc/cmdline").write_text("console=tty1 rauc.slot=A\n")
    request_file.request_dir(root).mkdir(parents=True)
    return root


def uploads(root: Path) -> list[Path]:
    return list((root / usb_bundle.UPLOAD_ROOT.lstrip("/")).glob("*"))


def test_the_end_of_the_session_leaves_no_upload_but_one_that_root_is_asked_for(
    box_folder: Path, tmp_path: Path
) -> None:
    root = make_image_root(tmp_path)
    server = ActServer(box_folder, root=root)
    read_fd, write_fd = os.pipe()
    replies = call_act(server.socket_dir, "update_install", b"{}", "en", TIMEOUT_S, read_fd, 2000)
    with ThreadPoolExecutor(1) as phone:
        reply = phone.submit(next, replies)
        os.write(write_fd, bytes(1000))
        wait_until(lambda: uploads(root))
        assert server.close() == 0
        with pytest.raises(ConnectionError):
            reply.result(TIMEOUT_S)
    os.close(read_fd)
    os.close(write_fd)
    assert uploads(root) == []
    server = ActServer(box_folder, root=root)
    server.value("update_install", b"a bundle")
    assert server.close() == 0
    assert [upload.read_bytes() for upload in uploads(root)] == [b"a bundle"]


def test_no_act_is_done_without_its_receipt_or_after_the_session(box_folder: Path) -> None:
    (box_folder / "state" / "custody").write_text("not a folder")
    server = ActServer(box_folder)
    with pytest.raises(ActFailed, match="It is not done without a receipt") as refused:
        server.lines("check", numbers=[4])
    assert (refused.value.code, refused.value.fault) == ("no_receipt", "CUS-01")
    for _ in range(2):
        with pytest.raises(ActFailed, match="It is not done without a receipt"):
            server.value("jog", head="mast", pan=1)
    socket_dir = server.socket_dir
    assert server.close() == 0
    assert not socket_dir.exists()


def test_acts_in_a_row_do_not_fill_the_custody_log(box_folder: Path) -> None:
    server = ActServer(box_folder)
    codes: list[str] = []
    while "busy" not in codes and len(codes) < 10 * RECEIPT_BURST:
        with pytest.raises(ActFailed) as refused:
            server.value("aux", head="mast", aux="wiper", on=True)
        codes.append(refused.value.code)
    assert codes[:-1] == ["agent_down"] * (len(codes) - 1)
    assert codes[-1] == "busy"
    assert len(page_actions(box_folder)) == len(codes) - 1
    assert server.close() == 0


STATUS = ActRequest(act="status", args=b"{}", language="en")


def test_a_request_that_is_none_is_refused_and_the_server_goes_on_serving(box_folder: Path) -> None:
    server = ActServer(box_folder)
    for sent in (
        b"",
        b"no message\n",
        pack_message({"act": "status"}),
        pack_message(STATUS) * 2,
        pack_message(STATUS)[:-1],
        pack_message(STATUS, 1),
        pack_message(msgspec.structs.replace(STATUS, args=b"[]")),
        pack_message(msgspec.structs.replace(STATUS, args=b"")),
        pack_message(msgspec.structs.replace(STATUS, args=b"[" * 60_000)),
        pack_message(msgspec.structs.replace(STATUS, args=b"[" * LIMITS.max_request_bytes)),
        pack_message({"act": "status", "args": {}, "language": "en"}),
        pack_message({"act": "status", "args": b"{}", "language": "de"}),
    ):
        path = server.socket_dir / ACTS_SOCKET_NAME
        with connect(path, TIMEOUT_S, 10_000) as connection:
            connection.socket.settimeout(TIMEOUT_S)
            with suppress(BrokenPipeError):
                connection.socket.sendall(sent)
            connection.end_sending()
            reply = connection.receive(MessageDecoder(ActReply), TIMEOUT_S)
        assert reply is not None
        assert reply.error is not None
        assert reply.error.code == "malformed", sent[:60]
    assert server.value("session")["technician"] == "amina"
    assert server.close() == 0


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        (b"", "first line: "),
        (b"amina\n", "first line: "),
        (b'{"technician":"amina","language":"de"}\n', "first line: "),
        (b'{"technician":"Robert DROP","language":"en"}\n', "allowed: the name of a login"),
    ],
)
def test_a_wrong_first_line_is_refused(line: bytes, allowed: str) -> None:
    with pytest.raises(UserError, match=allowed):
        read_start(line)


def test_without_an_agent_a_mask_of_any_preset_hides_the_whole_picture_of_a_head(
    box_folder: Path,
) -> None:
    file = box_folder / "vigie.toml"
    scenes = file.read_text().replace('scene = "scene.toml"', 'scenes = { gate = "scene.toml" }')
    file.write_text(f'{scenes}[[head]]\nname = "mast"\ndriver = "fake"\ncamera = "north"\n')
    (box_folder / "scene.toml").write_text(MASK)
    server = ActServer(box_folder)
    picture = server.replies("picture", camera="north")[0]
    assert picture.error is None
    assert is_painted(picture.jpeg, slice(None), slice(None))
    assert server.close() == 0
