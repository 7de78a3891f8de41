"""images/recipe, read without building an image: every name in it exists, and it is consistent."""

import configparser
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.update import bootloader, overlay_sector
from images import apt_sources, bundles, image, image_files, tree
from images.target import ARCHITECTURES, MKOSI_ARCHITECTURES, BuildTarget

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "images" / "recipe"
PROFILES = RECIPE / "mkosi.profiles"
EXTRA = RECIPE / "mkosi.extra"
LAYOUT = ["select", "boot_a", "boot_b", "root_a", "root_b", "state"]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

TARGETS = [(profile, one) for profile, able in ARCHITECTURES.items() for one in able]


def needs(program: str) -> str:
    found = shutil.which(program, path=PATH)
    if found is None:
        pytest.skip(f"needs {program}: make setup-image")
    return found


def scripts() -> Iterator[Path]:
    for path in sorted(RECIPE.rglob("*")):
        if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh"):
            yield path


def partitions(profile: str) -> list[configparser.SectionProxy]:
    files = [*(RECIPE / "mkosi.repart").iterdir(), *(PROFILES / profile / "mkosi.repart").iterdir()]
    found = []
    for file in sorted(files, key=lambda one: one.name):
        parsed = configparser.ConfigParser()
        parsed.read(file)
        found.append(parsed["Partition"])
    return found


def command_lines() -> dict[str, str]:
    """By name, what kernels are given."""
    found = {
        one.name: one.read_text() for one in sorted((PROFILES / "pi" / "boot").glob("cmdline_*"))
    }
    slot = (PROFILES / "virt" / "boot" / "slot.cfg").read_text()
    found["slot.cfg"] = next(one for one in slot.splitlines() if one.startswith("if linux"))
    return found


def sections(config: str) -> list[tuple[str, list[str]]]:
    """Of a config.txt: each filter, and the settings under it."""
    found: list[tuple[str, list[str]]] = []
    for line in config.splitlines():
        if line.startswith("["):
            found.append((line.strip("[]"), []))
        elif line and not line.startswith("#"):
            found[-1][1].append(line)
    return found


@pytest.mark.parametrize(("profile", "architecture"), TARGETS)
def test_mkosi_accepts_the_recipe_and_it_opens_no_port(profile: str, architecture: str) -> None:
    reported = subprocess.run(
        [
            needs("mkosi"),
            *("--directory", RECIPE, "--profile", profile),
            *(f"--architecture={MKOSI_ARCHITECTURES[architecture]}", "--json", "summary"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert reported.stderr == ""
    summary: dict[str, Any] = json.loads(reported.stdout)["Images"][0]
    assert summary["Profiles"] == [profile]
    assert summary["Architecture"] == MKOSI_ARCHITECTURES[architecture]
    assert (summary["RootPassword"], summary["RootShell"]) == (None, None)
    assert not summary["Autologin"]
    assert summary["Ssh"] in (False, "never", "disabled", "auto")


@pytest.mark.parametrize("profile", ARCHITECTURES)
def test_partitions_are_at_the_numbers_that_the_firmware_uses(profile: str) -> None:
    assert [one["Label"] for one in partitions(profile)] == LAYOUT


@pytest.mark.parametrize("profile", ARCHITECTURES)
def test_both_slots_are_of_one_size_and_kind(profile: str) -> None:
    made = {one["Label"]: one for one in partitions(profile)}
    for kind in ("boot", "root"):
        a, b = made[f"{kind}_a"], made[f"{kind}_b"]
        assert (a["Type"], a["SizeMaxBytes"]) == (b["Type"], b["SizeMaxBytes"])


@pytest.mark.parametrize("profile", ARCHITECTURES)
def test_the_data_partition_has_its_own_type_so_that_the_box_creates_it(
    profile: str,
) -> None:
    parsed = configparser.ConfigParser()
    parsed.read(EXTRA / "usr" / "lib" / "repart.d" / "50-data.conf")
    assert parsed["Partition"]["Label"] == "data"
    assert parsed["Partition"]["Type"] not in {one["Type"] for one in partitions(profile)}


def test_every_enabled_unit_exists_and_no_other_is_enabled() -> None:
    presets = EXTRA / "usr" / "lib" / "systemd" / "system-preset" / "60-vigie-image.preset"
    lines = [one for one in presets.read_text().splitlines() if one and not one.startswith("#")]
    lines += (ROOT / "systemd" / "system-preset" / "50-vigie.preset").read_text().splitlines()
    ours = {one.name for one in (ROOT / "systemd").iterdir()} | {
        one.name for one in (EXTRA / "usr" / "lib" / "systemd" / "system").iterdir()
    }
    enabled = [one.removeprefix("enable ") for one in lines if one.startswith("enable vigie")]
    assert enabled
    assert set(enabled) <= ours
    assert presets.read_text().endswith("\ndisable *\n")


def test_no_getty_and_no_shell_can_be_started() -> None:
    masked = EXTRA / "etc" / "systemd" / "system"
    for unit in ("getty@.service", "serial-getty@.service", "debug-shell.service"):
        assert str((masked / unit).readlink()) == "/dev/null"
    for unit in ("emergency", "rescue"):
        drop_in = EXTRA / f"usr/lib/systemd/system/{unit}.service.d/50-vigie.conf"
        assert "ExecStart=\n" in drop_in.read_text()
        assert "reboot" in drop_in.read_text()


@pytest.mark.parametrize("name", list(command_lines()))
def test_every_kernel_reboots_after_a_panic_and_has_no_login(name: str) -> None:
    words = command_lines()[name].split()
    wanted = {"ro", "panic=10", "systemd.gpt_auto=0", "systemd.getty_auto=0", "rootfstype=squashfs"}
    assert wanted <= {one.rstrip(";") for one in words}


@pytest.mark.parametrize(("partition", "slot"), [(2, "a"), (3, "b")])
def test_a_raspberry_pi_boots_the_root_next_to_its_boot_partition(
    partition: int, slot: str
) -> None:
    boot = PROFILES / "pi" / "boot"
    chosen = dict(sections((boot / "config.txt").read_text()))[f"boot_partition={partition}"]
    assert chosen == [f"cmdline=cmdline_{slot}.txt"]
    words = (boot / f"cmdline_{slot}.txt").read_text().split()
    assert f"rauc.slot={slot.upper()}" in words
    assert f"root=/dev/disk/by-partlabel/root_{slot}" in words
    assert LAYOUT.index(f"boot_{slot}") + 1 == partition


def test_a_raspberry_pis_serial_port_is_the_technicians_and_not_the_kernels() -> None:
    for slot in "ab":
        words = (PROFILES / "pi" / "boot" / f"cmdline_{slot}.txt").read_text().split()
        assert [one for one in words if one.startswith("console=")] == ["console=tty1"]
    rules = PROFILES / "pi" / "mkosi.extra" / "usr/lib/udev/rules.d/72-vigie-console.rules"
    assert 'KERNEL=="ttyAMA0"' in rules.read_text()


def test_each_board_has_usb_the_cameras_memory_and_the_limits_of_control_groups() -> None:
    boot = PROFILES / "pi" / "boot"
    settings: dict[str, list[str]] = {}
    for name, lines in sections((boot / "config.txt").read_text()):
        settings.setdefault(name, []).extend(lines)
    assert settings["cm4"] == ["otg_mode=1"]
    assert settings["cm5"] == ["dtoverlay=dwc2,dr_mode=host"]
    assert {"dtoverlay=vc4-kms-v3d", "auto_initramfs=1"} <= set(settings["all"])
    for slot in "ab":
        # Raspberry Pi's kernel leaves both off: systemd's MemoryMax= and the agent's degradation need them.
        words = (boot / f"cmdline_{slot}.txt").read_text().split()
        assert {"cgroup_enable=memory", "psi=1"} <= set(words)


def test_every_setting_of_config_txt_has_a_form_the_firmware_reads() -> None:
    text = (PROFILES / "pi" / "boot" / "config.txt").read_text()
    for name, settings in sections(text):
        assert re.fullmatch(r"all|pi[45]|cm[45]|boot_partition=[23]", name)
        for setting in settings:
            assert re.fullmatch(r"[a-z0-9_]+=[^ ]+", setting)


def test_the_firmware_of_a_raspberry_pi_is_to_keep_the_boards_own_key_to_itself() -> None:
    text = (PROFILES / "pi" / "boot" / "config.txt").read_text()
    settings = [one for name, lines in sections(text) if name == "all" for one in lines]
    assert settings.count("lock_device_private_key=1") == 1
    assert text.count("lock_device_private_key") == 1


def test_autoboot_equals_the_text_that_an_update_writes() -> None:
    text = (PROFILES / "pi" / "boot" / "autoboot.txt").read_bytes()
    assert text.ljust(bootloader.AUTOBOOT_BYTES, b"\n") == bootloader.encode_autoboot(2, 3)


def test_no_radio_has_firmware_or_is_switched_on() -> None:
    boot = PROFILES / "pi" / "boot"
    filters = dict(sections((boot / "config.txt").read_text()))
    assert {"dtoverlay=disable-wifi", "dtoverlay=disable-bt"} <= set(filters["pi4"])
    assert {"dtoverlay=disable-wifi-pi5", "dtoverlay=disable-bt-pi5"} <= set(filters["pi5"])
    packages = (PROFILES / "pi" / "packages").read_text().splitlines()
    assert not [one for one in packages if one.startswith(("firmware-", "wpasupplicant", "iwd"))]


def test_a_boot_loader_that_skips_the_slots_filters_boots_the_flashed_slot() -> None:
    first = sections((PROFILES / "pi" / "boot" / "config.txt").read_text())[0]
    assert first == ("all", ["cmdline=cmdline_a.txt"])


def pi_root(folder: Path, firmware: str) -> Path:
    """A root with what boot/install takes from it."""
    files = {"usr/lib/raspi-firmware/start4.elf": "", "usr/lib/raspi-firmware/fixup4.dat": ""}
    for kernel, board in (("6.12-rpi-v8", "bcm2711-rpi-4-b"), ("6.12-rpi-2712", "bcm2712-rpi-5-b")):
        files |= {
            f"usr/lib/modules/{kernel}/modules.order": "",
            f"boot/vmlinuz-{kernel}": "kernel",
            f"boot/initrd.img-{kernel}": "initrd",
            f"usr/lib/linux-image-{kernel}/broadcom/{board}.dtb": "",
            f"usr/lib/linux-image-{kernel}/broadcom/bcm2711-x.dtb": "",
            f"usr/lib/linux-image-{kernel}/broadcom/bcm2712-x.dtb": "",
            f"usr/lib/linux-image-{kernel}/overlays/i2c-rtc.dtbo": "",
            f"usr/lib/linux-image-{kernel}/overlays/uart3.dtbo": "",
            f"usr/lib/linux-image-{kernel}/overlays/README": "",
        }
    files["var/lib/dpkg/status"] = (
        "Package: raspi-firmware\nStatus: install ok installed\nMaintainer: x <x@example.org>\n"
        f"Architecture: arm64\nVersion: {firmware}\nDescription: x\n"
    )
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def install_boot(root: Path) -> subprocess.CompletedProcess[str]:
    needs("dpkg-query")
    return subprocess.run(
        [PROFILES / "pi" / "boot" / "install"],
        env={"BUILDROOT": str(root), "SRCDIR": str(RECIPE), "PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )


def test_config_txt_ends_with_one_sector_for_the_overlays_of_a_box(tmp_path: Path) -> None:
    root = pi_root(tmp_path, "1:1.20250915-1")
    assert install_boot(root).stderr == ""
    text = (root / "image/boot/config.txt").read_bytes()
    assert len(text) % overlay_sector.SECTOR_BYTES == 0
    assert text.endswith(overlay_sector.encode_sector(()))
    original = (PROFILES / "pi" / "boot" / "config.txt").read_bytes()
    assert text.startswith(original)
    assert text[len(original) : -overlay_sector.SECTOR_BYTES].strip() == b""
    assert (root / "usr/share/vigie/overlays").read_text().split() == ["i2c-rtc", "uart3"]
    for program in ("mkfs.vfat", "mcopy"):
        needs(program)
    image_file = tmp_path / "boot.img"
    subprocess.run(
        [RECIPE / "fat-image", root / "image/boot", "128", "BOOT", image_file],
        env={"SOURCE_DATE_EPOCH": "1700000000", "PATH": PATH},
        check=True,
    )
    assert overlay_sector.read_sector(image_file) == overlay_sector.encode_sector(())


@pytest.mark.parametrize("version", ["1:1.20250305-1", "1.20241126"])
def test_an_image_is_not_built_with_a_start4_elf_that_boots_no_slot(
    tmp_path: Path, version: str
) -> None:
    done = install_boot(pi_root(tmp_path, version))
    assert done.returncode == 1
    assert "needed: 1.20250326 or later" in done.stderr


@pytest.mark.parametrize("name", ["grub.cfg", "slot.cfg"])
def test_grub_can_read_its_configuration(name: str) -> None:
    file = PROFILES / "virt" / "boot" / name
    subprocess.run([needs("grub-script-check"), file], check=True)


def test_grub_clears_a_trial_before_booting_it() -> None:
    text = (PROFILES / "virt" / "boot" / "grub.cfg").read_text()
    forgotten = text.index('save_env --file "$env" try')
    assert text.index("set try=\n    #") < forgotten < text.index('start "$tried" try')


@pytest.mark.parametrize("script", list(scripts()), ids=lambda one: str(one.relative_to(RECIPE)))
def test_scripts_are_valid_for_sh_and_executable(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)
    assert script.stat().st_mode & 0o111


def test_every_file_that_the_build_copies_from_the_recipe_is_there() -> None:
    places = {"SRCDIR": RECIPE}
    named = 0
    for script in scripts():
        text = script.read_text()
        for variable, path in re.findall(r"\$(SRCDIR|here)/([\w./$-]+)", text):
            where = places.get(variable, script.parent)
            for profile in ARCHITECTURES:
                assert (where / path.replace("$PROFILES", profile)).exists(), path
            named += 1
    assert named >= 8


def test_the_agents_user_id_is_the_same_everywhere() -> None:
    users = (ROOT / "systemd/sysusers.d/vigie.conf").read_text()
    start = RECIPE / "mkosi.skeleton/etc/initramfs-tools/scripts/init-bottom/vigie"
    (owner,) = re.findall(r"^owner=(\d+)", start.read_text(), re.MULTILINE)
    assert f"u! vigie {owner} " in users


def test_udev_names_sticks_with_fat_or_exfat_and_mounts_none() -> None:
    sticks = (EXTRA / "usr/lib/udev/rules.d/73-vigie-sticks.rules").read_text()
    assert re.findall(r'ID_FS_TYPE}=="([\w|]+)"', sticks) == ["vfat|exfat"]
    for rule in RECIPE.rglob("*.rules"):
        assert "RUN" not in rule.read_text(), rule.name
        assert "SYSTEMD_WANTS" not in rule.read_text() or rule.name == "72-vigie-console.rules"


def test_udev_can_read_every_rule() -> None:
    rules = sorted(RECIPE.rglob("*.rules"))
    assert len(rules) >= 4
    subprocess.run([needs("udevadm"), "verify", *rules], check=True, stdout=subprocess.DEVNULL)


HARDENED = {
    "kernel.kptr_restrict": "2",
    "kernel.yama.ptrace_scope": "3",
    "kernel.kexec_load_disabled": "1",
    "kernel.io_uring_disabled": "2",
    "net.core.bpf_jit_harden": "2",
    "dev.tty.ldisc_autoload": "0",
    "-kernel.unprivileged_userns_clone": "0",
    "fs.protected_fifos": "2",
    "fs.protected_regular": "2",
    "net.ipv4.conf.*.rp_filter": "1",
    "net.ipv4.conf.*.accept_redirects": "0",
    "net.ipv4.conf.*.send_redirects": "0",
    "net.ipv6.conf.*.accept_redirects": "0",
}
NO_PROGRAMS = {"nosuid", "nodev", "noexec"}


def test_the_kernel_is_hardened_and_each_port_too() -> None:
    text = (EXTRA / "usr/lib/sysctl.d/50-vigie-image.conf").read_text()
    settings = dict(re.findall(r"^([^#\s]\S*) = (\S+)$", text, re.MULTILINE))
    assert HARDENED.items() <= settings.items()
    for key, value in settings.items():
        # systemd applies the one with the asterisk to the ports that are there, the other to those that come.
        assert settings.get(key.replace(".*.", ".default.")) == value


def test_no_program_of_the_image_is_setuid() -> None:
    lines = (RECIPE / "mkosi.finalize").read_text().splitlines()
    strip = lines.index("find . -xdev -type f -perm /6000 -exec chmod ug-s {} +")
    assert lines.index('cd "$root"') < strip


def test_each_mount_of_the_initramfs_below_var_has_a_unit_file_by_which_systemd_unmounts_in_order() -> (
    None
):
    """Of a mount without a file systemd knows no needs: the journal would stay open until its unmount has failed."""
    start = (RECIPE / "mkosi.skeleton/etc/initramfs-tools/scripts/init-bottom/vigie").read_text()
    made = dict.fromkeys(re.findall(r"^over (/var\S*) ", start, re.MULTILINE), "overlay")
    kept = re.findall(r"^keep (\S+) \S+ \S+ (/var/\S+)$", start, re.MULTILINE)
    made |= {where: f"/state/{folder}" for folder, where in kept}
    assert len(made) >= 5
    for where, what in made.items():
        unit = EXTRA / "usr/lib/systemd/system" / f"{where[1:].replace('/', '-')}.mount"
        parsed = configparser.ConfigParser()
        parsed.read_string(unit.read_text())
        assert (parsed["Mount"]["Where"], parsed["Mount"]["What"]) == (where, what)
        assert "Install" not in parsed, "the initramfs mounts it"


def test_what_can_be_written_holds_no_programs_and_no_devices() -> None:
    start = RECIPE / "mkosi.skeleton/etc/initramfs-tools/scripts/init-bottom/vigie"
    mounts = re.findall(r'mount -t (?:overlay|ext4) -o "?([\w=,-]+)', start.read_text())
    assert len(mounts) == 2
    (select,) = re.findall(
        r"^PARTLABEL=select \S+ vfat (\S+)", (EXTRA / "etc/fstab").read_text(), re.MULTILINE
    )
    (shm,) = re.findall(
        r"^tmpfs /dev/shm tmpfs (\S+)", (EXTRA / "etc/fstab").read_text(), re.MULTILINE
    )
    units = EXTRA / "usr/lib/systemd/system"
    tmp, data = (
        re.findall(r"^Options=(\S+)", (units / name).read_text(), re.MULTILINE)
        for name in ("tmp.mount.d/50-vigie.conf", "data.mount")
    )
    for options in (*mounts, select, shm, *tmp, *data):
        assert set(options.split(",")) >= NO_PROGRAMS


def test_a_box_gets_the_tested_packages_and_no_development_packages() -> None:
    box, all_of_them = (
        re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE)
        for name in ("images/requirements-box.lock", "requirements.lock")
    )
    assert set(box) <= set(all_of_them)
    assert not {name for name, _ in box} & {
        "pytest",
        "mypy",
        "ruff",
        "iotcore",
        "textual",
        "matplotlib",
        "pyarrow",
        "hypothesis",
    }
    text = (ROOT / "images/requirements-box.lock").read_text()
    assert text.count("--hash=sha256:") >= len(box)


ARCHIVES = {
    # Its file in apt's lists: the fields of its Release.
    "mirror.example_debian_dists_trixie": ("Debian", "trixie"),
    "mirror.example_debian_dists_trixie-updates": ("Debian", "trixie-updates"),
    "mirror.example_debian_dists_bookworm": ("Debian", "bookworm"),
    "board.example_debian_dists_trixie": ("Raspberry Pi Foundation", "trixie"),
}


def apt_that_knows(sources: dict[str, str], folder: Path) -> list[str]:
    """The real apt-get, with sources of its own as they were when it fetched the archives' lists."""
    etc, lists = folder / "etc", folder / "state" / "lists"
    for one in (etc / "sources.list.d", etc / "preferences.d", lists / "partial"):
        one.mkdir(parents=True)
    for name, text in sources.items():
        (etc / name).write_text(text)
    for name, (origin, codename) in ARCHIVES.items():
        index = "main/binary-amd64/Packages"
        (lists / f"{name}_Release").write_text(
            f"Origin: {origin}\nSuite: {codename}\nCodename: {codename}\n"
            f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nComponents: main\nArchitectures: amd64\n"
            f"SHA256:\n {'0' * 64} 0 {index}\n"
        )
        (lists / f"{name}_{index.replace('/', '_')}").write_text("")
    options = {
        "Dir::Etc": etc,
        "Dir::State": folder / "state",
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
    }
    return ["apt-get", *(f"-o{name}={value}" for name, value in options.items())]


FORMS = {
    "paragraphs": {
        "sources.list.d/debian.sources": "Types: deb deb-src\nURIs: http://mirror.example/debian\n"
        "Suites: trixie trixie-updates bookworm\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp\n",
        "sources.list.d/board.sources": "Types: deb\nURIs: http://board.example/debian\n"
        "Suites: trixie\nComponents: main\n",
    },
    "lines": {
        "sources.list": "deb http://mirror.example/debian trixie main\n"
        "# deb http://other.example/debian trixie main\n"
        "deb [arch=amd64] http://mirror.example/debian/ trixie-updates main\n"
        "deb http://mirror.example/debian bookworm main\n"
        "deb http://board.example/debian trixie main\n"
        "deb file:/srv/own ./\n",
    },
}


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt-get")
@pytest.mark.parametrize("form", FORMS)
def test_package_sources_are_the_build_machines_debian_sources_only(
    form: str, tmp_path: Path
) -> None:
    reported = apt_sources.machine_sources(apt_that_knows(FORMS[form], tmp_path))
    suites = [line for line in reported.splitlines() if line.startswith("Suites:")]
    assert sorted(suites) == ["Suites: trixie", "Suites: trixie-updates"]
    assert set(re.findall("URIs: (.*)", reported)) == {"http://mirror.example/debian/"}
    assert set(re.findall("Signed-By: (.*)", reported)) == {apt_sources.KEYRING}


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt-get")
def test_without_debian_sources_a_mirror_is_required(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="MIRROR"):
        apt_sources.machine_sources(apt_that_knows({}, tmp_path))


def test_a_pi_image_without_raspberry_pis_archive_is_refused_in_one_line(tmp_path: Path) -> None:
    nowhere = image.PackageSources(
        mirror="http://mirror.example/debian",
        security_mirror="http://mirror.example/debian-security",
        board_mirror=None,
        board_keyring=None,
        board_packages=image.PI_PACKAGES,
    )
    target = BuildTarget(profile="pi", architecture="arm64", version="1.0.0")
    with pytest.raises(SystemExit, match="RASPBERRYPI_MIRROR"):
        image.write_apt_sources(target, nowhere, tmp_path / "sandbox")


def test_the_pi_profile_takes_both_kernels_the_firmware_and_the_camera() -> None:
    named = image.read_board_packages(image.PI_PACKAGES)
    assert {"linux-image-rpi-v8", "linux-image-rpi-2712", "raspi-firmware"} <= set(named)
    assert {"python3-picamera2", "rpi-eeprom"} <= set(named)


@pytest.mark.parametrize("downgrade", [True, False])
def test_only_a_bundle_marked_as_downgrade_may_downgrade(downgrade: bool) -> None:
    target = BuildTarget(profile="virt", architecture="arm64", version="1.2.3")
    parsed = configparser.ConfigParser()
    parsed.read_string(bundles.bundle_manifest(target, allow_downgrade=downgrade))
    assert dict(parsed["update"]) == {"compatible": "vigie-virt-arm64", "version": "1.2.3"}
    assert parsed["bundle"]["format"] == "verity"
    assert parsed.has_section("meta.vigie") == downgrade


def test_a_root_image_ends_with_its_file_system(tmp_path: Path) -> None:
    file = tmp_path / "root.img"
    file.write_bytes(b"hsqs" + bytes(36) + (5000).to_bytes(8, "little") + bytes(10_000))
    assert image_files.squashfs_bytes(file) == 8192


def test_a_file_that_is_not_squashfs_is_refused_as_a_root_image(tmp_path: Path) -> None:
    file = tmp_path / "root.img"
    file.write_bytes(bytes(100))
    with pytest.raises(SystemExit, match="not a squashfs"):
        image_files.squashfs_bytes(file)


def test_the_wheel_of_a_box_has_the_agent_the_street_of_its_self_test_and_no_centre(
    tmp_path: Path,
) -> None:
    pytest.importorskip("setuptools")
    with zipfile.ZipFile(tree.build_agent_wheel(tmp_path)) as wheel:
        paths = [Path(name) for name in wheel.namelist()]
    packages = {path.parts[0] for path in paths if not path.parts[0].endswith(".dist-info")}
    assert packages == {"agent", "drivers", "simulation"}
    simulated = {str(path.parent) for path in paths if path.parts[0] == "simulation"}
    assert simulated == {"simulation", "simulation/camera", "simulation/street"}


def test_all_byte_code_that_is_removed_is_made_again() -> None:
    """The root is read-only: Python would compile a module without it at each start."""
    script = (RECIPE / "mkosi.finalize").read_text()
    removed = re.search(r"^find (.*) -name __pycache__", script, re.MULTILINE)
    made = re.search(r"-m compileall .*\\\n +(.*) \|\| true$", script, re.MULTILINE)
    assert removed is not None
    assert made is not None
    folders = [word.replace('"', "").removeprefix("$root/") for word in made[1].split()]
    assert removed[1].split() == folders
