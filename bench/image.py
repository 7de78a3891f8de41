"""The image: its size, its start-up time, and its load when idle.

A box is flashed, switched on and left alone in QEMU, with emulated processors (TCG) unless KVM is
requested: seconds here are those of a slow board at best, for comparison with each other. The box records
a small rendered street without detection.

Bytes written are those of the disk's partitions in some idle minutes, extrapolated to an hour, without
footage: its volume depends on the camera.

Run: `python -m bench image`, after `make image`; it takes about ten minutes.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.table import Row
from tests.image import first_boot as lives
from tests.image.box_settings import good_settings_text, new_secret
from tests.image.built_image import BuiltImage, find_image
from tests.image.first_boot import SNAPSHOT_NAME, FirstLife
from tests.image.guest import Guest
from tests.image.outside_services import running_outside

SETTLE_S, MEASURE_S = 60, 300
HOUR_S = 3600
SECTOR_BYTES = 512
MB = 1e6


def rows() -> list[Row]:
    """Return the rows of the table."""
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
    """Return the sizes of the image for flashing and of an update bundle."""
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
    """Measure the first boot from power-on, which creates the state and data partitions."""
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
    """Measure memory and writes of an idle box."""
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
            name="image: bytes written in an idle hour, footage excluded",
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
    """Return the bytes written to each partition since the boot (sysfs-block, `stat`)."""
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
    """Return a field of /proc/meminfo."""
    return int(text.split(maxsplit=1)[0])
