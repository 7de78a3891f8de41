"""One parser under test, and the mutations of the short form."""

import atexit
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

CORPUS_DIR = Path(__file__).parent / "corpus"
MAX_INPUT_BYTES = 65_536
_INTERESTING = (
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\xff" * 8,
    b"-1",
    b"1e999",
    b"9" * 30,
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    b'"',
    b"[" * 200,
    b"\n",
    b"\r\n",
    b"../",
)
"""Inserted by mutations: bounds of integers, half of a surrogate pair, nesting, ends of lines."""


def make_work_dir() -> Path:
    """Return a folder that is deleted at the end, in memory if there is one: on a disk each file would wait for it."""
    memory_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
    folder = tempfile.mkdtemp(prefix="vigie-fuzz-", dir=memory_dir)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def check_one_line(message: object) -> None:
    """Messages reach a console, a log and the wire: each is one line, without characters that a terminal obeys."""
    assert str(message).isprintable(), f"not one printable line: {str(message)!r}"


class FuzzTarget(NamedTuple):
    """A parser: `run` returns for any input whatever, and raises on a defect alone.

    `seeds` returns valid inputs. They are made by the present encoders, so that they never fall behind
    a format. The short form runs them, the corpus and as many `mutations`.
    """

    run: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    mutations: int = 500


def load_corpus(name: str) -> list[bytes]:
    """Return the inputs that were found for a target, defects and new coverage, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS_DIR / name).glob("*"))]


def mutate(rng: random.Random, inputs: Sequence[bytes]) -> bytes:
    """Return one of the inputs with one to eight changes: bits, bytes, cuts, repeats, parts of another one."""
    data = bytearray(rng.choice(inputs))
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        begin, end = sorted(rng.randint(0, len(data)) for _ in range(2))
        end = min(end, begin + 64)
        match rng.randrange(7):
            case 0 if data:
                data[min(begin, len(data) - 1)] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[min(begin, len(data) - 1)] = rng.randrange(256)
            case 2:
                del data[begin:end]
            case 3:
                data[begin:begin] = data[begin:end]
            case 4:
                data[begin:begin] = rng.choice(_INTERESTING)
            case 5:
                other = rng.choice(inputs)
                at = rng.randint(0, len(other))
                data[begin:end] = other[at : at + rng.choice((1, 4, 32, 256))]
            case _:
                del data[begin:]
    return bytes(data[:MAX_INPUT_BYTES])
