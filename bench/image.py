"""The image: how large it is, how soon it records, what it keeps busy where nothing happens.

A box is flashed, switched on and left alone in QEMU, its processors emulated (TCG) where nobody asks for
KVM: seconds here are those of a slow board at best, and are there to be compared with each other. The
box records a small drawn street and has no detection.

Bytes written: what the disk's partitions were given in some minutes of this, made into an hour. Film is
not counted: how much of it there is, is the camera's business.

Run: `python -m bench image`, after `make image`; it takes about ten minutes.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.table import Row
from tests.image import life as lives
from tests.image.box_settings import good_settings_text, new_secret
from tests.image.built import BuiltImage, find_image
from tests.image.guest import Guest
from tests.image.life import SNAPSHOT_NAME, FirstLife
from tests.image.outside import running_outside

SETTLE_S, MEASURE_S = 60, 300
HOUR_S = 3600
SECTOR_BYTES = 512
MB = 1e6


def rows() -> list[Row]:
    """The rows for the table."""
    built = find_image()
    # On a disk, not in memory: it is a gigabyte or two.
    with tempfile.TemporaryDirectory(prefix="vigie-image-", dir="/var/tmp") as name:
        folder = Path(name)
        new_secret(folder / "console.secret")
        text = good_settings_text((folder / "console.secret").read_text().strip())
        with running_outside(folder / "outside") as outside_world:
            guest = Guest(
                folder / "box",
                lives.make_card(folder, built, text),
                outside_world,
                built.architecture,
            )
            try:
                first_life = lives.run_first_life(guest, outside_world)
                guest.switch_on(SNAPSHOT_NAME)
                return [*size_rows(built), *time_rows(built, first_life), *idle_rows(guest)]
            finally:
                guest.close()


def size_rows(built: BuiltImage) -> list[Row]:
    """What is carried to a box, by hand and over the air."""
    return [
        Row(
            name=f"image: {title}", value=file.stat().st_size / MB, unit="MB", target="-", note=note
        )
        for title, file, note in (
            ("to be flashed, compressed", built.compressed_disk, "zstd"),
            ("bundle of an update", built.bundle, "RAUC, verity"),
            ("root file system", built.root, "squashfs, zstd"),
        )
        if file.exists()
    ]


def time_rows(built: BuiltImage, first_life: FirstLife) -> list[Row]:
    """The first boot, from the power on, with the state and data partitions made."""
    note = f"first boot, {built.architecture} emulated, {first_life.processors} processors"
    return [
        Row(name=f"image: power on to {title}", value=value, unit="s", target="-", note=note)
        for title, value in (
            ("READY", first_life.ready_s),
            ("the first recorded frame", first_life.recording_s),
            ("a boot found good", first_life.good_s),
        )
    ]


def idle_rows(guest: Guest) -> list[Row]:
    """Memory and writes of a box that nobody asks anything."""
    time.sleep(SETTLE_S)
    before = partition_bytes_written(guest)
    time.sleep(MEASURE_S)
    after = partition_bytes_written(guest)
    per_hour = HOUR_S / MEASURE_S / MB
    memory = dict(
        line.split(":") for line in guest.run("cat /proc/meminfo").splitlines() if ":" in line
    )
    used_kb = parse_kilobytes(memory["MemTotal"]) - parse_kilobytes(memory["MemAvailable"])
    other_bytes = sum(after[name] - before[name] for name in after if name != "data")
    return [
        Row(
            name="image: memory of the whole system",
            value=used_kb / 1000,
            unit="MB",
            target="-",
            note=f"of {parse_kilobytes(memory['MemTotal']) / 1000:.0f}; one camera recorded, no detection",
        ),
        Row(
            name="image: bytes written in an idle hour, film left out",
            value=other_bytes * per_hour,
            unit="MB",
            target="-",
            note=f"from {MEASURE_S // 60} minutes; "
            + ", ".join(
                f"{name} {(after[name] - before[name]) * per_hour:.2f}" for name in sorted(after)
            ),
        ),
    ]


def partition_bytes_written(guest: Guest) -> Mapping[str, int]:
    """Bytes that each partition was given to write since the boot (sysfs-block, `stat`)."""
    found: dict[str, int] = {}
    output = guest.run(
        "for one in /dev/disk/by-partlabel/*; do "
        'echo "$(basename $one) $(cat /sys/class/block/$(basename $(readlink -f $one))/stat)"; done'
    )
    for line in output.splitlines():
        name, *numbers = line.split()
        found[name] = int(numbers[6]) * SECTOR_BYTES
    return found


def parse_kilobytes(text: str) -> int:
    """A figure of /proc/meminfo."""
    return int(text.split(maxsplit=1)[0])
