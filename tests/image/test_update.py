"""Updates: taken in where they are good, left again where they are not, refused where they are nobody's."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.image.built import KERNEL, Built
from tests.image.bundles import Kitchen, tampered
from tests.image.form import cases, not_short
from tests.image.guest import PROGRAM, Guest
from tests.image.outside import SHELF_URL, Outside

pytestmark = pytest.mark.slow

NEW = "99.0.0"
OLD = "0.0.1"
RETURN_S = 600.0


def status(guest: Guest) -> Any:
    """As the box tells it."""
    return msgspec.json.decode(guest.run(f"{PROGRAM} update status --json"))


def install(guest: Guest, bundle: Path, world: Outside) -> tuple[int, str]:
    """Fetch it from the shelf and take it in, as the office would ask for it."""
    lying = world.shelf.folder / bundle.name
    if not lying.exists():
        lying.hardlink_to(bundle)
    return guest.tried(f"{PROGRAM} update install {SHELF_URL}/{bundle.name} 2>&1")


def test_a_good_update_is_taken_in_by_a_download_that_breaks_off_and_kept_over_a_power_cut(
    guest: Guest, kitchen: Kitchen, built: Built, world: Outside
) -> None:
    bundle = kitchen.bundle("good", NEW, root=kitchen.root(NEW), boot=built.boot)
    world.shelf.breaks_at = bundle.stat().st_size // 2
    code, said = install(guest, bundle, world)
    assert code == 0, said
    assert any(asked.startswith("bytes=") for _, asked in world.shelf.asked)
    before = guest.boot
    assert guest.reboot() != before
    assert (guest.slot(), guest.version()) == ("B", NEW)
    guest.wait_until_good()
    guest.wait_until_recording()
    assert status(guest)["default"] == "B"
    guest.cut()
    guest.start()
    assert (guest.slot(), guest.version()) == ("B", NEW)
    guest.wait_until_good()
    code, said = install(guest, bundle_of_the_old(kitchen, built), world)
    assert code != 0
    assert built.version in said


def bundle_of_the_old(kitchen: Kitchen, built: Built) -> Path:
    """What the box has been before."""
    return kitchen.bundle("before", built.version, root=built.root, boot=built.boot)


# It is given a minute to prove itself, and not ten: what never gets good is waited out here.
SOON = base64.b64encode(
    b"[Service]\nExecStart=\n"
    b"ExecStart=/opt/vigie/bin/vigie boot-good --config /etc/vigie/vigie.toml --within 60\n"
).decode()
NO_AGENT = (
    "systemd.mask=vigie-agent.service "
    f"systemd.set_credential_binary=systemd.unit-dropin.vigie-boot-good.service~soon:{SOON}"
)

# What is wrong with the slot, and how it is made: files of its boot partition, and its root.
UNFIT: dict[str, Callable[[Kitchen, Built], tuple[Path | None, Path]]] = {
    "its kernel is none": lambda kitchen, _: (
        None,
        kitchen.boot("no-kernel", {KERNEL: bytes(1 << 20)}),
    ),
    "it has no init": lambda kitchen, built: (kitchen.empty_root(), built.boot),
    "its root is none": lambda _, built: (None, built.boot),
    "its init ends": lambda kitchen, built: (
        built.root,
        kitchen.boot("panic", built.slot_file_with("init=/usr/bin/true")),
    ),
    "its init hangs": lambda kitchen, built: (
        built.root,
        kitchen.boot("hang", built.slot_file_with("init=/usr/bin/cat")),
    ),
    "it cannot read ext4": lambda kitchen, built: (
        built.root,
        kitchen.boot("no-ext4", built.slot_file_with("module_blacklist=ext4")),
    ),
    # What would say that it is on trial does not run, or finds nothing to read.
    "it has no agent": lambda kitchen, built: (
        built.root,
        kitchen.boot(
            "empty-opt", built.slot_file_with("systemd.mount-extra=none:/opt/vigie:tmpfs")
        ),
    ),
    "it cannot read FAT": lambda kitchen, built: (
        built.root,
        kitchen.boot("no-fat", built.slot_file_with(f"module_blacklist=vfat {NO_AGENT}")),
    ),
    # It comes so far that it tells its version itself.
    "its agent never runs": lambda kitchen, built: (
        kitchen.root(NEW),
        kitchen.boot("no-agent", built.slot_file_with(NO_AGENT)),
    ),
}


@pytest.mark.parametrize("what", cases(UNFIT, ["its kernel is none", "its agent never runs"]))
def test_an_update_that_is_not_good_is_left_again_and_the_box_says_so(
    what: str, guest: Guest, kitchen: Kitchen, built: Built, world: Outside
) -> None:
    root, boot = UNFIT[what](kitchen, built)
    bundle = kitchen.bundle(what.replace(" ", "-"), NEW, root=root, boot=boot)
    code, said = install(guest, bundle, world)
    assert code == 0, said
    assert status(guest)["pending"] == "B"
    resets = guest.machine.resets()
    guest.expect_boot()
    guest.eyes.begin("systemctl reboot")
    while True:
        guest.wait_until_up(RETURN_S)
        if guest.slot() == "A":
            break
        guest.expect_boot()
    assert guest.machine.resets() > resets
    assert guest.version() == built.version
    guest.wait_until_good()
    told = status(guest)
    assert (told["booted"], told["default"], told["pending"]) == ("A", "A", None)
    assert {name: slot["state"] for name, slot in told["slots"].items()} == {
        "A": "good",
        "B": "bad",
    }
    assert told["fell_back"]
    code, said = install(guest, bundle, world)
    assert code != 0, "the same version is not tried again without somebody asking"


REFUSED: dict[str, Callable[[Kitchen, Built], Path]] = {
    "somebody else's signature": lambda kitchen, built: kitchen.bundle(
        "stranger", NEW, boot=built.boot, signer=kitchen.stranger()
    ),
    "a payload that was tampered with": lambda kitchen, built: tampered(
        kitchen.bundle("whole", NEW, root=built.root, boot=built.boot),
        kitchen.folder / "tampered.raucb",
    ),
    "an older version": lambda kitchen, built: kitchen.bundle("older", OLD, boot=built.boot),
    "another board": lambda kitchen, built: kitchen.bundle(
        "board", NEW, boot=built.boot, compatible="vigie-pi-arm64"
    ),
}


@pytest.mark.parametrize(
    "by_hand", [False, pytest.param(True, marks=not_short)], ids=["vigie", "rauc"]
)
@pytest.mark.parametrize("what", REFUSED)
def test_an_update_is_refused_that_has(
    what: str, by_hand: bool, guest: Guest, kitchen: Kitchen, built: Built, world: Outside
) -> None:
    """Nor does it go in where somebody goes round our own command."""
    bundle = REFUSED[what](kitchen, built)
    code, said = (
        guest.tried(f"{{ {fetch(bundle, world)}; }} && rauc install /data/update/by-hand.raucb")
        if by_hand
        else install(guest, bundle, world)
    )
    assert code != 0, said
    told = status(guest)
    assert (told["booted"], told["default"], told["pending"]) == ("A", "A", None)
    # Nor does the boot loader know of any.
    assert "try=\n" in guest.run("cat /select/grubenv")


def fetch(bundle: Path, world: Outside) -> str:
    """A command that puts a bundle on the box, past all checks."""
    lying = world.shelf.folder / bundle.name
    if not lying.exists():
        lying.hardlink_to(bundle)
    url = f"{SHELF_URL}/{bundle.name}"
    return (
        "mkdir -p /data/update && /opt/vigie/bin/python -c 'import shutil, urllib.request; "
        f'shutil.copyfileobj(urllib.request.urlopen("{url}"), '
        'open("/data/update/by-hand.raucb", "wb"))\''
    )


@not_short
def test_an_older_version_goes_in_where_the_bundle_is_signed_to(
    guest: Guest, kitchen: Kitchen, built: Built, world: Outside
) -> None:
    bundle = kitchen.bundle(
        "back", OLD, root=kitchen.root(OLD), boot=built.boot, meta="[meta.vigie]\ndowngrade=yes\n"
    )
    code, said = install(guest, bundle, world)
    assert code == 0, said
    guest.reboot()
    assert (guest.slot(), guest.version()) == ("B", OLD)
    guest.wait_until_good()
