"""The command `bundle` from its arrival to its reply: a real bundle, sent to a real server."""

import hashlib
import io
from pathlib import Path

import msgspec
import pytest

from agent.base.model import CommandAccepted, CommandDone
from agent.clips.upload_replies import BundleResult
from agent.config.link import LinkConfig
from agent.diagnostics.support_bundle import archive_format
from tests.vectors.street import StreetBox
from tests.whole.report.reporting_box import wait_until
from tests.whole.uploads.upload_box import BOX, UploadBox
from tests.whole.uploads.upload_servers import UploadServers

CONFIG = """
[box]
id = "{box}"
site = "corner"
state = "."
[broker]
url = "mqtt://127.0.0.1"
password_file = "broker.password"
"""


@pytest.fixture
def street(tmp_path: Path) -> StreetBox:
    """A box that has recorded, with its configuration and a secret next to it."""
    street = StreetBox(tmp_path / "state", BOX)
    street.record("north", 1, 2)
    (street.state / "vigie.toml").write_text(CONFIG.format(box=BOX))
    (street.state / "broker.password").write_text("swordfish-1")
    return street


@pytest.fixture
def link(servers: UploadServers) -> LinkConfig:
    return LinkConfig(upload_hosts=("localhost",), ca=str(servers.ca))


def put(servers: UploadServers, key: str) -> dict[str, object]:
    return {"kind": "put", "url": servers.presign("PUT", key)}


def result_of(box: UploadBox) -> BundleResult:
    reply = box.wait_for_reply()
    assert isinstance(reply, CommandDone), reply
    return msgspec.json.decode(reply.result, type=BundleResult)


def test_a_signed_bundle_arrives_with_its_hash_and_nothing_of_it_stays(
    street: StreetBox, link: LinkConfig, servers: UploadServers
) -> None:
    with UploadBox(street, link) as box:
        box.send_bundle(put(servers, "bundle"))
        result = result_of(box)
    content = servers.get_object("bundle")
    assert (result.sha256, result.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (result.media_type, result.host) == ("application/gzip", "localhost")
    verification = archive_format.verify(io.BytesIO(content), street.public_key)
    assert verification.ok, verification.reason
    assert "config.json" in archive_format.unpack(io.BytesIO(content))
    assert box.actions == [("amina", "a support bundle for localhost")]
    assert [path.suffix for path in (street.state / "uploads").iterdir()] == [".json"]
    (record,) = (street.state / "uploads").iterdir()
    assert "Signature=" not in record.read_text()


def test_a_repeat_gets_the_outcome_also_in_the_next_run(
    street: StreetBox, link: LinkConfig, servers: UploadServers
) -> None:
    upload = put(servers, "repeated")
    with UploadBox(street, link) as box:
        box.send_bundle(upload)
        first = result_of(box)
    with UploadBox(street, link) as later:
        later.send_bundle(upload)
        assert result_of(later) == first
        assert later.actions == []


def test_a_bundle_that_was_not_made_when_the_agent_ended_is_answered_by_the_next_run(
    street: StreetBox,
) -> None:
    link = LinkConfig(upload_hosts=("localhost",))
    with UploadBox(street, link, never_turned="bundle") as box:
        box.send_bundle({"kind": "put", "url": "https://localhost/x?secret"})
        wait_until(lambda: box.replies)
    assert box.replies == [CommandAccepted(command="one", verb="bundle")]
    (accepted,) = (street.state / "uploads").iterdir()
    assert "secret" not in accepted.read_text()
    with UploadBox(street, link) as later:
        refusal = later.wait_for_refusal()
    assert later.published == [refusal]
    assert refusal.message == "the agent ended before it was done: nothing was queued for upload"
    assert list((street.state / "uploads").iterdir()) == []


def test_a_bundle_goes_to_a_configured_host_alone(street: StreetBox, link: LinkConfig) -> None:
    with UploadBox(street, link) as box:
        box.send_bundle({"kind": "put", "url": "https://evil.example/x?Signature=secret"})
        refusal = box.wait_for_refusal()
    assert refusal.code == "forbidden"
    assert "secret" not in refusal.message
    assert box.actions == []


def test_a_disk_that_takes_nothing_is_a_refusal(
    street: StreetBox, link: LinkConfig, servers: UploadServers
) -> None:
    with UploadBox(street, link) as box:
        (street.state / "uploads").rmdir()
        (street.state / "uploads").write_text("")
        box.send_bundle(put(servers, "none"))
        refusal = box.wait_for_refusal()
        (street.state / "uploads").unlink()
    assert refusal.code == "failed"
    assert refusal.message.startswith("the command cannot be stored: ")
