"""Raspberry Pi's autoboot.txt: which partition boots, and which one a `tryboot` tries. Pure.

The firmware reads up to 512 bytes and knows the filters `[all]`, `[none]` and `[tryboot]`. With
`tryboot_a_b=1` a `tryboot` differs by its partition alone.
"""

SIZE_BYTES = 128
"""Of every file that is written, so that one can be written over another within one sector."""
_FIRMWARE_MOST_BYTES = 512


def decode(data: bytes) -> int:
    """The partition that boots. Raises ValueError where the file does not say."""
    if len(data) > _FIRMWARE_MOST_BYTES:
        raise ValueError(f"{len(data)} bytes: the firmware reads {_FIRMWARE_MOST_BYTES}")
    section, found = "all", None
    for line in data.decode("ascii", "replace").splitlines():
        word = line.strip()
        if word.startswith("[") and word.endswith("]"):
            section = word[1:-1]
        elif section == "all" and word.startswith("boot_partition="):
            found = word.partition("=")[2]
    if found is None or not found.isdecimal():
        raise ValueError("no boot_partition for [all]")
    return int(found)


def encode(boots: int, tried: int) -> bytes:
    """The file, always of the same length."""
    text = f"[all]\ntryboot_a_b=1\nboot_partition={boots}\n[tryboot]\nboot_partition={tried}\n"
    return text.encode("ascii").ljust(SIZE_BYTES, b"\n")
