"""The centre's side of sealing: a sealed segment and a recipient's private key, made plain."""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.errors import UserError
from agent.recording.encryption.keys import SegmentKey
from agent.recording.encryption.seal import unwrap_segment_key
from agent.recording.export.mp4_boxes import (
    DamagedFootage,
    strip_moof_encryption,
    strip_moov_encryption,
)
from agent.recording.export.segment_reader import SegmentReader, decrypt_samples
from agent.recording.segment_name import PART_SUFFIX

_COPY_BYTES = 1 << 20


def unseal(segment: Path, keys_file: Path, private_key: X25519PrivateKey, out: Path) -> None:
    """Write the plain segment to `out`: every box where it was, its pictures in the clear, and what
    told of the sealing as free space. Nothing stands under the name before it is whole.

    Raises UserError where the segment is not there, not sealed or damaged, and where the private
    key does not open it; OSError where `out` cannot be written.
    """
    key = unwrap_segment_key(keys_file, private_key)
    try:
        reader = SegmentReader(segment)
    except OSError as error:
        raise UserError(f"segment {str(segment)!r}: {error.strerror or error}") from error
    except DamagedFootage as error:
        raise UserError(f"segment {str(segment)!r}: damaged: {error}") from error
    with reader:
        if reader.header.kid is None:
            raise UserError(f"segment {str(segment)!r}: it is not sealed")
        if reader.header.kid != key.kid:
            raise UserError(f"segment {str(segment)!r}: {keys_file.name} is of another segment")
        temp_path = out.with_name(out.name + PART_SUFFIX)
        try:
            with temp_path.open("wb") as file:
                _copy_decrypted(reader, key, file)
                file.flush()
                os.fsync(file.fileno())
            temp_path.rename(out)
        except DamagedFootage as error:
            _remove_quietly(temp_path)
            raise UserError(f"segment {str(segment)!r}: damaged: {error}") from error
        except BaseException:
            _remove_quietly(temp_path)
            raise


def _copy_decrypted(reader: SegmentReader, key: SegmentKey, out: BinaryIO) -> None:
    out.write(reader.read(0, reader.moov_offset))
    out.write(strip_moov_encryption(reader.moov))
    offset = reader.first_fragment_offset
    for fragment in reader.iter_fragments():
        out.write(strip_moof_encryption(fragment.moof))
        out.write(reader.read(fragment.offset + len(fragment.moof), fragment.data_offset))
        data = reader.read(fragment.data_offset, fragment.data_end)
        decrypt_samples(data, fragment.run, key)
        out.write(data)
        out.write(reader.read(fragment.data_end, fragment.end))
        offset = fragment.end
    while offset < reader.size_bytes:
        end = min(offset + _COPY_BYTES, reader.size_bytes)
        out.write(reader.read(offset, end))
        offset = end


def _remove_quietly(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
