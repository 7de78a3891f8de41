"""Validation of a model: the counts of labelled clips against their labels, and the folder of its page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent import __version__
from agent.base.atomic_file import replace_atomically
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.sha256 import file_sha256_hex, sha256_hex
from agent.detection.model_card import find_model
from agent.detection.scene import Scene
from centre.film_player import read_header, searched_fps
from centre.validate.clip_run import read_marked_pictures, run_clip
from centre.validate.crossing_truth import ClipTruth, check_whole, read_truth
from centre.validate.pages import to_html, to_markdown
from centre.validate.report import (
    LimitName,
    ModelFigures,
    ScoredClip,
    ValidationReport,
    WrongCount,
    check_limits,
    clip_rows,
    confusion,
    group_rows,
    worst_counts,
)
from centre.validate.scene_truth import labelled_scene, of_counted_classes, scene_with_line
from centre.validate.scoring import score_counts, unverifiable_share

MAX_REPORT_BYTES = 67_108_864
NAME = "validation"
"""Of the files of the page, without their endings."""

OnClip = Callable[[int, int], None]
"""Called with the number of clips that are counted, and of all."""

_REPORT_DECODER = JsonDecoder(ValidationReport)


class LabelledClip(NamedTuple):
    """A film, its labels, and the scene with their line alone."""

    path: Path
    truth: ClipTruth
    scene: Scene


class LabelledClips(NamedTuple):
    """The labelled clips of a folder, by name, and the digest of their labels."""

    clips: dict[str, LabelledClip]
    truth_sha256: str


def find_clips(folder: Path, truths: Sequence[Path], scene: Scene | None = None) -> LabelledClips:
    """Return the clips that the labels in one file or several name, with their lines in a camera's scene if that is given.

    Raises: UserError if one is not in the folder, or twice, or counted in part, or its line is not in the scene, or clips in a scene show
    several views.
    """
    labels: dict[str, ClipTruth] = {}
    for truth in truths:
        for name, clip in read_truth(truth).items():
            if name in labels:
                raise UserError(
                    f"truth {str(truth)!r}: {name!r} is in another file too; allowed: once"
                )
            check_whole(name, clip, f"truth {str(truth)!r}")
            labels[name] = clip
    views = sorted({clip.view or name for name, clip in labels.items()})
    if scene is not None and len(views) > 1:
        raise UserError(
            f"truth {str(truths[0])!r}: {len(views)} views ({', '.join(views)}); allowed: one, which the camera shows"
        )
    try:
        digests, files = [file_sha256_hex(truth) for truth in truths], sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from error
    clips = {}
    for name, clip in labels.items():
        films = [path for path in files if path.stem == name and path.suffix not in ("", ".json")]
        if len(films) != 1:
            found = ", ".join(path.name for path in films) or "no file"
            raise UserError(
                f"clips {str(folder)!r}: {name!r} is {found}; allowed: one film of that name"
            )
        if scene is None:
            clips[name] = LabelledClip(films[0], clip, labelled_scene(clip))
        else:
            counted = scene_with_line(name, clip, scene)
            clips[name] = LabelledClip(films[0], of_counted_classes(clip, counted), counted)
    digest = digests[0] if len(digests) == 1 else sha256_hex("".join(sorted(digests)).encode())
    return LabelledClips(clips, digest)


def most_fps(labelled: LabelledClips) -> float:
    """Return how many pictures a second are searched of the clip with the most. Raises: DriverError if one cannot be read."""
    fps = max(searched_fps(read_header(clip.path).fps) for clip in labelled.clips.values())
    return round(fps, 2)


def measure_model(model: str, labelled: LabelledClips, on_clip: OnClip) -> ModelFigures:
    """Count all clips with a model.

    Raises: UserError, ModelRefused or DriverError if a model or a film cannot be used.
    """
    card = find_model(model).card
    scored: list[ScoredClip] = []
    cpu_s = played_s = 0.0
    inferences = 0
    for name, clip in labelled.clips.items():
        run = run_clip(clip.path, clip.scene, clip.truth.duration_s, model)
        cpu_s, played_s = cpu_s + run.cpu_s, played_s + run.played_s
        inferences += run.inferences
        scored.append(
            ScoredClip(
                clip=name,
                truth=clip.truth,
                light=run.light,
                limits=run.limits,
                loose=score_counts(run.counted, clip.truth),
                strict=score_counts(run.counted, clip.truth, is_strict=True),
            )
        )
        on_clip(len(scored), len(labelled.clips))
    return ModelFigures(
        model=card.name,
        sha256=card.sha256,
        rows=group_rows(scored),
        confusion=confusion(scored),
        clips=clip_rows(scored),
        worst=worst_counts(scored),
        inferences=inferences,
        cpu_s=round(cpu_s / max(played_s, 1e-9), 4),
    )


def read_report(path: Path, truth_sha256: str) -> ModelFigures:
    """Read the figures of an earlier validation with the same labels. Raises: UserError."""
    try:
        report = _REPORT_DECODER.decode(read_regular_file(path, MAX_REPORT_BYTES))
    except OSError as error:
        raise UserError(f"validation {str(path)!r}: {error.strerror or error}") from error
    except MalformedJson as error:
        raise UserError(f"validation {str(path)!r}: not a validation: {error}") from error
    if report.truth_sha256 != truth_sha256:
        raise UserError(
            f"validation {str(path)!r}: of labels with SHA-256 {report.truth_sha256[:12]}..; "
            f"allowed: of the same labels, {truth_sha256[:12]}.."
        )
    return report.model


def make_report(
    labelled: LabelledClips,
    model: ModelFigures,
    against: ModelFigures | None,
    limits: Mapping[LimitName, float],
    time: str,
) -> ValidationReport:
    """Return the result of a validation. `time` is that of its end, RFC 3339."""
    truths = [clip.truth for clip in labelled.clips.values()]
    return ValidationReport(
        time=time,
        version=__version__,
        truth_sha256=labelled.truth_sha256,
        crossings=sum(len(truth.crossings) for truth in truths),
        unverifiable_share=round(unverifiable_share(truths), 4),
        duration_s=round(sum(truth.duration_s for truth in truths), 3),
        model=model,
        against=against,
        limits=check_limits(model, limits),
    )


def write_pages(
    folder: Path, report: ValidationReport, labelled: LabelledClips
) -> tuple[Path, ...]:
    """Write the page as JSON, Markdown and HTML, and return their paths.

    Raises: UserError if the folder cannot be written; DriverError if a film cannot be read.
    """
    pages = {
        ".json": msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n",
        ".md": to_markdown(report).encode(),
        ".html": to_html(report, _pictures(report.model.worst, labelled)).encode(),
    }
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, content in pages.items():
            path = folder / f"{NAME}{suffix}"
            # The pictures are of people: as private as a file of the user can be.
            replace_atomically(path, content, 0o600)
            paths.append(path)
    except OSError as error:
        raise UserError(f"--out {str(folder)!r}: {error.strerror or error}") from error
    return tuple(paths)


def _pictures(worst: tuple[WrongCount, ...], labelled: LabelledClips) -> dict[WrongCount, bytes]:
    pictures = {}
    for name in dict.fromkeys(wrong.clip for wrong in worst):
        clip = labelled.clips[name]
        moments = {(one.t_s, one.position): one for one in worst if one.clip == name}
        for moment, jpeg in read_marked_pictures(clip.path, clip.scene, moments):
            pictures[moments[moment]] = jpeg
    return {wrong: pictures[wrong] for wrong in worst if wrong in pictures}
