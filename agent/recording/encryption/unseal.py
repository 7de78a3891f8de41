"""The centre's side of sealing: a sealed segment and a recipient's private key, made plain."""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.errors import UserError
from agent.recording.encryption.keys import SegmentKey
from agent.recording.encryption.seal import open_sidecar
from agent.recording.export.mp4_boxes import DamagedFootage, plain_moof, plain_moov
from agent.recording.export.segment_reader import SegmentReader, open_samples
from agent.recording.segment_name import PART

_COPY_BYTES = 1 << 20


def unseal(segment: Path, keys_file: Path, private_key: X25519PrivateKey, out: Path) -> None:
    """Write the plain segment to `out`: every box where it was, its pictures in the clear, and what
    told of the sealing as free space. Nothing stands under the name before it is whole.

    Raises BadInput where the segment is not there, not sealed or damaged, and where the private
    key does not open it; OSError where `out` cannot be written.
    """
    key = open_sidecar(keys_file, private_key)
    try:
        source = SegmentReader(segment)
    except OSError as error:
        raise UserError(f"segment {str(segment)!r}: {error.strerror or error}") from error
    except DamagedFootage as error:
        raise UserError(f"segment {str(segment)!r}: damaged: {error}") from error
    with source:
        if source.head.kid is None:
            raise UserError(f"segment {str(segment)!r}: it is not sealed")
        if source.head.kid != key.kid:
            raise UserError(f"segment {str(segment)!r}: {keys_file.name} is of another segment")
        aside = out.with_name(out.name + PART)
        try:
            with aside.open("wb") as file:
                _copy(source, key, file)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(out)
        except DamagedFootage as error:
            _remove(aside)
            raise UserError(f"segment {str(segment)!r}: damaged: {error}") from error
        except BaseException:
            _remove(aside)
            raise


def _copy(source: SegmentReader, key: SegmentKey, out: BinaryIO) -> None:
    out.write(source.read(0, source.moov_at))
    out.write(plain_moov(source.moov))
    at = source.first_at
    for fragment in source.fragments():
        out.write(plain_moof(fragment.moof))
        out.write(source.read(fragment.at + len(fragment.moof), fragment.data_at))
        data = source.read(fragment.data_at, fragment.data_end)
        open_samples(data, fragment.run, key)
        out.write(data)
        out.write(source.read(fragment.data_end, fragment.end))
        at = fragment.end
    while at < source.size_bytes:
        end = min(at + _COPY_BYTES, source.size_bytes)
        out.write(source.read(at, end))
        at = end


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
