"""centre.flash.disks and safety_checks: the kernel's data on disks, and the reasons not to write to one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.health.vitals.procfs import ProcFs
from centre.flash.disks import BlockDevice, DiskUser, format_size, list_disks, read_disk
from centre.flash.safety_checks import (
    MIN_FOOTAGE_BYTES,
    NOT_REMOVABLE_FLAG,
    SMALL_FLAG,
    find_refusals,
)

IMAGE_BYTES = 3_000_000_000
GB = 1_000_000_000


class Machine:
    """A `proc` and a `sys` below a folder, laid out as the kernel's are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mounts: list[str] = []
        self.set("proc/self/mountinfo", "")
        self.set("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n")

    def set(self, path: str, text: str | bytes) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)

    def add(self, at: str, number: str, size_bytes: int, **facts: str) -> str:
        """A disk, by where it hangs on its bus; its name is the last word."""
        name = at.rpartition("/")[2]
        folder = f"sys/devices/{at}"
        self.set(f"{folder}/size", f"{size_bytes // 512}\n")
        self.set(f"{folder}/dev", f"{number}\n")
        for fact, text in facts.items():
            self.set(f"{folder}/{fact.replace('__', '/')}", f"{text}\n")
        self._link(name, folder)
        return name

    def part(self, of: str, name: str, number: str) -> str:
        folder = (self.root / f"sys/class/block/{of}").resolve().relative_to(self.root.resolve())
        self.set(f"{folder}/{name}/partition", "1\n")
        self.set(f"{folder}/{name}/dev", f"{number}\n")
        self.set(f"{folder}/{name}/size", "2048\n")
        self._link(name, f"{folder}/{name}")
        return name

    def holds(self, holder: str, held: str) -> None:
        self.set(f"sys/class/block/{held}/holders/{holder}", "")

    def mount(self, number: str, point: str, source: str) -> None:
        self.mounts.append(f"30 1 {number} / {point} rw,relatime shared:1 - ext4 {source} rw\n")
        self.set("proc/self/mountinfo", "".join(self.mounts))

    def found(self, name: str) -> BlockDevice:
        there = read_disk(name, ProcFs(self.root))
        assert there is not None
        return there

    def _link(self, name: str, folder: str) -> None:
        link = self.root / "sys/class/block" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.root / folder)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def stick(machine: Machine) -> str:
    return machine.add(
        "pci0/usb1/1-2/host6/block/sdb",
        "8:16",
        32 * GB,
        removable="1",
        ro="0",
        device__vendor="SanDisk ",
        device__model="Ultra USB 3.0   ",
        queue__logical_block_size="512",
    )


def usb_ssd(machine: Machine) -> str:
    return machine.add("pci0/usb2/2-1/block/sdc", "8:32", 500 * GB, removable="0", ro="0")


def card_slot(machine: Machine) -> str:
    return machine.add(
        "pci0/rtsx/mmc_host/mmc0/mmc0:0001/block/mmcblk0",
        "179:0",
        32 * GB,
        removable="0",
        device__type="SD",
        device__name="SC32G",
    )


def compute_module(machine: Machine) -> str:
    """A CM4 as rpiboot shows its eMMC."""
    return machine.add(
        "pci0/usb1/1-3/block/sdd",
        "8:48",
        8 * GB,
        removable="1",
        device__vendor="mmcblk0",
        device__model="Raspberry Pi multi-function USB device",
    )


def emmc(machine: Machine) -> str:
    return machine.add(
        "soc/emmc/mmc_host/mmc0/mmc0:1/block/mmcblk0", "179:0", 32 * GB, device__type="MMC"
    )


def nvme(machine: Machine) -> str:
    return machine.add("pci0/nvme/nvme0/nvme0n1", "259:0", 1000 * GB, device__model="980 PRO")


def sata(machine: Machine) -> str:
    return machine.add("pci0/ata1/host0/block/sda", "8:0", 500 * GB)


@pytest.mark.parametrize(
    ("of", "shown"),
    [
        (stick, "/dev/sdb (SanDisk Ultra USB 3.0, 32.0 GB, usb)"),
        (usb_ssd, "/dev/sdc (500.0 GB, usb)"),
        (card_slot, "/dev/mmcblk0 (SC32G, 32.0 GB, sd)"),
        (compute_module, "/dev/sdd (mmcblk0 Raspberry Pi multi-function USB device, 8.0 GB, usb)"),
        (emmc, "/dev/mmcblk0 (32.0 GB, emmc)"),
        (nvme, "/dev/nvme0n1 (980 PRO, 1000.0 GB, nvme)"),
        (sata, "/dev/sda (500.0 GB, sata)"),
    ],
)
def test_a_disk_is_described_by_maker_model_and_size(
    machine: Machine, of: object, shown: str
) -> None:
    assert callable(of)
    assert str(machine.found(of(machine))) == shown


@pytest.mark.parametrize("of", [stick, usb_ssd, card_slot, compute_module])
def test_cards_usb_disks_and_boards_on_a_cable_may_be_written(machine: Machine, of: object) -> None:
    assert callable(of)
    assert find_refusals(machine.found(of(machine)), IMAGE_BYTES) == ()


@pytest.mark.parametrize("of", [emmc, nvme, sata])
def test_a_built_in_disk_requires_its_flag(machine: Machine, of: object) -> None:
    assert callable(of)
    (why,) = find_refusals(machine.found(of(machine)), IMAGE_BYTES)
    assert why.flag == NOT_REMOVABLE_FLAG
    assert str(why).startswith("is not removable; allowed: ")


def mounted(machine: Machine) -> None:
    machine.part("sdb", "sdb1", "8:17")
    machine.mount("8:17", r"/media/amina/MY\040CARD", "/dev/sdb1")


def mounted_whole(machine: Machine) -> None:
    machine.mount("8:16", "/mnt", "/dev/sdb")


def btrfs_root(machine: Machine) -> None:
    """Its device numbers are not those of the disk."""
    machine.part("sdb", "sdb2", "8:18")
    machine.mount("0:33", "/", "/dev/sdb2")


def root_on_lvm_on_crypt(machine: Machine) -> None:
    machine.part("sdb", "sdb2", "8:18")
    machine.add("virtual/block/dm-0", "253:0", GB, dm__name="crypt")
    machine.add("virtual/block/dm-1", "253:1", GB, dm__name="vg-root")
    machine.holds("dm-0", "sdb2")
    machine.holds("dm-1", "dm-0")
    machine.mount("253:1", "/", "/dev/mapper/vg-root")


def half_a_mirror(machine: Machine) -> None:
    machine.part("sdb", "sdb1", "8:17")
    machine.add("virtual/block/md0", "9:0", GB)
    machine.holds("md0", "sdb1")


def swap(machine: Machine) -> None:
    machine.part("sdb", "sdb3", "8:19")
    machine.set("proc/swaps", "Filename Type Size\n/dev/sdb3 partition 4 0 -2\n")


def swap_on_lvm(machine: Machine) -> None:
    machine.add("virtual/block/dm-0", "253:0", GB, dm__name="vg-swap")
    machine.holds("dm-0", "sdb")
    machine.set("proc/swaps", "Filename Type Size\n/dev/dm-0 partition 4 0 -2\n")


def locked(machine: Machine) -> None:
    machine.set("sys/class/block/sdb/ro", "1\n")


def big_sectors(machine: Machine) -> None:
    machine.set("sys/class/block/sdb/queue/logical_block_size", "4096\n")


def smaller_than_the_image(machine: Machine) -> None:
    machine.set("sys/class/block/sdb/size", f"{2 * GB // 512}\n")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            mounted,
            "/dev/sdb1 is mounted at /media/amina/MY CARD; allowed: after umount /media/amina/MY CARD",
        ),
        (mounted_whole, "/dev/sdb is mounted at /mnt; allowed: after umount /mnt"),
        (btrfs_root, "is a disk of the running system (/); allowed: another disk"),
        (root_on_lvm_on_crypt, "is a disk of the running system (/); allowed: another disk"),
        (half_a_mirror, "/dev/sdb1 is part of md0 (LVM, RAID or encryption)"),
        (swap, "/dev/sdb3 is swap; allowed: after swapoff /dev/sdb3"),
        (swap_on_lvm, "/dev/dm-0 is swap; allowed: after swapoff /dev/dm-0"),
        (locked, "is read-only; allowed: after its write protection is switched off"),
        (big_sectors, "has sectors of 4096 bytes; allowed: a disk of 512"),
        (smaller_than_the_image, "is too small for the image; allowed: 7.0 GB or more"),
    ],
)
def test_a_disk_in_use_or_unfit_is_refused_despite_any_flag(
    machine: Machine, what: object, message: str
) -> None:
    assert callable(what)
    stick(machine)
    what(machine)
    against = find_refusals(machine.found("sdb"), IMAGE_BYTES)
    assert any(str(one).startswith(message) and one.flag is None for one in against), against
    assert against[0].flag is None


def test_another_disk_in_use_is_not_a_reason(machine: Machine) -> None:
    stick(machine)
    usb_ssd(machine)
    machine.part("sdc", "sdc1", "8:33")
    machine.mount("8:33", "/srv", "/dev/sdc1")
    assert find_refusals(machine.found("sdb"), IMAGE_BYTES) == ()


def test_a_long_list_of_mounts_is_read_to_its_end(machine: Machine) -> None:
    stick(machine)
    for number in range(1000):
        machine.mounts.append(f"30 1 0:{number} / /snap/{number} ro - squashfs /dev/x ro\n")
    machine.mount("8:16", "/mnt", "/dev/sdb")
    assert find_refusals(machine.found("sdb"), IMAGE_BYTES)


def test_a_disk_is_not_free_if_the_mounts_are_unreadable(machine: Machine) -> None:
    stick(machine)
    (machine.root / "proc/self/mountinfo").unlink()
    with pytest.raises(OSError, match="mountinfo"):
        machine.found("sdb")


def test_a_partition_is_refused_and_its_disk_is_named(machine: Machine) -> None:
    stick(machine)
    machine.part("sdb", "sdb1", "8:17")
    against = find_refusals(machine.found("sdb1"), IMAGE_BYTES)
    assert "is a partition; allowed: the whole disk, /dev/sdb" in map(str, against)


@pytest.mark.parametrize(
    ("size_bytes", "flag"),
    [
        (IMAGE_BYTES + MIN_FOOTAGE_BYTES, ()),
        (IMAGE_BYTES + MIN_FOOTAGE_BYTES - 512, (SMALL_FLAG,)),
        (IMAGE_BYTES, (SMALL_FLAG,)),
        (IMAGE_BYTES - 512, (None,)),
        (0, (None,)),
    ],
)
def test_a_disk_needs_room_for_the_image_and_footage(
    machine: Machine, size_bytes: int, flag: tuple[str | None, ...]
) -> None:
    stick(machine)
    machine.set("sys/class/block/sdb/size", f"{size_bytes // 512}\n")
    against = find_refusals(machine.found("sdb"), IMAGE_BYTES)
    assert tuple(one.flag for one in against) == flag


def test_whole_disks_with_content_are_listed(machine: Machine) -> None:
    for of in (stick, card_slot, nvme):
        of(machine)
    machine.part("sdb", "sdb1", "8:17")
    machine.add("virtual/block/loop0", "7:0", 0)
    assert [one.name for one in list_disks(ProcFs(machine.root))] == ["mmcblk0", "nvme0n1", "sdb"]


@given(
    size=st.binary(max_size=30),
    model=st.binary(max_size=200),
    flag=st.binary(max_size=4),
    mounts=st.binary(max_size=300),
    swaps=st.binary(max_size=100),
)
def test_any_kernel_files_give_a_one_line_disk_or_none(
    tmp_path_factory: pytest.TempPathFactory,
    size: bytes,
    model: bytes,
    flag: bytes,
    mounts: bytes,
    swaps: bytes,
) -> None:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    stick(machine)
    machine.set("sys/class/block/sdb/size", size)
    machine.set("sys/class/block/sdb/device/model", model)
    machine.set("sys/class/block/sdb/removable", flag)
    machine.set("sys/class/block/sdb/ro", flag)
    machine.set("proc/self/mountinfo", mounts)
    machine.set("proc/swaps", swaps)
    found = read_disk("sdb", ProcFs(machine.root))
    if found is None:
        assert not size.strip().isdigit() or len(size.strip()) > 18
        return
    assert str(found).isprintable()
    assert len(str(found)) < 120
    assert all(str(one) for one in find_refusals(found, IMAGE_BYTES))


mount_points = st.sampled_from(["/", "/mnt", "/home", "/media/x y"])


@given(points=st.lists(mount_points, max_size=3), how=st.sampled_from(["swap", "held"]))
def test_a_disk_in_any_use_is_never_written(points: list[str], how: str) -> None:
    uses = [DiskUser(device="sdb1", kind="mounted", used_by=point) for point in points]
    found = BlockDevice(
        name="sdb",
        size_bytes=100 * GB,
        model="",
        bus="usb",
        kernel_removable=True,
        read_only=False,
        parent=None,
        users=(*uses, DiskUser(device="sdb2", kind=how, used_by="md0")),
    )
    assert find_refusals(found, IMAGE_BYTES)[0].flag is None


@pytest.mark.parametrize(
    ("size_bytes", "words"), [(31_914_983_424, "31.9 GB"), (67_108_864, "67.1 MB"), (0, "0.0 MB")]
)
def test_a_size_is_shown_as_on_the_label(size_bytes: int, words: str) -> None:
    assert format_size(size_bytes) == words


@pytest.mark.parametrize(
    ("file", "text", "same"),
    [
        ("diskseq", "9\n", True),
        ("diskseq", "10\n", False),
        ("size", f"{16 * GB // 512}\n", False),
        ("device/model", "Cruzer\n", False),
        ("ro", "1\n", True),
    ],
)
def test_another_card_in_the_same_reader_is_another_disk(
    machine: Machine, file: str, text: str, same: bool
) -> None:
    folder = f"sys/class/block/{stick(machine)}"
    machine.set(f"{folder}/diskseq", "9\n")
    before = machine.found("sdb")
    machine.set(f"{folder}/{file}", text)
    assert machine.found("sdb").is_same_disk(before) is same


def test_a_disk_is_recognised_without_the_kernels_sequence_number(machine: Machine) -> None:
    before = machine.found(stick(machine))
    assert before.diskseq == ""
    assert machine.found("sdb").is_same_disk(before)
