"""Raspberry Pi's autoboot.txt: which partition boots, and which one a `tryboot` tries. Pure.

The firmware reads up to 512 bytes and knows the filters `[all]`, `[none]` and `[tryboot]`. With
`tryboot_a_b=1` a `tryboot` differs by its partition alone.
"""

SIZE_BYTES = 128
"""Of every file that is written, so that one can be written over another within one sector."""
_MAX_FIRMWARE_BYTES = 512


def decode(data: bytes) -> int:
    """The partition that boots. Raises ValueError where the file does not say."""
    if len(data) > _MAX_FIRMWARE_BYTES:
        raise ValueError(f"{len(data)} bytes: the firmware reads {_MAX_FIRMWARE_BYTES}")
    section, found = "all", None
    for line in data.decode("ascii", "replace").splitlines():
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1]
        elif section == "all" and text.startswith("boot_partition="):
            found = text.partition("=")[2]
    if found is None or not found.isdecimal():
        raise ValueError("no boot_partition for [all]")
    return int(found)


def encode(default_partition: int, tryboot_partition: int) -> bytes:
    """The file, always of the same length."""
    text = f"[all]\ntryboot_a_b=1\nboot_partition={default_partition}\n[tryboot]\nboot_partition={tryboot_partition}\n"
    return text.encode("ascii").ljust(SIZE_BYTES, b"\n")
