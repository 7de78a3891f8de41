"""The file of a proof of counts: a part of a version of the desired configuration, with the proof of one camera."""

from pathlib import Path
from typing import Annotated

import msgspec

from agent.base import checked_convert
from agent.base.atomic_file import replace_atomically
from agent.base.count_proof import CountProof
from agent.base.errors import UserError
from agent.config import toml_writer
from agent.config.names import Name
from agent.config.toml_decode import read_toml

NAME = "proof.toml"


class _ProofFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    proofs: Annotated[dict[Name, CountProof], msgspec.Meta(min_length=1, max_length=1)]


def write_proof(folder: Path, camera: str, proof: CountProof) -> Path:
    """Write the file into a folder, and return its path. Raises: UserError."""
    path = folder / NAME
    text = toml_writer.dumps({"proofs": {camera: msgspec.to_builtins(proof)}})
    try:
        replace_atomically(path, text.encode(), 0o644)
    except OSError as error:
        raise UserError(f"--out {str(folder)!r}: {error.strerror or error}") from error
    return path


def read_proof(path: Path) -> CountProof:
    """Read the proof of the one camera of a file. Raises: UserError."""
    tables = read_toml(path, "proof")
    (proof,) = checked_convert.convert(tables, _ProofFile, f"proof {str(path)!r}").proofs.values()
    return proof
