"""agent.diagnostics.support_bundle.archive_format: signed, bounded, and complete."""

import base64
import gzip
import io
import tarfile
import tracemalloc
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.diagnostics.support_bundle.archive_format import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_TOTAL_BYTES,
    BundleFile,
    OmittedFile,
    SupportBundleInfo,
    build_bundle,
    unpack,
    verify,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
OTHER = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
ABOUT = SupportBundleInfo(
    box="pole-17",
    created_time="2026-11-03T07:41:05Z",
    clock_synced=True,
    boot="b",
    versions={"vigie": "1"},
)
EXAMPLE = Path(__file__).parents[2] / "docs" / "vigie.example.toml"


def bundle(
    *contents: BundleFile, signed: bool = True, left_out: tuple[OmittedFile, ...] = ()
) -> bytes:
    public, sign = (PUBLIC, KEY.sign) if signed else (None, None)
    return build_bundle("vigie-bundle-pole-17-x", ABOUT, contents, left_out, public, sign)


GOOD = bundle(
    BundleFile(name="health.json", data=b"{}"), BundleFile(name="journal.txt", data=b"a\nb\n")
)


def repacked(files: dict[str, bytes], folder: str = "vigie-bundle-pole-17-x") -> io.BytesIO:
    """Files as another program would pack them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return io.BytesIO(out.getvalue())


def test_a_bundle_verifies_and_the_same_contents_give_the_same_bytes() -> None:
    verdict = verify(io.BytesIO(GOOD), PUBLIC)
    assert (verdict.ok, verdict.signed_by) == (True, PUBLIC)
    assert verdict.manifest is not None
    assert [one.name for one in verdict.manifest.files] == ["health.json", "journal.txt"]
    again = bundle(
        BundleFile(name="health.json", data=b"{}"), BundleFile(name="journal.txt", data=b"a\nb\n")
    )
    assert again == GOOD


def test_a_bundle_without_a_key_is_consistent_but_not_signed_by_a_known_key() -> None:
    unsigned = bundle(BundleFile(name="health.json", data=b"{}"), signed=False)
    verdict = verify(io.BytesIO(unsigned))
    assert (verdict.ok, verdict.signed_by) == (True, None)
    assert "not signed" in verify(io.BytesIO(unsigned), PUBLIC).reason
    assert "not the known key" in verify(io.BytesIO(GOOD), OTHER).reason


def changed(files: dict[str, bytes], name: str, data: bytes | None) -> dict[str, bytes]:
    rest = {one: given for one, given in files.items() if one != name}
    return rest if data is None else {**rest, name: data}


FILES = unpack(io.BytesIO(GOOD))
MANIFEST = msgspec.json.decode(FILES["manifest.json"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (changed(FILES, "health.json", b"{} "), "health.json: was changed"),
        (changed(FILES, "health.json", None), "health.json: is missing"),
        (changed(FILES, "more.txt", b"x"), "more.txt: is not in SHA256SUMS"),
        (changed(FILES, "SHA256SUMS", None), "SHA256SUMS: is missing"),
        (changed(FILES, "SHA256SUMS", b"no sum\n"), "is not a sum, two spaces and a file"),
        (changed(FILES, "SHA256SUMS", FILES["SHA256SUMS"] * 2), "lists a file twice"),
        (changed(FILES, "SHA256SUMS.sig", None), "not signed"),
        (changed(FILES, "SHA256SUMS.sig", b"0" * 64), "is not the signature"),
        (changed(FILES, "manifest.json", None), "manifest.json: is missing"),
        (
            changed(FILES, "manifest.json", b"[]"),
            "manifest.json: is not a valid manifest: Expected",
        ),
        (
            changed(FILES, "manifest.json", msgspec.json.encode({**MANIFEST, "public_key": OTHER})),
            "manifest.json: was changed",
        ),
        ({"Passwd": b""}, "is not the name of a bundle's file"),
        ({"a/b": b""}, "is not the name of a bundle's file"),
        ({"..": b""}, "is not the name of a bundle's file"),
    ],
)
def test_any_change_of_a_bundle_is_found(files: dict[str, bytes], message: str) -> None:
    verdict = verify(repacked(files))
    assert not verdict.ok
    assert message in verdict.reason


@given(at=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_changes_a_bundles_content_unnoticed(at: int, bit: int) -> None:
    data = bytearray(GOOD)
    data[at] ^= 1 << bit
    verdict = verify(io.BytesIO(bytes(data)), PUBLIC)
    if verdict.ok:  # of the archive's own padding and names there is no sum
        assert unpack(io.BytesIO(bytes(data))) == FILES


@given(length=st.integers(0, len(GOOD) - 9))
def test_a_truncated_bundle_is_reported_as_truncated(length: int) -> None:
    assert not verify(io.BytesIO(GOOD[:length])).ok


@given(st.binary(max_size=2000))
def test_garbage_gets_a_verdict(data: bytes) -> None:
    assert not verify(io.BytesIO(data)).ok
    assert not verify(io.BytesIO(gzip.compress(data))).ok


def test_a_link_out_of_the_folder_and_a_decompression_bomb_are_refused() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        link = tarfile.TarInfo("folder/health.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(link)
    assert "is not a file in the bundle's one folder" in verify(io.BytesIO(out.getvalue())).reason
    bomb = gzip.compress(bytes(3 * MAX_TOTAL_BYTES))
    assert f"larger than {2 * MAX_TOTAL_BYTES}" in verify(io.BytesIO(bomb)).reason
    assert "is not a file in the bundle's one folder" in verify(repacked({"x": b""}, "..")).reason


def entry(name: str, kind: bytes, size_bytes: int, data: bytes = b"") -> bytes:
    """A file of a tar, with any header."""
    header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\x80" + size_bytes.to_bytes(11, "big")
    header[156:157] = kind
    if kind == tarfile.GNUTYPE_SPARSE:
        header[386:398] = header[398:410] = b"%011o\0" % 0
        header[483:495] = b"\x80" + HUGE.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


HUGE = 200_000_000
"""More than a verifier ever needs; a hostile bundle would have more."""
MAP = b"1\n0\n0\n".ljust(tarfile.BLOCKSIZE, b"\0")
SPARSE_0 = b"29 GNU.sparse.size=200000000\n22 GNU.sparse.map=0,0\n"
SPARSE_1 = (
    b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    b"33 GNU.sparse.name=x/health.json\n33 GNU.sparse.realsize=200000000\n"
)


@pytest.mark.parametrize(
    "tar",
    [
        entry("x/health.json", tarfile.GNUTYPE_SPARSE, 0),
        entry("x/pax", tarfile.XHDTYPE, len(SPARSE_0), SPARSE_0)
        + entry("x/health.json", tarfile.REGTYPE, 0),
        entry("x/pax", tarfile.XHDTYPE, len(SPARSE_1), SPARSE_1)
        + entry("x/health.json", tarfile.REGTYPE, len(MAP), MAP),
        entry("x/health.json", tarfile.REGTYPE, HUGE),
    ],
)
def test_a_file_with_a_false_size_takes_no_memory(tar: bytes) -> None:
    tracemalloc.start()
    try:
        verdict = verify(io.BytesIO(gzip.compress(tar + bytes(2 * tarfile.BLOCKSIZE))))
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not verdict.ok
    assert "declares more bytes than the bundle has" in verdict.reason
    assert most_bytes < 4 * MAX_TOTAL_BYTES


def test_a_large_file_keeps_its_newest_lines_and_omitted_files_are_listed() -> None:
    line = b"x" * 99 + b"\n"
    large = BundleFile(name="journal.txt", data=b"old\n" + line * (MAX_FILE_BYTES // 100 + 5))
    many = [BundleFile(name=f"f{n}.bin", data=bytes(MAX_FILE_BYTES)) for n in range(10)]
    data = bundle(large, *many)
    verdict = verify(io.BytesIO(data), PUBLIC)
    assert verdict.ok
    assert verdict.manifest is not None
    (journal, *_) = verdict.manifest.files
    assert journal.truncated
    files = unpack(io.BytesIO(data))
    assert files["journal.txt"].startswith(b"xxx")
    assert files["journal.txt"].endswith(line)
    assert sum(len(one) for name, one in files.items() if name.startswith("f")) <= MAX_TOTAL_BYTES
    assert {one.name for one in verdict.manifest.omitted} == {"f7.bin", "f8.bin", "f9.bin"}
    lots = bundle(*(BundleFile(name=f"f{n}", data=b"") for n in range(MAX_FILES + 1)))
    reported = verify(io.BytesIO(lots)).manifest
    assert reported is not None
    assert reported.omitted == (
        OmittedFile(name=f"f{MAX_FILES}", reason="the bundle has no room for it"),
    )
