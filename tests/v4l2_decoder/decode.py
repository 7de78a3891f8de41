"""Decode a film as a camera with a hardware decoder: `python -m tests.v4l2_decoder.decode FILM TIMEOUT_S`.

Prints the failures of the decoder, and a hash of the luma of each picture by its time, as JSON.
"""

import hashlib
import sys
from functools import partial

import av
import msgspec

from drivers.hardware_decoder import HardwareSource, open_v4l2_decoder


class Outcome(msgspec.Struct, frozen=True):
    failures: list[str]
    pictures: list[tuple[int, str]]


def main() -> None:
    path, timeout_s = sys.argv[1:]
    failures: list[str] = []
    pictures: list[tuple[int, str]] = []
    source = HardwareSource(
        av.open(path),
        "film",
        partial(open_v4l2_decoder, "/dev/video10"),
        failures.append,
        timeout_s=float(timeout_s),
    )
    for packet in source.packets():
        for picture in source.decode(packet) if packet.size else ():
            luma = source.planes(picture)[0].tobytes()
            pictures.append((picture.pts or 0, hashlib.sha256(luma).hexdigest()))
    source.close()
    sys.stdout.buffer.write(msgspec.json.encode(Outcome(failures, pictures)))


if __name__ == "__main__":
    main()
