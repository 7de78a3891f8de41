"""Ground calibration next to plain `cv2.findHomography`: held-out errors of public cameras, errors of simulated ones.

The public marks have no licence and are not part of the project. They are looked for in the folder `ground` of
`shared` next to the project, or in VIGIE_GROUND_MARKS: `points.json` of hector6298/EVOCamCal-vehicleSpeedEstimation
(source_material/reference_pts) and `Testvideo_FR20_refpts.csv` of OpenTrafficCam/OTVision (tests/data). Without them
the simulated cameras alone are measured. Run: `python -m bench ground`.
"""

import csv
import json
import math
import os
import random
import statistics
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.errors import UserError
from agent.detection.ground_marks import (
    GeoPosition,
    GroundMarks,
    GroundPoint,
    MarkedPoint,
    places_m,
)
from agent.detection.ground_plane import MAX_ERROR_M, calibrate, fit_plane
from agent.detection.homography_fit import BEYOND_HORIZON_M
from bench import videos
from bench.table import Row
from drivers.media import Point
from tests.ground_camera import GroundCamera

FOLDER = Path(os.environ.get("VIGIE_GROUND_MARKS", videos.ROOT.parent / "shared" / "ground"))
SIZES_PX = ((704, 480), (1280, 720), (1920, 1080))
"""Of the public pictures: the smallest that has all marks."""
OTVISION_SIZE_PX = (800, 600)
SAME_PLACE_M = 0.1
MIN_MARKS = 5
"""With four none can be held out."""
CAMERAS = 60
POINT_ERROR, PLACE_ERROR_M = 0.002, 0.1
"""Of the simulated marks, in picture heights and metres."""


class MarkedCamera(msgspec.Struct, frozen=True):
    """A public camera and its marks."""

    name: str
    marks: GroundMarks


def rows() -> list[Row]:
    """Return the rows of the simulated cameras, and of the public ones if their marks are there."""
    return [*simulated_rows(), *public_rows()]


def public_rows() -> list[Row]:
    """Return a row for each public camera."""
    table = []
    accepted: list[float] = []
    cameras = list(public_cameras())
    for camera in cameras:
        plane = fit_plane(camera.marks)
        assert plane.error_m is not None
        try:
            calibrate(camera.marks)
            accepted.append(plane.error_m)
            verdict = "accepted"
        except UserError:
            verdict = "refused"
        picture, ground = _arrays(camera.marks)
        plain = plain_held_out_m(picture, ground)
        plain_fit = _distances(plain_homography(picture, ground), picture, ground)
        table.append(
            Row(
                name=f"ground of {camera.name}, held-out error, median of {len(picture)} marks",
                value=plane.error_m,
                unit="m",
                target="-",
                note=f"{verdict}; worst {_show_m(plane.worst_error_m)}; residual of the fit {plane.fit_error_m:.2f} m; "
                f"findHomography held out {np.median(plain):.2f} m, worst {_show_m(float(np.max(plain)))}, "
                f"its residual {np.median(plain_fit):.2f} m",
            )
        )
    if cameras:
        table.append(
            Row(
                name="ground of public cameras, largest held-out error that is accepted",
                value=max(accepted),
                unit="m",
                target=f"<= {MAX_ERROR_M:.0f}",
                note=f"{len(accepted)} of {len(cameras)} cameras are accepted",
            )
        )
    return table


def simulated_rows() -> list[Row]:
    """Measure positions of cameras of known pose, whose marks are placed as people place them."""
    rng = random.Random(14)
    ours: list[float] = []
    theirs: list[float] = []
    expected: list[float] = []
    refused = 0
    for _ in range(CAMERAS):
        camera = GroundCamera(
            height_m=rng.uniform(5, 9), tilt_deg=rng.uniform(18, 40), focal=rng.uniform(0.8, 1.4)
        )
        places = camera.visible_places(rng, 20, max_m=60)
        marks = _mark_by_hand(camera, places[:8], rng)
        try:
            plane = calibrate(marks)
        except UserError:
            refused += 1
            continue
        picture, ground = _arrays(marks)
        plain = plain_homography(picture, ground)
        for place in places[8:]:
            seen = camera.see(*place)
            assert seen is not None
            found = plane.to_ground(seen[0], point_error=0.0)
            if found is None:
                continue
            ours.append(math.dist((found.x_m, found.y_m), place))
            expected.append(found.error_m)
            at = np.array([[seen[0].x, seen[0].y]])
            theirs.append(float(_distances(plain, at, np.array([place]))[0]))
    within = sum(one < error for one, error in zip(ours, expected, strict=True))
    return [
        Row(
            name=f"ground of {CAMERAS} simulated cameras, error of a position, median",
            value=statistics.median(ours),
            unit="m",
            target="aim <= 0.3",
            note=f"8 marks by hand; 9 in 10 below {_ninth_decile(ours):.2f} m; {refused} refused; "
            f"findHomography {statistics.median(theirs):.2f} m, 9 in 10 below {_ninth_decile(theirs):.2f} m",
        ),
        Row(
            name="ground of simulated cameras, positions within their stated error",
            value=within / len(ours),
            unit="",
            target=">= 0.6",
            note="a standard deviation of two coordinates holds 63 %",
        ),
    ]


def public_cameras() -> Iterator[MarkedCamera]:
    """Yield the public cameras whose marks can be held out."""
    points_file, csv_file = FOLDER / "points.json", FOLDER / "Testvideo_FR20_refpts.csv"
    if points_file.is_file():
        for name, pole in json.loads(points_file.read_text(encoding="utf-8"))["points"].items():
            pixels, positions = pole["2dpts"], pole["pts"]
            if len(pixels) != len(positions) or len(pixels) < MIN_MARKS:
                continue
            width_px, height_px = next(
                size for size in SIZES_PX if all(x < size[0] and y < size[1] for x, y in pixels)
            )
            points = tuple(
                MarkedPoint(at=Point(x / width_px, y / height_px), position=GeoPosition(*position))
                for (x, y), position in zip(pixels, positions, strict=True)
            )
            yield MarkedCamera(
                f"EVOCamCal {name}",
                GroundMarks(point=_without_repeats(points), aspect=width_px / height_px),
            )
    if csv_file.is_file():
        with csv_file.open(encoding="utf-8", newline="") as file:
            table = [
                {key: float(value) for key, value in row.items()}
                for row in csv.DictReader(file, delimiter=";")
            ]
        width_px, height_px = OTVISION_SIZE_PX
        # The columns named Lat and Lon are northing and easting of UTM.
        points = tuple(
            MarkedPoint(
                at=Point(row["X"] / width_px, row["Y"] / height_px),
                metres=GroundPoint(row["Lon"] - table[0]["Lon"], row["Lat"] - table[0]["Lat"]),
            )
            for row in table
        )
        yield MarkedCamera("OTVision", GroundMarks(point=points, aspect=width_px / height_px))


def _without_repeats(points: tuple[MarkedPoint, ...]) -> tuple[MarkedPoint, ...]:
    """Return the marks without those of a place that another one has: they would not be held out."""
    kept: list[MarkedPoint] = []
    for point, place in zip(points, places_m(points), strict=True):
        if all(
            math.dist(place, other) >= SAME_PLACE_M for other in (places_m(kept) if kept else [])
        ):
            kept.append(point)
    return tuple(kept)


def plain_homography(
    picture: npt.NDArray[np.float64], ground: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return what `cv2.findHomography` finds with its defaults: least squares in metres."""
    matrix, _ = cv2.findHomography(picture, ground)
    return np.asarray(matrix, np.float64)


def plain_held_out_m(
    picture: npt.NDArray[np.float64], ground: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the distance of each mark from where the plain homography of the others puts it."""
    distances = []
    for index in range(len(picture)):
        rest = np.arange(len(picture)) != index
        matrix = plain_homography(picture[rest], ground[rest])
        distances.append(_distances(matrix, picture[index : index + 1], ground[index])[0])
    return np.array(distances)


def _distances(
    matrix: npt.NDArray[np.float64],
    picture: npt.NDArray[np.float64],
    ground: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    found = np.c_[picture, np.ones(len(picture))] @ matrix.T
    return np.asarray(np.hypot(*(found[:, :2] / found[:, 2:] - ground).T))


def _arrays(marks: GroundMarks) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    picture = np.array([[one.at.x, one.at.y] for one in marks.point])
    return picture, np.array(places_m(marks.point))


def _mark_by_hand(
    camera: GroundCamera, places: list[tuple[float, float]], rng: random.Random
) -> GroundMarks:
    points = []
    for x_m, y_m in places:
        seen = camera.see(x_m, y_m)
        assert seen is not None
        at = Point(
            seen[0].x + rng.gauss(0, POINT_ERROR) / camera.aspect,
            seen[0].y + rng.gauss(0, POINT_ERROR),
        )
        metres = GroundPoint(x_m + rng.gauss(0, PLACE_ERROR_M), y_m + rng.gauss(0, PLACE_ERROR_M))
        points.append(MarkedPoint(at=at, metres=metres))
    return GroundMarks(point=tuple(points), aspect=camera.aspect)


def _show_m(worst_m: float | None) -> str:
    return (
        "unknown"
        if worst_m is None
        else "above the horizon"
        if worst_m >= BEYOND_HORIZON_M
        else f"{worst_m:.1f} m"
    )


def _ninth_decile(values: list[float]) -> float:
    return float(np.quantile(values, 0.9))
