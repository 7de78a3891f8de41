"""The command `clip` from its arrival to its reply: forms, receipts, budgets, restarts, refusals."""

import hashlib
import io
import json
import logging
import os
import shutil
import signal
import stat
import threading
import zipfile
from pathlib import Path

import av
import msgspec
import pytest

from agent.clips.clip_task import MadeFile, made_path
from agent.clips.upload_queue import UploadQueue, UploadRecord
from agent.config.configuration import InstitutionConfig
from agent.config.link import LinkConfig
from agent.recording.encryption.keys import generate_key_pair, parse_public_key, read_private_key
from agent.recording.export.unseal import unseal_all
from agent.recording.export.verify import verify_export
from tests.loopback_server import TcpProxy
from tests.vectors.street import StreetBox
from tests.whole.report.reporting_box import wait_until
from tests.whole.uploads.scripted_server import ScriptedServer
from tests.whole.uploads.upload_box import BOX, UploadBox
from tests.whole.uploads.upload_servers import UploadServers

MADE = MadeFile(sha256="0" * 64, size_bytes=1, media_type="video/mp4", begin="", end="")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a box that has recorded the rendered street."""
    state = tmp_path_factory.mktemp("recorded") / "state"
    StreetBox(state, BOX).record("north", 1, 14)
    return state


@pytest.fixture
def street(recorded: Path, tmp_path: Path) -> StreetBox:
    shutil.copytree(recorded, tmp_path / "state")
    return StreetBox(tmp_path / "state", BOX)


@pytest.fixture
def link(servers: UploadServers) -> LinkConfig:
    return LinkConfig(upload_hosts=("localhost",), ca=str(servers.ca))


def put(servers: UploadServers, key: str) -> dict[str, object]:
    return {"kind": "put", "url": servers.presign("PUT", key)}


def pictures(content: bytes) -> list[tuple[int, int]]:
    """The sizes of the pictures of a video."""
    with av.open(io.BytesIO(content)) as container:
        return [(frame.width, frame.height) for frame in container.decode(video=0)]


def test_each_form_arrives_with_its_hash(
    street: StreetBox, link: LinkConfig, servers: UploadServers
) -> None:
    sizes: dict[str, int] = {}
    with UploadBox(street, link) as box:
        for form in ("original", "light", "thumbs"):
            box.send(put(servers, form), form, form=form)
        for form in ("original", "light", "thumbs"):
            result = box.wait_for_result(form)
            content = servers.get_object(form)
            assert result.sha256 == hashlib.sha256(content).hexdigest()
            assert (result.size_bytes, result.host) == (len(content), "localhost")
            assert (result.begin, result.end) == (
                "2026-11-25T01:00:04.000Z",
                "2026-11-25T01:00:12.000Z",
            )
            sizes[form] = len(content)
        assert len(pictures(servers.get_object("original"))) == 80
        assert 38 <= len(pictures(servers.get_object("light"))) <= 41
        assert servers.get_object("thumbs").startswith(b"\xff\xd8")
        assert box.wait_for_result("thumbs").times[0] == "2026-11-25T01:00:04.000Z"
    assert sizes["light"] < sizes["original"]
    assert [path.suffix for path in (street.state / "uploads").iterdir()] == [".json"] * 3


def test_a_whole_export_verifies_with_the_key_of_the_box(
    street: StreetBox, link: LinkConfig, servers: UploadServers, tmp_path: Path
) -> None:
    with UploadBox(street, link) as box:
        box.send({"kind": "tus", "url": servers.tus_url()}, form="export")
        result = box.wait_for_result()
    (content,) = [
        each for each in servers.tus_files() if hashlib.sha256(each).hexdigest() == result.sha256
    ]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path / "evidence")
    verdict = verify_export(tmp_path / "evidence" / "export", known_key=street.public_key)
    assert verdict.first_problem is None
    manifest = json.loads((tmp_path / "evidence" / "export" / "manifest.json").read_bytes())
    assert (manifest["by"], manifest["purpose"]) == ("amina", "case 2026/118")


def test_the_receipt_is_there_before_the_first_byte_and_names_the_host_alone(
    street: StreetBox, link: LinkConfig, servers: UploadServers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with UploadBox(street, link) as box:
        box.send({"kind": "put", "url": servers.presign("PUT", "wrong").replace("wrong", "x")})
        refusal = box.wait_for_refusal()
        assert "localhost answers PUT with 403" in refusal.message
        ((record, made),) = box.receipts
    assert (record.by, record.host, made.media_type) == ("amina", "localhost", "video/mp4")
    everything = caplog.text + "".join(
        path.read_text() for path in (street.state / "uploads").glob("*.json")
    )
    assert "Signature=" not in everything + refusal.message
    assert stat.S_IMODE((street.state / "uploads").stat().st_mode) == 0o700


def test_without_its_receipt_nothing_is_sent(
    street: StreetBox, link: LinkConfig, tmp_path: Path
) -> None:
    tries: list[str] = []

    def refuse(record: UploadRecord, _made: MadeFile) -> None:
        tries.append(record.id)
        raise OSError("the disk is full")

    with ScriptedServer(tmp_path, b"") as server:
        with UploadBox(
            street, msgspec.structs.replace(link, ca=str(server.ca)), record_sending=refuse
        ) as box:
            box.send({"kind": "put", "url": server.url})
            wait_until(lambda: box.clock.advance_s(0.02) or len(tries) > 1)
        assert server.requests == []


def test_an_upload_continues_after_a_restart_and_its_command_is_answered_once(
    street: StreetBox, link: LinkConfig, servers: UploadServers
) -> None:
    with TcpProxy(servers.tus_port, 30_000) as proxy:
        upload: dict[str, object] = {"kind": "tus", "url": servers.tus_url(proxy.port)}
        with UploadBox(street, link) as box:
            box.send(upload)
            wait_until(lambda: proxy.cuts)
        (record,) = box.queue.pending()
        assert record.made is not None
        assert record.progress.location
        assert [reply for reply in box.replies if hasattr(reply, "code")] == []
        proxy.cut_after_bytes = None
        with UploadBox(street, link) as later:
            result = later.wait_for_result()
            assert later.replies == []
            assert later.receipts == [], "it was written by the first run"
            later.send(upload)
            wait_until(lambda: later.replies)
            (repeated,) = later.replies
            assert json.loads(msgspec.json.encode(repeated))["result"]["sha256"] == result.sha256
            later.send(upload, form="light")
            wait_until(lambda: len(later.replies) == 2)
            assert later.replies[1].code == "malformed"  # type: ignore[union-attr]
        with UploadBox(street, link) as last:
            last.send(upload)
            assert last.wait_for_result() == result
            assert last.published == []
    assert result.sha256 in {hashlib.sha256(each).hexdigest() for each in servers.tus_files()}


def test_a_child_that_dies_is_replaced(street: StreetBox, link: LinkConfig, tmp_path: Path) -> None:
    done = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with (
        ScriptedServer(tmp_path, None, done) as server,
        UploadBox(street, msgspec.structs.replace(link, ca=str(server.ca))) as box,
    ):
        box.send({"kind": "put", "url": server.url})
        wait_until(lambda: len(server.requests) == 1)
        run = box.stage._run
        assert run is not None
        os.kill(run.process.pid, signal.SIGKILL)
        assert box.wait_for_result().host == "localhost"


def test_a_clip_whose_folder_cannot_be_made_is_tried_again(
    street: StreetBox, link: LinkConfig, servers: UploadServers, caplog: pytest.LogCaptureFixture
) -> None:
    with UploadBox(street, link) as box:
        blocking = box.queue.file_of("one").with_name("one.file.making")
        blocking.touch()
        box.send(put(servers, "later"))
        wait_until(lambda: "cannot be started" in caplog.text)
        blocking.unlink()
        box.wait_for_result()


def test_a_result_that_the_disk_refuses_is_stored_later_and_nothing_is_sent_twice(
    street: StreetBox, link: LinkConfig, tmp_path: Path
) -> None:
    done = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    stopping = threading.Event()
    with (
        ScriptedServer(tmp_path, done) as server,
        UploadBox(
            street, msgspec.structs.replace(link, ca=str(server.ca)), never_turned="uploads"
        ) as box,
    ):
        box.send({"kind": "put", "url": server.url})
        wait_until(box.queue.pending)

        def is_about_to_send() -> bool:
            box.stage.run_once(stopping)
            return box.stage._run is not None and box.stage._run.pending_send is not None

        wait_until(is_about_to_send)
        record = street.state / "uploads/one.json"
        kept = record.rename(tmp_path / "one.json")
        (record / "no file").mkdir(parents=True)
        with pytest.raises(IsADirectoryError):
            wait_until(lambda: box.stage.run_once(stopping))
        for _ in range(3):
            box.clock.advance_s(600)
            with pytest.raises(IsADirectoryError):
                box.stage.run_once(stopping)
        shutil.rmtree(record)
        kept.rename(record)
        box.stage.run_once(stopping)
        assert box.wait_for_result().host == "localhost"
        assert len(server.requests) == 1
        ended = box.queue.find("one")
        assert ended is not None
        assert ended.made is not None
        assert ended.sent_bytes == ended.made.size_bytes


def test_a_link_in_the_place_of_the_file_that_was_made_is_not_taken(street: StreetBox) -> None:
    """Its child could name a file that the other one may not read."""
    queue = UploadQueue.open(street.state)
    made_path(queue.empty_making_folder("one")).symlink_to(street.state / "identity/box.key")
    with pytest.raises(OSError, match="is not a regular file"):
        queue.take_made("one", MADE)
    assert not queue.file_of("one").exists()


def test_a_server_that_never_answers_does_not_hold_the_stage(
    street: StreetBox, link: LinkConfig, tmp_path: Path
) -> None:
    done = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with (
        ScriptedServer(tmp_path, None, done) as server,
        UploadBox(street, msgspec.structs.replace(link, ca=str(server.ca))) as box,
    ):
        box.send({"kind": "put", "url": server.url})
        wait_until(lambda: len(server.requests) == 1)
        box.clock.advance_s(121)
        box.wait_for_result()


def test_the_bytes_of_a_day_end_and_the_next_day_continues(
    street: StreetBox, link: LinkConfig, servers: UploadServers
) -> None:
    small = msgspec.structs.replace(link, bytes_per_day=1_000_000)
    with UploadBox(street, small) as box:
        day = box.clock.utc(box.clock.boottime_ns()).toordinal()
        assert box.budget.take(799_999, "transfer", 0, day) == 0
        box.send(put(servers, "tomorrow"))
        # Its pause has begun.
        wait_until(lambda: not box.stage._schedule.is_due("one", box.clock.boottime_ns()))
        assert box.queue.pending()
        box.clock.step_s(86_400)
        box.clock.advance_s(3600)
        box.wait_for_result()
        usage = box.budget.usage()
        assert usage.day == day + 1
        assert 0 < usage.size_bytes < 1_000_000


def test_a_clip_of_an_incident_goes_before_one_that_runs(
    street: StreetBox, link: LinkConfig, servers: UploadServers, tmp_path: Path
) -> None:
    with ScriptedServer(tmp_path, None) as silent:
        both = tmp_path / "both.pem"
        both.write_bytes(silent.ca.read_bytes() + servers.ca.read_bytes())
        with UploadBox(street, msgspec.structs.replace(link, ca=str(both))) as box:
            box.send({"kind": "put", "url": silent.url}, "slow")
            wait_until(lambda: silent.requests)
            box.send(put(servers, "urgent"), "urgent", form="thumbs", role="incident")
            box.wait_for_result("urgent")
            assert [record.id for record in box.queue.pending()] == ["slow"]


def test_messages_that_wait_go_first(
    street: StreetBox, link: LinkConfig, servers: UploadServers
) -> None:
    waiting = [True]
    with UploadBox(street, link, is_outbox_behind=lambda: waiting[0]) as box:
        box.send(put(servers, "later"), "later")
        wait_until(lambda: box.receipts)
        assert box.budget.usage().size_bytes == 0
        waiting[0] = False
        box.wait_for_result("later")


def test_a_degraded_box_sends_no_clip_but_an_incidents(
    street: StreetBox, link: LinkConfig, servers: UploadServers
) -> None:
    with UploadBox(street, link) as box:
        box.stage.set_level("record_only")
        box.send(put(servers, "normal"), "normal")
        box.send(put(servers, "incident"), "incident", form="thumbs", role="incident")
        box.wait_for_result("incident")
        assert [record.id for record in box.queue.pending()] == ["normal"]
        box.stage.set_level("full")
        box.wait_for_result("normal")


def test_sealed_footage_stays_sealed(
    tmp_path: Path, link: LinkConfig, servers: UploadServers
) -> None:
    public = parse_public_key(generate_key_pair(tmp_path / "centre.pem"), "the centre")
    street = StreetBox(tmp_path / "state", BOX, {"centre": public})
    street.record("north", 1, 14)
    with UploadBox(street, link) as box:
        for form in ("light", "original", "export"):
            box.send(put(servers, f"sealed-{form}"), form, form=form)
        refusal = box.wait_for_refusal("light")
        assert refusal.code == "unsupported"
        assert "allowed: the forms original and export" in refusal.message
        assert box.wait_for_result("original").media_type == "application/zip"
        box.wait_for_result("export")
    for form in ("original", "export"):
        with zipfile.ZipFile(io.BytesIO(servers.get_object(f"sealed-{form}"))) as archive:
            archive.extractall(tmp_path / form)
    names = {path.name for path in (tmp_path / "original").iterdir()}
    assert len(names) == 4
    assert not (tmp_path / "export" / "export" / "clip.mp4").exists()
    assert verify_export(tmp_path / "export" / "export").first_problem is None
    key = read_private_key(tmp_path / "centre.pem")
    unseal_all(tmp_path / "original", key, tmp_path / "plain")
    assert all(pictures(path.read_bytes()) for path in (tmp_path / "plain").iterdir())


def test_masks_are_painted_into_each_form(
    tmp_path: Path, link: LinkConfig, servers: UploadServers
) -> None:
    street = StreetBox(tmp_path / "state", BOX)
    street.masks = (((0.0, 0.0), (0.6, 0.0), (0.6, 0.6), (0.0, 0.6)),)
    street.record("north", 1, 14)
    with UploadBox(street, link) as box:
        for form in ("original", "light"):
            box.send(put(servers, f"masked-{form}"), form, form=form)
        for form in ("original", "light"):
            box.wait_for_result(form)
            with av.open(io.BytesIO(servers.get_object(f"masked-{form}"))) as container:
                corners = [
                    frame.to_ndarray(format="gray")[5:80:15, 5:150:29]
                    for frame in container.decode(video=0)
                ]
            assert max(int(c.max()) for c in corners) - min(int(c.min()) for c in corners) < 16


REFUSALS = {
    "another host": (
        {"upload": {"kind": "put", "url": "https://evil.example/x?secret"}},
        "forbidden",
        "upload host 'evil.example': allowed: localhost",
    ),
    "plain http": (
        {"upload": {"kind": "put", "url": "http://localhost/x?secret"}},
        "malformed",
        "allowed: https://HOST/PATH",
    ),
    "a user": (
        {"upload": {"kind": "put", "url": "https://secret@localhost/x"}},
        "malformed",
        "allowed: https://HOST/PATH",
    ),
    "a line break": (
        {"upload": {"kind": "tus", "url": "https://localhost/x\r\nsecret: 1"}},
        "malformed",
        "allowed: https://HOST/PATH",
    ),
    "an end before its begin": (
        {"begin": "2026-11-25T01:00:11Z", "end": "2026-11-25T01:00:05Z"},
        "malformed",
        "end after begin",
    ),
    "a long span": (
        {"begin": "2026-11-25T01:00:00Z", "end": "2026-11-25T08:00:00Z"},
        "malformed",
        "by at most 6 h",
    ),
    "no such camera": ({"camera": "south"}, "unknown", "there are: north"),
    "a path for a camera": ({"camera": "../north"}, "malformed", "camera"),
    "no footage": (
        {"begin": "2026-11-25T02:00:00Z", "end": "2026-11-25T02:00:05Z"},
        "unsupported",
        "no complete footage",
    ),
    "an unknown form": ({"form": "best"}, "malformed", "form"),
    "two lines for a purpose": ({"purpose": "a\nb"}, "malformed", "purpose"),
    "small parts": (
        {
            "upload": {
                "kind": "s3_multipart",
                "part_urls": ["https://localhost/?secret"],
                "part_bytes": 1000,
                "complete_url": "https://localhost/?secret",
            }
        },
        "malformed",
        "part_bytes",
    ),
}


@pytest.mark.parametrize(("changes", "code", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_is_not_allowed_is_refused_in_one_line_without_secrets(
    street: StreetBox, changes: dict[str, object], code: str, message: str
) -> None:
    args = {"upload": {"kind": "put", "url": "https://localhost/x"}} | changes
    with UploadBox(street, LinkConfig(upload_hosts=("localhost",))) as box:
        box.send(**args)  # type: ignore[arg-type]
        refusal = box.wait_for_refusal()
    assert (refusal.code, "secret" in refusal.message) == (code, False)
    assert message in refusal.message
    assert "\n" not in refusal.message


def test_a_box_without_hosts_sends_no_footage(street: StreetBox) -> None:
    with UploadBox(street, LinkConfig()) as box:
        box.send({"kind": "put", "url": "https://localhost/x"})
        assert box.wait_for_refusal().code == "unsupported"


def test_a_metered_link_is_spared(street: StreetBox) -> None:
    metered = LinkConfig(upload_hosts=("localhost",), metered=True, bytes_per_day=10_000_000)
    upload = {"kind": "put", "url": "https://localhost/x"}
    with UploadBox(street, metered) as box:
        box.send(upload, "a", form="export")
        assert "the link is metered; allowed: thumbs, light" in box.wait_for_refusal("a").message
        box.send(upload, "b", form="light")
        box.send(upload, "c", form="original", role="incident")
        wait_until(lambda: len(box.queue.pending()) == 2)


def test_a_lent_camera_is_sent_for_its_viewers_only(street: StreetBox, link: LinkConfig) -> None:
    policy = InstitutionConfig(owner="tram", purpose="safety", viewers=("samira",))
    upload = {"kind": "put", "url": "https://localhost/x"}
    with UploadBox(street, link, {"north": policy}) as box:
        box.send(upload, "no")
        assert box.wait_for_refusal("no").code == "forbidden"
        box.send(upload, "yes", form="thumbs", by="samira")
        wait_until(box.queue.pending)


def test_too_many_clips_are_refused(street: StreetBox, tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, None) as silent:
        link = LinkConfig(upload_hosts=("localhost",), ca=str(silent.ca))
        with UploadBox(street, link) as box:
            for number in range(17):
                box.send({"kind": "put", "url": silent.url}, str(number))
            refusal = box.wait_for_refusal("16")
            assert (refusal.code, refusal.message) == (
                "busy",
                "16 uploads wait already; allowed: 16",
            )
