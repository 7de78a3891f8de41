"""agent.update.pre_install: the version and the payload of a bundle before its installation."""

from pathlib import Path

import pytest

from agent.update.pre_install import InstallRefused, bundle_version, verify_readable


@pytest.mark.parametrize(
    "text",
    [None, b"", b"[update]\ncompatible=x\n", b"\xff", b"version=2\n", b"[update\nversion=2\n"],
)
def test_a_bundle_without_a_readable_version_is_refused(tmp_path: Path, text: bytes | None) -> None:
    if text is not None:
        (tmp_path / "manifest.raucm").write_bytes(text)
    with pytest.raises(InstallRefused, match="no readable version"):
        bundle_version(tmp_path)


def test_a_bundles_version_comes_from_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.raucm").write_text(
        "[update]\ncompatible=a%b\nversion=2.0.0\n\n[meta.vigie]\nversion=9\n"
    )
    assert bundle_version(tmp_path) == "2.0.0"


def test_a_payload_with_a_read_error_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/root.img").write_bytes(bytes(3_000_000))
    (tmp_path / "nowhere").symlink_to("absent")
    verify_readable(tmp_path)
    # The kernel gives no byte at address 0 of a process: an error in the midst of a read.
    with pytest.raises(InstallRefused, match="the payload is damaged: "):
        verify_readable(Path("/proc/self/task"))
