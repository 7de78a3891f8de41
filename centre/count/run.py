"""A count: films of which each is counted once, and the files of the result.

A run that was stopped at any time is started again by the same command: films that were counted to their end are not
counted again, and the files are the same as those of a run that was not stopped.
"""

from pathlib import Path

import msgspec

from agent import __version__
from agent.base.count_proof import CountProof
from agent.base.errors import UserError
from agent.base.sha256 import sha256_hex
from agent.config.configuration import DetectConfig
from agent.detection import model_card
from agent.detection.model_card import ModelCard
from agent.detection.scene import Scene, load_scene
from agent.faults.texts import Language
from centre.count import parquet
from centre.count.film_count import FilmJob
from centre.count.film_list import ListedFilm, StartRules, list_films, printable_name
from centre.count.film_part import FilmPart, PartKey
from centre.count.folder import GEOJSON, RESULT, CountFolder
from centre.count.jobs import FilmProgress, OnFilmProgress, run_jobs
from centre.count.join import CountSettings, join_parts
from centre.count.report_file import write_report
from centre.count.results import CountResult
from centre.count.tables import encode_geojson, make_tables, write_csv
from centre.film_player import scene_warnings
from centre.line_file import as_user_error
from centre.proof_file import read_proof


class FilmsFailed(Exception):
    """Some films could not be counted; the others are, and are not counted again. One message for each."""

    def __init__(self, messages: tuple[str, ...]) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


class CountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The films or folders, the scene, and the folder of the result."""

    films: tuple[Path, ...]
    scene: Path
    starts: StartRules
    interval_s: int
    out: Path
    jobs: int = 1
    model: str = DetectConfig().model
    proof: Path | None = None
    """The file of the proof of the counts of this view."""
    language: Language = "en"
    """The language in which the report opens."""


class CountPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A request of which everything was checked: its films in order, and a line for each warning."""

    request: CountRequest
    scene: Scene
    card: ModelCard
    films: tuple[ListedFilm, ...]
    warnings: tuple[str, ...]
    proof: CountProof | None

    @property
    def duration_s(self) -> float:
        """The length of all films by their headers."""
        return sum(film.header.duration_s for film in self.films)


def plan_count(request: CountRequest) -> CountPlan:
    """Check a request, and look at the header of each film.

    Raises: UserError if an argument, the scene or a start is wrong; DriverError if a film cannot be opened;
    ModelRefused if the model's file does not match its card.
    """
    if request.out.exists() and not request.out.is_dir():
        raise UserError(f"--out {str(request.out)!r}: is a file; allowed: a folder")
    scene = load_scene(request.scene)
    found = model_card.find_model(request.model)
    model_card.read_verified_model(found.card, found.path.parent)
    return CountPlan(
        request=request,
        scene=scene,
        card=found.card,
        films=list_films(request.films, request.starts),
        warnings=tuple(_scene_warnings(scene, request.scene)),
        proof=None if request.proof is None else read_proof(request.proof),
    )


def run_count(plan: CountPlan, on_progress: OnFilmProgress) -> CountResult:
    """Count the films that are not counted yet, and write the result.

    `on_progress` is called at once for each film that was counted before.
    Raises: UserError if a file cannot be written; FilmsFailed.
    """
    request, folder = plan.request, CountFolder(plan.request.out)
    with folder.locked(film.name for film in plan.films):
        folder.remove_tables()
        keys = _part_keys(plan)
        jobs = []
        for film, key in zip(plan.films, keys, strict=True):
            if folder.read_part(film.name, key) is not None:
                on_progress(film, FilmProgress(film.header.duration_s, ()))
            else:
                jobs.append(
                    FilmJob(
                        film=film, key=key, scene=plan.scene, model=request.model, out=request.out
                    )
                )
        failures = run_jobs(jobs, request.jobs, on_progress)
        if failures:
            raise FilmsFailed(tuple(failure.message for failure in failures))
        parts = [
            _checked(film, folder.read_part(film.name, key))
            for film, key in zip(plan.films, keys, strict=True)
        ]
        result = join_parts(plan.films, parts, _settings(plan))
        _write(result, folder, request.language)
    return result


def _scene_warnings(scene: Scene, file: Path) -> list[str]:
    warnings = scene_warnings(scene, file)
    if scene.zone and not scene.line:
        warnings.append(f"{file}: has no line: no crossing is counted")
    return warnings


def _part_keys(plan: CountPlan) -> list[PartKey]:
    scene_sha256 = sha256_hex(msgspec.json.encode(plan.scene))
    card_sha256 = sha256_hex(msgspec.json.encode(plan.card))
    keys = []
    for film in plan.films:
        with as_user_error(film.path):
            status = film.path.stat()
        keys.append(
            PartKey(
                size_bytes=status.st_size,
                mtime_ns=status.st_mtime_ns,
                start=film.start,
                scene_sha256=scene_sha256,
                model_card_sha256=card_sha256,
                version=__version__,
            )
        )
    return keys


def _checked(film: ListedFilm, part: FilmPart | None) -> FilmPart:
    if part is None:
        raise FilmsFailed(
            (f"{film.path}: was changed while it was counted; allowed: a whole film",)
        )
    return part


def _settings(plan: CountPlan) -> CountSettings:
    return CountSettings(
        scene_name=printable_name(plan.request.scene.stem),
        scene=plan.scene,
        interval_s=plan.request.interval_s,
        zone=plan.request.starts.time_zone,
        model=plan.card.name,
        model_sha256=plan.card.sha256,
        version=__version__,
        warnings=tuple(printable_name(warning) for warning in plan.warnings),
        proof=plan.proof,
    )


def _write(result: CountResult, folder: CountFolder, language: Language) -> None:
    tables = make_tables(result)
    for table in tables:
        write_csv(table, folder.out / f"{table.name}.csv")
    if any(crossing.geo is not None for crossing in result.crossings):
        folder.write(GEOJSON, encode_geojson(result))
    if parquet.is_installed():
        for table in tables:
            parquet.write_table(table, folder.out / f"{table.name}.parquet")
        for film in result.films:
            if not folder.track_parquet(film.name).exists():
                parquet.write_tracks(folder.tracks(film.name), folder.track_parquet(film.name))
    write_report(folder.out, result, language)
    folder.write(RESULT, msgspec.json.encode(result))
