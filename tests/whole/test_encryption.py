"""agent.recording.encryption on a real disk: only a recipient's private key decrypts the pictures."""

import base64
import hashlib
import logging
import os
import random
import shutil
import subprocess
from pathlib import Path

import av
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rich.pretty import pretty_repr

from agent.base.errors import UserError
from agent.config.recording import Recipient
from agent.recording.encryption.key_wrapping import Sealer, read_sidecar, unwrap_segment_key
from agent.recording.encryption.keys import KeyRing, SegmentKey, generate_key_pair, read_private_key
from agent.recording.muxer import MuxerError, check_stream
from agent.recording.open_segment import ClosedSegment, OpenSegment
from agent.recording.quarantine import QUARANTINE_DIR
from agent.recording.recovery import delete_segment, recover_folder
from agent.recording.segment_name import KEYS_SUFFIX, PART_SUFFIX, SegmentName, parse_segment_name
from drivers.media import Packet, StreamInfo
from tests.conftest import ManualClock
from tests.whole.test_record_stage import GOP, X264, encode, packets_of


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("video") / "video.mp4", "libx264", "yuv420p", X264)


@pytest.fixture(scope="module")
def stream(video: Path) -> tuple[StreamInfo, list[Packet]]:
    return packets_of(video)


class Centre:
    """A recipient with a key file, and their entry in the configuration."""

    def __init__(self, folder: Path, name: str = "centre") -> None:
        self.path = folder / f"{name}.pem"
        self.recipient = Recipient(id=name, public_key=generate_key_pair(self.path))
        self.key = read_private_key(self.path)


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


def sealer_for(*recipients: Recipient, keys: KeyRing | None = None, **other: str) -> Sealer:
    places = {"box": "box-1", "camera": "north", **other}
    made = Sealer.from_config(recipients, key_ring=keys or KeyRing(10), **places)
    assert made is not None
    return made


def segment_name(counter: int = 1) -> SegmentName:
    clock = ManualClock()
    return SegmentName(
        counter=counter, boot="1f155cfd", begin_ms=counter * 1000, utc=clock.boot_utc, synced=True
    )


def write(
    folder: Path,
    stream: tuple[StreamInfo, list[Packet]],
    sealer: Sealer | None,
    name: SegmentName | None = None,
) -> ClosedSegment:
    """One segment of all the packets."""
    folder.mkdir(exist_ok=True)
    info, packets = stream
    part = OpenSegment(folder, name or segment_name(), info, ManualClock(), 0.0, sealer)
    for packet in packets:
        part.add(packet)
    return part.finish()


def digests(path: Path, key: SegmentKey | None = None) -> list[str]:
    """The digest of each picture, decrypted by libavformat."""
    options = {"decryption_key": key.key.hex()} if key else {}
    with av.open(str(path), options=options) as container:
        return [
            hashlib.sha256(frame.to_ndarray(format="gray").tobytes()).hexdigest()
            for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt", "options"),
    [
        (".mp4", "libx264", "yuv420p", X264),
        (".mkv", "libx264", "yuv420p", {"preset": "ultrafast", "bf": "2", "sc_threshold": "0"}),
        (
            ".ts",
            "libx265",
            "yuv420p",
            {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=0"},
        ),
        (".avi", "mjpeg", "yuvj420p", {}),
        (".avi", "mpeg4", "yuv420p", {}),
    ],
)
def test_the_private_key_decrypts_every_picture_and_the_disk_has_none_in_plain(
    tmp_path: Path, centre: Centre, suffix: str, codec: str, pix_fmt: str, options: dict[str, str]
) -> None:
    stream = packets_of(encode(tmp_path / f"video{suffix}", codec, pix_fmt, options))
    plain = write(tmp_path / "plain", stream, None)
    sealed = write(tmp_path / "sealed", stream, sealer_for(centre.recipient))
    key = unwrap_segment_key(Path(f"{sealed.path}{KEYS_SUFFIX}"), centre.key)
    assert digests(sealed.path, key) == digests(plain.path)
    assert (plain.encrypted, sealed.encrypted) == (False, True)
    data, open_data = sealed.path.read_bytes(), plain.path.read_bytes()
    middles = [packet.data[len(packet.data) // 2 :][:24] for packet in stream[1]]
    assert all(middle in open_data for middle in middles)
    assert not any(middle in data for middle in middles)


def test_a_wrong_key_shows_no_picture(
    tmp_path: Path, stream: tuple[StreamInfo, list[Packet]], centre: Centre
) -> None:
    plain = digests(write(tmp_path / "plain", stream, None).path)
    sealed = write(tmp_path / "sealed", stream, sealer_for(centre.recipient))
    for key in (None, SegmentKey(bytes(16))):
        try:
            seen = digests(sealed.path, key)
        except av.FFmpegError:
            continue
        assert not set(seen) & set(plain)


def test_the_close_returns_the_hash_of_the_file(
    tmp_path: Path, stream: tuple[StreamInfo, list[Packet]], centre: Centre
) -> None:
    for number, sealer in enumerate((None, sealer_for(centre.recipient))):
        closed = write(tmp_path / str(number), stream, sealer)
        assert closed.sha256 == hashlib.sha256(closed.path.read_bytes()).hexdigest()
        assert closed.size_bytes == closed.path.stat().st_size


def test_each_of_several_recipients_decrypts_alone(
    tmp_path: Path, stream: tuple[StreamInfo, list[Packet]]
) -> None:
    two = [Centre(tmp_path, "centre"), Centre(tmp_path, "court")]
    keys = KeyRing(10)
    sealed = write(tmp_path / "north", stream, sealer_for(*(c.recipient for c in two), keys=keys))
    sidecar = Path(f"{sealed.path}{KEYS_SUFFIX}")
    opened = [unwrap_segment_key(sidecar, c.key) for c in two]
    assert opened[0] == opened[1]
    assert keys.get(opened[0].kid) == opened[0]
    assert [w.id for w in read_sidecar(sidecar).recipients] == ["centre", "court"]
    assert len({w.wrapped for w in read_sidecar(sidecar).recipients}) == 2
    with pytest.raises(UserError, match="does not open it; it is wrapped for: centre, court"):
        unwrap_segment_key(sidecar, X25519PrivateKey.generate())


@pytest.mark.parametrize("field", ["box", "camera", "segment", "kid"])
def test_a_wrapped_key_is_bound_to_its_box_camera_segment_and_id(
    tmp_path: Path, centre: Centre, field: str
) -> None:
    path = tmp_path / "x.keys"
    path.write_bytes(sealer_for(centre.recipient).new_key("a.mp4").sidecar)
    unwrap_segment_key(path, centre.key)
    changed = msgspec.structs.replace(read_sidecar(path), **{field: "0" * 32})
    path.write_bytes(msgspec.json.encode(changed))
    with pytest.raises(UserError, match="does not open it"):
        unwrap_segment_key(path, centre.key)


def test_a_key_wrapped_under_the_id_of_another_is_refused(tmp_path: Path, centre: Centre) -> None:
    """Anyone can wrap for a public key; only the key that the id commits to is taken."""

    class Forged(SegmentKey):
        @property
        def kid(self) -> bytes:
            return b"k" * 16

    path = tmp_path / "x.keys"
    sealer = sealer_for(centre.recipient)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.recording.encryption.key_wrapping.SegmentKey", Forged)
        path.write_bytes(sealer.new_key("a.mp4").sidecar)
    with pytest.raises(UserError, match="not that of its key id"):
        unwrap_segment_key(path, centre.key)


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (None, "No such file"),
        (b"", "not a file of wrapped keys"),
        (b"\xff\xfe", "not a file of wrapped keys"),
        (b"{}", "not a file of wrapped keys"),
        (b"[" * 100_000, "not a file of wrapped keys"),
        (b" " * 2_000_000, "more than 1048576 bytes"),
    ],
)
def test_an_invalid_keys_file_is_reported_in_one_line(
    tmp_path: Path, centre: Centre, content: bytes | None, pattern: str
) -> None:
    path = tmp_path / "x.keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=pattern) as caught:
        unwrap_segment_key(path, centre.key)
    assert "\n" not in str(caught.value)


def test_the_keys_are_on_the_disk_before_the_first_byte_of_footage(
    tmp_path: Path, stream: tuple[StreamInfo, list[Packet]], centre: Centre
) -> None:
    info, packets = stream
    name = segment_name()
    part = OpenSegment(tmp_path, name, info, ManualClock(), 0.0, sealer_for(centre.recipient))
    assert (tmp_path / (str(name) + PART_SUFFIX)).stat().st_size == 0
    unwrap_segment_key(tmp_path / (str(name) + KEYS_SUFFIX), centre.key)
    part.add(packets[0])
    part.abandon()


def test_a_truncated_encrypted_file_decrypts_to_its_last_whole_fragment(
    tmp_path: Path, stream: tuple[StreamInfo, list[Packet]], centre: Centre
) -> None:
    keys = KeyRing(1)
    whole = write(tmp_path / "whole", stream, sealer_for(centre.recipient, keys=keys))
    sidecar = Path(f"{whole.path}{KEYS_SUFFIX}")
    key = unwrap_segment_key(sidecar, centre.key)
    pictures, data = digests(whole.path, key), whole.path.read_bytes()
    rng = random.Random(5)
    seen = set()
    for number in range(40):
        folder = tmp_path / f"cut{number}"
        folder.mkdir()
        (folder / f"{whole.name}{PART_SUFFIX}").write_bytes(data[: rng.randrange(len(data))])
        (folder / f"{whole.name}{KEYS_SUFFIX}").write_bytes(sidecar.read_bytes())
        found = recover_folder(folder)
        assert recover_folder(folder) == found
        if not found:
            assert (folder / QUARANTINE_DIR / f"{whole.name}{KEYS_SUFFIX}").is_file()
            continue
        shown = digests(folder / str(whole.name), key)
        assert shown == pictures[: len(shown)]
        assert len(shown) % GOP == 0 or len(shown) == len(pictures)
        seen.add(len(shown))
    assert len(seen) > 5


def test_keys_stay_with_their_segment_and_without_one_are_deleted(
    tmp_path: Path, stream: tuple[StreamInfo, list[Packet]], centre: Centre
) -> None:
    folder = tmp_path / "north"
    sealed = write(folder, stream, sealer_for(centre.recipient))
    orphan = folder / (str(segment_name(7)) + KEYS_SUFFIX)
    orphan.write_bytes(b"{}")
    (folder / "other.keys").write_bytes(b"?")
    assert [str(segment.name) for segment in recover_folder(folder)] == [sealed.path.name]
    assert Path(f"{sealed.path}{KEYS_SUFFIX}").is_file()
    assert not orphan.exists()
    assert [path.name for path in (folder / QUARANTINE_DIR).iterdir()] == ["other.keys"]


def test_a_segment_is_deleted_with_its_keys(
    tmp_path: Path, stream: tuple[StreamInfo, list[Packet]], centre: Centre
) -> None:
    names = [segment_name(1), segment_name(2)]
    write(tmp_path / "north", stream, None, names[0])
    write(tmp_path / "north", stream, sealer_for(centre.recipient), names[1])
    for name in names:
        delete_segment(tmp_path / "north", name)
    assert list((tmp_path / "north").iterdir()) == []


def test_each_segment_has_its_own_key() -> None:
    keys = KeyRing(100)
    recipient = Recipient(id="c", public_key=_public(X25519PrivateKey.generate()))
    sealer = sealer_for(recipient, keys=keys)
    made = {sealer.new_key("same.mp4").key.key for _ in range(50)}
    assert len(made) == 50
    assert all(keys.get(SegmentKey(key).kid) for key in made)


def test_the_key_ring_forgets_the_oldest() -> None:
    ring = KeyRing(3)
    keys = [SegmentKey(bytes([number] * 16)) for number in range(5)]
    for key in keys:
        ring.add(key)
    assert [ring.get(key.kid) for key in keys] == [None, None, *keys[2:]]


def test_no_key_is_ever_shown(
    tmp_path: Path,
    stream: tuple[StreamInfo, list[Packet]],
    centre: Centre,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = KeyRing(10)
    made: list[bytes] = []

    def random_bytes(count: int) -> bytes:
        made.append(os.urandom(count))
        return made[-1]

    sealer = Sealer.from_config(
        [centre.recipient], box="b", camera="c", key_ring=keys, random_bytes=random_bytes
    )
    sealed = write(tmp_path / "north", stream, sealer)
    (tmp_path / "north" / "left.mp4").write_bytes(b"")
    recover_folder(tmp_path / "north")
    key = SegmentKey(made[0])
    assert keys.get(key.kid) == key
    shown = [repr(key), str(key), f"{key}", repr(keys), repr(sealer), pretty_repr(key), repr([key])]
    shown += [
        caplog.text,
        repr(sealed),
        repr(unwrap_segment_key(Path(f"{sealed.path}{KEYS_SUFFIX}"), centre.key)),
    ]
    secrets = [str(made[0]), made[0].hex(), base64.b64encode(made[0]).decode(), str(list(made[0]))]
    secrets.append(repr(made[0])[2:-1])
    assert not [s for s in secrets for text in shown if s.lower() in text.lower()]
    files = [path.read_bytes() for path in (tmp_path / "north").rglob("*") if path.is_file()]
    assert not [s for s in (made[0], *(s.encode() for s in secrets)) for f in files if s in f]


def test_libavformat_logs_no_key(
    tmp_path: Path, stream: tuple[StreamInfo, list[Packet]], centre: Centre
) -> None:
    made: list[bytes] = []

    def random_bytes(count: int) -> bytes:
        made.append(os.urandom(count))
        return made[-1]

    sealer = Sealer.from_config(
        [centre.recipient], box="b", camera="c", key_ring=KeyRing(1), random_bytes=random_bytes
    )
    before = av.logging.get_level()
    av.logging.set_level(av.logging.TRACE)
    try:
        with av.logging.Capture() as expected_message:
            write(tmp_path / "north", stream, sealer)
    finally:
        av.logging.set_level(before)
    text = " ".join(message for _, _, message in expected_message)
    assert text
    assert made[0].hex() not in text.lower()


def _public(key: X25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


ED25519_PEM = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("", "0 bytes; an X25519 public key has 32"),
        ("centre", "neither base64 nor PEM"),
        ("schlüssel", "neither base64 nor PEM"),
        (base64.b64encode(bytes(31)).decode(), "31 bytes; an X25519 public key has 32"),
        (base64.b64encode(bytes(32)).decode(), "shared secrets are all zero"),
        (ED25519_PEM, "not an X25519 key; allowed: X25519 as PEM or base64"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "not a public key in PEM"),
    ],
)
def test_an_invalid_recipient_key_is_reported_by_name(text: str, pattern: str) -> None:
    with pytest.raises(UserError, match=pattern) as caught:
        sealer_for(Recipient(id="court", public_key=text))
    assert str(caught.value).startswith("record.recipient: 'court': public_key: ")
    assert "\n" not in str(caught.value)


def test_a_private_key_in_the_configuration_is_refused_and_not_repeated(centre: Centre) -> None:
    text = centre.path.read_text()
    with pytest.raises(UserError, match="is a private key") as caught:
        sealer_for(Recipient(id="court", public_key=text))
    assert text.splitlines()[1] not in str(caught.value)


def test_a_public_key_may_be_pem(tmp_path: Path, centre: Centre) -> None:
    pem = centre.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path = tmp_path / "x.keys"
    path.write_bytes(sealer_for(Recipient(id="c", public_key=pem.decode())).new_key("a").sidecar)
    unwrap_segment_key(path, centre.key)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_key_pair_made_by_openssl_is_accepted(tmp_path: Path) -> None:
    pem = tmp_path / "centre.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "X25519", "-out", pem], check=True)
    public = subprocess.run(
        ["openssl", "pkey", "-in", pem, "-pubout"], check=True, capture_output=True, text=True
    )
    path = tmp_path / "x.keys"
    recipient = Recipient(id="c", public_key=public.stdout)
    path.write_bytes(sealer_for(recipient).new_key("a.mp4").sidecar)
    unwrap_segment_key(path, read_private_key(pem))


def test_two_recipients_of_one_name_are_refused(centre: Centre) -> None:
    with pytest.raises(UserError, match=r"record\.recipient: id 'centre' is used twice"):
        sealer_for(centre.recipient, centre.recipient)


def test_without_recipients_nothing_is_encrypted() -> None:
    assert Sealer.from_config((), box="b", camera="c", key_ring=KeyRing(1)) is None


@pytest.mark.parametrize("codec", ["av1", "vp9"])
def test_a_stream_that_cannot_be_encrypted_whole_is_not_recorded(codec: str) -> None:
    info = StreamInfo(codec=codec, width_px=160, height_px=96, fps=10)
    check_stream(info)
    with pytest.raises(MuxerError, match=f"a stream of '{codec}' cannot be sealed"):
        check_stream(info, sealed=True)


def test_a_private_key_is_readable_by_its_owner_only_and_never_overwritten(
    tmp_path: Path, centre: Centre
) -> None:
    assert centre.path.stat().st_mode & 0o777 == 0o600
    assert _public(centre.key) == centre.recipient.public_key
    before = centre.path.read_bytes()
    with pytest.raises(UserError, match="File exists"):
        generate_key_pair(centre.path)
    assert centre.path.read_bytes() == before
    with pytest.raises(UserError, match="No such file"):
        generate_key_pair(tmp_path / "nowhere" / "key.pem")


@pytest.mark.parametrize("content", [b"", b"key", ED25519_PEM.encode()])
def test_an_invalid_private_key_file_is_reported(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a private key in PEM"):
        read_private_key(path)
    with pytest.raises(UserError, match="No such file"):
        read_private_key(tmp_path / "none.pem")


def test_the_segments_name_in_the_keys_file_is_the_segments(
    tmp_path: Path, stream: tuple[StreamInfo, list[Packet]], centre: Centre
) -> None:
    sealed = write(tmp_path / "north", stream, sealer_for(centre.recipient))
    sidecar = read_sidecar(Path(f"{sealed.path}{KEYS_SUFFIX}"))
    assert parse_segment_name(sidecar.segment) == sealed.name
    assert (sidecar.box, sidecar.camera, sidecar.scheme) == ("box-1", "north", "cenc-aes-ctr")
