"""Updates: installed if they are good, rolled back if they are not, refused if they are unsigned."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.image.built_image import KERNEL, BuiltImage
from tests.image.bundles import BundleFactory, copy_tampered
from tests.image.form import cases, not_short
from tests.image.guest import PROGRAM, Guest
from tests.image.outside_services import BUNDLE_SERVER_URL, OutsideWorld

pytestmark = pytest.mark.slow

NEW = "99.0.0"
OLD = "0.0.1"
RETURN_S = 1200.0


def status(guest: Guest) -> Any:
    """The version as the box reports it."""
    return msgspec.json.decode(guest.run(f"{PROGRAM} update status --json"))


def install(guest: Guest, bundle: Path, world: OutsideWorld) -> tuple[int, str]:
    """Fetch it from the shelf and take it in, as the office would ask for it."""
    lying = world.bundle_server.folder / bundle.name
    if not lying.exists():
        lying.hardlink_to(bundle)
    return guest.run_unchecked(f"{PROGRAM} update install {BUNDLE_SERVER_URL}/{bundle.name} 2>&1")


def test_a_good_update_survives_an_interrupted_download_and_a_power_cut(
    guest: Guest, kitchen: BundleFactory, built: BuiltImage, world: OutsideWorld
) -> None:
    bundle = kitchen.make_bundle("good", NEW, root=kitchen.make_root(NEW), boot=built.boot)
    world.bundle_server.break_at_byte = bundle.stat().st_size // 2
    code, message = install(guest, bundle, world)
    assert code == 0, message
    assert any(requested.startswith("bytes=") for _, requested in world.bundle_server.requests)
    guest.cut_power()
    guest.start()
    assert guest.booted_slot() == "A", "a trial begins at a requested reboot alone"
    guest.wait_until_good()
    assert (status(guest)["pending"], status(guest)["tried"]) == ("B", False)
    before = guest.boot_id
    assert guest.reboot() != before
    assert (guest.booted_slot(), guest.image_version()) == ("B", NEW)
    guest.wait_until_good()
    guest.wait_until_recording()
    assert status(guest)["default"] == "B"
    guest.cut_power()
    guest.start()
    assert (guest.booted_slot(), guest.image_version()) == ("B", NEW)
    guest.wait_until_good()
    code, message = install(guest, bundle_of_the_old(kitchen, built), world)
    assert code != 0
    assert built.version in message


def bundle_of_the_old(kitchen: BundleFactory, built: BuiltImage) -> Path:
    """Return the bundle of the version before."""
    return kitchen.make_bundle("before", built.version, root=built.root, boot=built.boot)


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
UNFIT: dict[str, Callable[[BundleFactory, BuiltImage], tuple[Path | None, Path]]] = {
    "its kernel is none": lambda kitchen, _: (
        None,
        kitchen.make_boot("no-kernel", {KERNEL: bytes(1 << 20)}),
    ),
    "it has no init": lambda kitchen, built: (kitchen.make_empty_root(), built.boot),
    "its root is none": lambda _, built: (None, built.boot),
    "its init ends": lambda kitchen, built: (
        built.root,
        kitchen.make_boot("panic", built.slot_file_with_kernel_args("init=/usr/bin/true")),
    ),
    "its init hangs": lambda kitchen, built: (
        built.root,
        kitchen.make_boot("hang", built.slot_file_with_kernel_args("init=/usr/bin/cat")),
    ),
    "it cannot read ext4": lambda kitchen, built: (
        built.root,
        kitchen.make_boot("no-ext4", built.slot_file_with_kernel_args("module_blacklist=ext4")),
    ),
    # The check for a trial does not run, or finds nothing to read.
    "it has no agent": lambda kitchen, built: (
        built.root,
        kitchen.make_boot(
            "empty-opt",
            built.slot_file_with_kernel_args("systemd.mount-extra=none:/opt/vigie:tmpfs"),
        ),
    ),
    "it cannot read FAT": lambda kitchen, built: (
        built.root,
        kitchen.make_boot(
            "no-fat", built.slot_file_with_kernel_args(f"module_blacklist=vfat {NO_AGENT}")
        ),
    ),
    # It gets far enough to report its version itself.
    "its agent never runs": lambda kitchen, built: (
        kitchen.make_root(NEW),
        kitchen.make_boot("no-agent", built.slot_file_with_kernel_args(NO_AGENT)),
    ),
}


@pytest.mark.parametrize("what", cases(UNFIT, ["its kernel is none"]))
def test_a_bad_update_is_rolled_back_and_reported(
    what: str, guest: Guest, kitchen: BundleFactory, built: BuiltImage, world: OutsideWorld
) -> None:
    root, boot = UNFIT[what](kitchen, built)
    bundle = kitchen.make_bundle(what.replace(" ", "-"), NEW, root=root, boot=boot)
    code, message = install(guest, bundle, world)
    assert code == 0, message
    assert status(guest)["pending"] == "B"
    resets = guest.machine.reset_count()
    guest.expect_boot()
    guest.shell.start_command("systemctl reboot")
    while True:
        guest.wait_until_up(RETURN_S)
        if guest.booted_slot() == "A":
            break
        guest.expect_boot()
    assert guest.machine.reset_count() > resets
    assert guest.image_version() == built.version
    guest.wait_until_good()
    reported = status(guest)
    assert (reported["booted"], reported["default"], reported["pending"]) == ("A", "A", None)
    assert {name: slot["state"] for name, slot in reported["slots"].items()} == {
        "A": "good",
        "B": "bad",
    }
    reason = "not good" if what == "its agent never runs" else "not booted"
    assert reported["failed_trial"]["reason"] == reason
    code, message = install(guest, bundle, world)
    assert code != 0, "the same version is not tried again without a request"


@not_short
def test_a_power_cut_during_a_trial_is_reported_as_such(
    guest: Guest, kitchen: BundleFactory, built: BuiltImage, world: OutsideWorld
) -> None:
    bundle = kitchen.make_bundle("good", NEW, root=kitchen.make_root(NEW), boot=built.boot)
    code, message = install(guest, bundle, world)
    assert code == 0, message
    guest.reboot()
    assert guest.booted_slot() == "B"
    guest.wait_for("systemctl is-active --quiet vigie-slots.service")
    assert "99.0.0            not found good yet  (runs)" in guest.run(f"{PROGRAM} update status")
    guest.cut_power()
    guest.start()
    assert guest.booted_slot() == "A"
    guest.wait_until_good()
    assert status(guest)["failed_trial"]["reason"] == "power lost"
    text = guest.run(f"{PROGRAM} update status")
    assert "the power was cut or it crashed before it was found good" in text
    assert "99.0.0            failed its trial" in text


REFUSED: dict[str, Callable[[BundleFactory, BuiltImage], Path]] = {
    "a signature of another authority": lambda kitchen, built: kitchen.make_bundle(
        "other", NEW, boot=built.boot, signer=kitchen.unknown_signer()
    ),
    "a payload that was tampered with": lambda kitchen, built: copy_tampered(
        kitchen.make_bundle("whole", NEW, root=built.root, boot=built.boot),
        kitchen.folder / "tampered.raucb",
    ),
    "an older version": lambda kitchen, built: kitchen.make_bundle("older", OLD, boot=built.boot),
    "another board": lambda kitchen, built: kitchen.make_bundle(
        "board", NEW, boot=built.boot, compatible="vigie-pi-arm64"
    ),
}


@pytest.mark.parametrize(
    "by_hand", [False, pytest.param(True, marks=not_short)], ids=["vigie", "rauc"]
)
@pytest.mark.parametrize("what", cases(REFUSED, ["a signature of another authority"]))
def test_an_update_is_refused_that_has(
    what: str,
    by_hand: bool,
    guest: Guest,
    kitchen: BundleFactory,
    built: BuiltImage,
    world: OutsideWorld,
) -> None:
    """Nor is it installed without the project's own command."""
    bundle = REFUSED[what](kitchen, built)
    code, message = (
        guest.run_unchecked(
            f"{{ {fetch(bundle, world)}; }} && rauc install /data/update/by-hand.raucb"
        )
        if by_hand
        else install(guest, bundle, world)
    )
    assert code != 0, message
    reported = status(guest)
    assert (reported["booted"], reported["default"], reported["pending"]) == ("A", "A", None)
    # Nor does the boot loader know of any.
    block = guest.run("cat /select/grubenv")
    assert "pending=\n" in block
    assert "try=\n" in block


def fetch(bundle: Path, world: OutsideWorld) -> str:
    """A command that puts a bundle on the box, past all checks."""
    lying = world.bundle_server.folder / bundle.name
    if not lying.exists():
        lying.hardlink_to(bundle)
    url = f"{BUNDLE_SERVER_URL}/{bundle.name}"
    return (
        "mkdir -p /data/update && /opt/vigie/bin/python -c 'import shutil, urllib.request; "
        f'shutil.copyfileobj(urllib.request.urlopen("{url}"), '
        'open("/data/update/by-hand.raucb", "wb"))\''
    )


@not_short
def test_an_older_version_is_installed_if_its_bundle_is_signed_as_a_downgrade(
    guest: Guest, kitchen: BundleFactory, built: BuiltImage, world: OutsideWorld
) -> None:
    bundle = kitchen.make_bundle(
        "back",
        OLD,
        root=kitchen.make_root(OLD),
        boot=built.boot,
        meta="[meta.vigie]\ndowngrade=yes\n",
    )
    code, message = install(guest, bundle, world)
    assert code == 0, message
    guest.reboot()
    assert (guest.booted_slot(), guest.image_version()) == ("B", OLD)
    guest.wait_until_good()
