"""docs/flash.md as a technician follows it: its commands are run, with a file for a card."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.provisioning.settings import FILE_NAME
from centre.flash import select_partition
from tests.doc_pages import ROOT, code_blocks, read_page
from tests.whole import flash_image

pytestmark = pytest.mark.skipif(
    Path(sys.executable).parent != ROOT / ".venv" / "bin", reason="needs the command in .venv"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As a clone with its set-up done, where we may write."""
    flash_image.skip_without_tools()
    for name in (".venv", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def block(name: str) -> str:
    (commands,) = code_blocks(read_page("flash.md"), f"sh {name}")
    return commands


def do(folder: Path, commands: str) -> str:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(
        ["sh", "-eu", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout


def test_settings_are_made_checked_and_flashed(folder: Path) -> None:
    # No person edits it here; the example is valid as it is.
    message = do(folder, block("settings").replace("editor ", "true "))
    assert "good; box casa-0001 reports to mqtts://centre.example:8883" in message
    built = folder / "build/image/pi-arm64"
    built.mkdir(parents=True)
    flash_image.compress_image(
        flash_image.make_image(built / "vigie-pi-arm64-0.1.0.disk.img"), "zst"
    )
    do(folder, block("flash").replace("sudo ", "").replace("/dev/sdb", "card.raw"))
    on_it = select_partition.read_file(
        flash_image.read_select_partition(folder / "card.raw"), FILE_NAME
    )
    assert on_it == (folder / "casa-0001.toml").read_bytes()


def test_the_settings_of_many_boxes_come_from_a_table(folder: Path) -> None:
    message = do(folder, block("table").replace("editor ", "true "))
    assert "settings of 3 boxes" in message
    assert {path.name for path in (folder / "settings").iterdir()} == {
        "casa-0001.toml",
        "casa-0002.toml",
        "casa-0003.toml",
        "console-secrets.csv",
    }
    done = do(folder, ".venv/bin/vigie provision --check settings/casa-0003.toml")
    assert "good; box casa-0003 reports to mqtts://centre.example:8883" in done


def test_the_certificate_request_on_the_card_is_signed(folder: Path) -> None:
    do(
        folder,
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=casa-0001 "
        "-keyout box.key -out casa-0001.csr.pem && "
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 "
        '-addext "keyUsage=critical,keyCertSign,cRLSign" -subj "/CN=Vigie authority" '
        "-keyout ca.key -out ca.crt && truncate -s 4M part && mkfs.vfat part && "
        "mcopy -i part casa-0001.csr.pem :: && rm casa-0001.csr.pem",
    )
    (taking,) = (
        one
        for one in " ".join(read_page("flash.md").split()).split("`")
        if one.startswith("mcopy ")
    )
    do(folder, taking.replace("/dev/sdb1", "part"))
    do(folder, block("sign"))
    assert "casa-0001.pem: OK" in do(folder, "openssl verify -CAfile ca.crt casa-0001.pem")
    assert "CN=casa-0001" in do(folder, "openssl x509 -in casa-0001.pem -noout -subject").replace(
        " ", ""
    )
