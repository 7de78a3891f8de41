"""`vigie provision` that fails: the box stays as it was, and the report ends with the failure."""

import os
import shutil
from collections.abc import Iterator

import pytest

from agent.config import configuration
from tests.settings_files import BOX, GOOD_SETTINGS, PASSWORD, changed_settings
from tests.whole.provision_tree import BoxTree, temporary_tree

FIXED = {"address": "10.4.0.17/24", "gateway": "10.4.0.1"}


@pytest.fixture
def tree() -> Iterator[BoxTree]:
    with temporary_tree() as tree:
        yield tree


@pytest.fixture
def box(tree: BoxTree) -> BoxTree:
    """One that is set up."""
    tree.insert_card()
    tree.run_provision()
    return tree


@pytest.fixture
def fixed(tree: BoxTree) -> BoxTree:
    """A box that DHCP would take off its network."""
    tree.insert_card(changed_settings(network=FIXED))
    tree.run_provision()
    shutil.rmtree(tree.root / "run/systemd")
    (tree.root / "proc/sys/kernel/hostname").write_text("vigie\n")
    tree.insert_card(changed_settings(network={**FIXED, "address": "10.4.0.18/24"}))
    return tree


def is_as_it_was(box: BoxTree) -> bool:
    network = (box.root / "run/systemd/network/50-vigie.network").read_text()
    name = (box.root / "proc/sys/kernel/hostname").read_text()
    return "Address=10.4.0.17/24" in network and name == BOX


def test_a_failing_disk_leaves_the_box_its_network_and_name(fixed: BoxTree) -> None:
    # As good as a disk that is read-only: the folder for what is new cannot be made.
    (fixed.config / ".provisioning").write_text("")
    reported = fixed.run_provision(expected_code=1)
    assert "VIGIE: THE SETTINGS COULD NOT BE TAKEN IN" in reported
    assert "the box keeps running as casa-0001, with its current settings" in reported
    assert f"{fixed.config}/.provisioning" in reported
    assert fixed.led_state == ("timer", "100")
    assert is_as_it_was(fixed)
    assert PASSWORD in (fixed.card / "vigie-settings.toml").read_text()


def test_a_full_disk_is_reported_in_one_line(fixed: BoxTree) -> None:
    """No file may grow: the same error as of a full disk, under another number."""
    fixed.insert_card(changed_settings(network=FIXED, files={"large.toml": "#" * 10_000}))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000)); "
    reported = fixed.run_provision(expected_code=1, python_prefix=limit)
    assert "VIGIE: THE SETTINGS COULD NOT BE TAKEN IN" in reported
    assert f"{fixed.config}, {fixed.state}: File too large" in reported
    assert is_as_it_was(fixed)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to have a child of another user")
def test_a_killed_worker_leaves_the_box_its_network_and_name(
    fixed: BoxTree,
) -> None:
    killed = (
        "import os, agent.provisioning.atomic_folder as folder; "
        "folder.recover = lambda _: os.kill(os.getpid(), 9); "
    )
    reported = fixed.run_provision(expected_code=1, python_prefix=killed)
    assert "ended with code -9; see journalctl -u vigie-provision" in reported
    assert "the box keeps running as casa-0001, with its current settings" in reported
    assert is_as_it_was(fixed)


def test_settings_applied_in_memory_stay_on_the_card(tree: BoxTree) -> None:
    for mark in ("lost", "volatile"):
        (tree.root / f"run/vigie-state-{mark}").touch()
    tree.insert_card()
    reported = tree.run_provision(expected_code=1)
    assert "the disk's own partition for keys and settings cannot be opened" in reported
    assert "the box runs from memory until it is switched off" in reported
    assert "replace the card or the disk" in reported
    assert "box casa-0001 is set up" in reported
    assert "reformatted" not in reported
    assert "signed by the centre" not in reported
    assert tree.led_state == ("timer", "100")
    assert configuration.load(tree.config / "vigie.toml").box.id == BOX
    assert (tree.card / "vigie-settings.toml").read_text() == GOOD_SETTINGS
    assert not (tree.card / f"{BOX}.csr.pem").exists()
    tree.run_provision(expected_code=1)
    assert (tree.card / "vigie-settings.toml").read_text() == GOOD_SETTINGS
    for mark in ("lost", "volatile"):
        (tree.root / f"run/vigie-state-{mark}").unlink()
    for folder in (tree.config, tree.state):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "VIGIE: box casa-0001 is set up" in tree.run_provision()
    assert (tree.config / "north.password").read_text() == PASSWORD
    assert PASSWORD not in tree.all_output()


def test_a_corrected_mistake_is_no_longer_reported(box: BoxTree) -> None:
    good = (box.card / "vigie-settings.toml").read_text()
    box.insert_card(good.replace("mqtts:", "http:"))
    box.run_provision(expected_code=2)
    box.insert_card(good)
    assert box.run_provision() == ""
    result = box.card / "vigie-result.txt"
    assert "WRONG" not in result.read_text()
    assert "VIGIE: box casa-0001 is as it was set up" in result.read_text()
    assert "have casa-0001.csr.pem on the card signed" in " ".join(result.read_text().split())
    written = result.stat().st_mtime_ns
    box.run_provision()
    assert result.stat().st_mtime_ns == written, "a card is not worn out by saying the same again"


def test_without_a_report_file_on_the_card_none_is_written(box: BoxTree) -> None:
    (box.card / "vigie-result.txt").unlink()
    box.run_provision()
    assert not (box.card / "vigie-result.txt").exists()
