"""The folder of a count: its parts, one for each film, its tables, and the lock of the run that writes it."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.base.atomic_file import replace_atomically
from agent.base.errors import UserError
from centre.count.film_part import FilmPart, PartKey, read_part
from centre.line_file import as_user_error

PARTS = ".parts"
"""Folder of the parts, which stays: a later run with another interval or with more films uses them."""
_SUFFIX = ".json"
RESULT = "count.json"
"""The result as JSON, which is written last."""
GEOJSON = "crossings.geojson"
REPORT = "report.html"
RESULT_FILES = frozenset(
    {RESULT, GEOJSON, REPORT}
    | {
        f"{table}.{suffix}"
        for table in ("crossings", "counts", "flows")
        for suffix in ("csv", "parquet")
    }
)


class CountFolder:
    """Paths in the folder of a count. A film is named by `ListedFilm.name`. Every method may raise UserError."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def tracks(self, name: str) -> Path:
        """Return the path of a film's tracks."""
        return self.out / "tracks" / f"{name}.csv"

    def track_parquet(self, name: str) -> Path:
        """Return the path of a film's tracks as Parquet."""
        return self.out / "tracks" / f"{name}.parquet"

    def ottrk(self, name: str) -> Path:
        """Return the path of a film's tracks for OTAnalytics."""
        return self.out / "tracks" / f"{name}.ottrk"

    @contextmanager
    def locked(self, names: Iterable[str]) -> Iterator[None]:
        """Create the folder, and hold it for one run, which has the films of these names.

        Raises: UserError if another run holds it, or if it has other films.
        """
        with as_user_error(self.out):
            for folder in (self.out / "tracks", self.out / PARTS):
                folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.out / PARTS / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"--out {self.out}: another run counts there; allowed: one at a time"
                ) from None
            self._check_names(set(names))
            yield
        finally:
            os.close(lock)

    def read_part(self, name: str, key: PartKey) -> FilmPart | None:
        """Return the part of a film, or None if it is missing, has another key, or if a file of the film is missing."""
        with as_user_error(self._part(name)):
            part = read_part(self._part(name))
        is_whole = self.tracks(name).is_file() and self.ottrk(name).is_file()
        return part if part is not None and part.key == key and is_whole else None

    def write_part(self, name: str, part: FilmPart) -> None:
        """Write the part of a film whose other files are whole."""
        self._write(self._part(name), msgspec.json.encode(part))

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the result."""
        self._write(self.out / name, content)

    def remove_tables(self) -> None:
        """Remove the files of an earlier result, so that none of them is next to those of this run."""
        with as_user_error(self.out):
            for path in self.out.glob("*"):
                if path.name in RESULT_FILES:
                    path.unlink()

    def remove_film(self, name: str) -> None:
        """Remove the part of a film and then its files, because it is counted again."""
        with as_user_error(self.out):
            for path in (
                self._part(name),
                self.tracks(name),
                self.track_parquet(name),
                self.ottrk(name),
            ):
                path.unlink(missing_ok=True)

    def _part(self, name: str) -> Path:
        return self.out / PARTS / f"{name}{_SUFFIX}"

    def _write(self, path: Path, content: bytes) -> None:
        with as_user_error(path):
            replace_atomically(path, content, 0o666, apply_umask=True)

    def _check_names(self, names: set[str]) -> None:
        found = sorted(
            path.name.removesuffix(_SUFFIX) for path in (self.out / PARTS).glob(f"*{_SUFFIX}")
        )
        others = [name for name in found if name not in names]
        if others:
            raise UserError(
                f"--out {self.out}: has the count of {others[0]!r}, which is not among the films; allowed: a new folder, "
                "or the same films and further ones"
            )
