// Ground calibration: from the picture to metres on the ground and back, with the error of both. The same as
// agent/detection/ground_plane.py, scene_metres.py and pixel_density.py; all pass tests/vectors/ground.
//
// Points are [x, y] in 0..1 of the picture, places [x, y] in metres. Marks are the table [ground] of a scene whose
// keys and types were checked.

import { clipToPicture } from "./geometry.js";
import { GroundError } from "./ground_error.js";
import { DEFAULT_ASPECT, checkApart, checkKeys, placesM } from "./ground_marks.js";
import {
  BEYOND_HORIZON_M, DegenerateMarks, MIN_INVERSE_DEPTH, fitHomography, heldOutErrorsM, isDegenerate, project,
} from "./homography_fit.js";
import { fitLengths } from "./known_lengths.js";
import { POINT_ERROR, distort, estimateDistortion, undistort } from "./lens_distortion.js";
import { determinant3, invert3, median } from "./matrix.js";

export const MAX_ERROR_M = 1;
export const LEVELS_PX_PER_M = {
  overview: 20, outline: 40, discern: 80, perceive: 125, characterise: 250, validate: 500, scrutinise: 1500,
};
export const MIN_PX_PER_M = { person: 10, bicycle: 10, motorcycle: 10, car: 7, bus: 7, truck: 7 };
// Of a lens, by edgeScale: one that bends more is the limit `lens` of agent/detection/view_monitor.py.
export const MIN_EDGE_SCALE = 0.65;

const MEASURED_ERROR_M = 0.1;
const MAP_ERROR_M = 0.3;
const NEXT_TO_MARKS = 0.25;
const MIN_DEPTH = 0.01;

// The plane of the marks. Throws GroundError if they are refused; `fitPlane` shows how large their error is.
export function calibrate(marks) {
  const plane = fitPlane(marks);
  if (marks.point) checkError(plane, "point", toNumbers(marks.point.map((each) => each.at)));
  else checkError(plane, "length", toNumbers(marks.length.flatMap((each) => [each.from, each.to])));
  return plane;
}

// The plane of the marks, however large its error. Throws GroundError.
export function fitPlane(table) {
  const marks = toNumbers(table);
  checkKeys(marks);
  const aspect = marks.aspect ?? DEFAULT_ASPECT;
  const centred = ([x, y]) => [(x - 0.5) * aspect, y - 0.5];
  const distortion = marks.straight ? estimateDistortion(marks.straight.map((line) => line.map(centred))) : 0;
  const seen = (point) => undistort(centred(point), distortion);
  const fitted = marks.point
    ? fitPoints(marks.point, marks.point.map((each) => seen(each.at)))
    : lengthsOfCamera(marks.length, seen, marks.camera_height_m);
  const known = fitted.heldOutM.filter((error) => error !== null);
  const matrix = [...fitted.parameters, 1];
  return {
    errorM: known.length ? median(known) : null,
    worstErrorM: known.length ? Math.max(...known) : null,
    markErrorsM: fitted.heldOutM,
    fitErrorM: median(fitted.residualsM),
    setAside: fitted.heldOutM.map((_, index) => index).filter((index) => !fitted.used.includes(index)),
    distortion,
    origin: fitted.origin,
    aspect,
    pictureMiddle: fitted.pictureMiddle,
    groundMiddle: fitted.groundMiddle,
    toGroundMatrix: matrix,
    toPictureMatrix: invert3(matrix),
    covariance: fitted.covariance.map((row) => row.map((value) => value * fitted.factor ** 2)),
  };
}

// The place that a point shows, { xM, yM, errorM }, or null at and beyond the horizon.
export function toGround(plane, point, pointError = POINT_ERROR) {
  const [u, v] = fromMiddle(plane, point);
  const [a, b, c, d, e, f, g, h] = plane.toGroundMatrix;
  const w = g * u + h * v + 1;
  if (w < MIN_INVERSE_DEPTH) return null;
  const [x, y] = [(a * u + b * v + c) / w, (d * u + e * v + f) / w];
  let variance = varianceOf(plane, [0, 1, 2, 6, 7], [u / w, v / w, 1 / w, (-x * u) / w, (-x * v) / w]);
  variance += varianceOf(plane, [3, 4, 5, 6, 7], [u / w, v / w, 1 / w, (-y * u) / w, (-y * v) / w]);
  for (const slope of [a - g * x, b - h * x, d - g * y, e - h * y]) variance += ((pointError * slope) / w) ** 2;
  return { xM: x + plane.groundMiddle[0], yM: y + plane.groundMiddle[1], errorM: Math.sqrt(variance) };
}

// The point that shows a place, or null behind the camera. It may be outside of the picture.
export function toPicture(plane, place) {
  const [x, y] = [place[0] - plane.groundMiddle[0], place[1] - plane.groundMiddle[1]];
  const [a, b, c, d, e, f] = plane.toPictureMatrix;
  const depth = depthOf(plane, place);
  if (depth <= 0) return null;
  const seen = distort(
    [(a * x + b * y + c) / depth + plane.pictureMiddle[0], (d * x + e * y + f) / depth + plane.pictureMiddle[1]],
    plane.distortion,
  );
  return seen && [seen[0] / plane.aspect + 0.5, seen[1] + 0.5];
}

// How far the picture's left and right edges are from its middle, by the distance without lens distortion.
export function edgeScale(plane) {
  return 1 + plane.distortion * (plane.aspect / 2) ** 2;
}

// The pixels of a metre that is upright or across the view at the place of a point; 0 beyond the horizon.
export function pixelsPerMetre(plane, point, widthPx, heightPx) {
  const [u, v] = fromMiddle(plane, point);
  const w = plane.toGroundMatrix[6] * u + plane.toGroundMatrix[7] * v + 1;
  if (w < MIN_INVERSE_DEPTH) return 0;
  const [a, b, , d, e, , g, h] = plane.toPictureMatrix;
  const length = Math.hypot(g, h);
  const [stepX, stepY] = length > 1e-12 ? [-h / length, g / length] : [1, 0];
  const [du, dv] = [(a * stepX + b * stepY) * w, (d * stepX + e * stepY) * w];
  const [x, y] = fromCentre(plane, point);
  const k = plane.distortion;
  const scale = 1 + k * (x * x + y * y);
  const xx = (scale - 2 * k * x * x) / scale ** 2;
  const xy = (-2 * k * x * y) / scale ** 2;
  const yy = (scale - 2 * k * y * y) / scale ** 2;
  const determinant = xx * yy - xy * xy;
  const [seenU, seenV] = [(yy * du - xy * dv) / determinant, (xx * dv - xy * du) / determinant];
  return Math.hypot((seenU / plane.aspect) * widthPx, seenV * heightPx);
}

// The highest level of detail that is reached, or null below the lowest.
export function detailLevel(pxPerM) {
  return Object.keys(LEVELS_PX_PER_M).filter((name) => pxPerM >= LEVELS_PX_PER_M[name]).pop() ?? null;
}

// The least pixels per metre on a line or in a zone, by its ends or corners.
export function leastPxPerM(plane, points, widthPx, heightPx) {
  return Math.min(...points.map((point) => pixelsPerMetre(plane, point, widthPx, heightPx)));
}

export function unsupportedLabels(pxPerM, labels) {
  return labels.filter((label) => pxPerM < MIN_PX_PER_M[label]);
}

// The part of a line that the picture shows, [from, to], or null if there is none.
export function placeLine(plane, from, to) {
  const [fromM, toM] = toNumbers([from, to]);
  const [before, after] = [fromM, toM].map((place) => depthOf(plane, place) - MIN_DEPTH);
  const fractions = [0, 1];
  if (before < 0 !== after < 0) fractions[before < 0 ? 0 : 1] = before / (before - after);
  const ends = projectAll(plane, fractions.map((fraction) => between(fromM, toM, fraction)));
  const seen = clipToPicture(ends);
  if (new Set(seen.map(String)).size < 2) return null;
  const distances = seen.map(([x, y]) => Math.hypot(x - ends[0][0], y - ends[0][1]));
  return [seen[distances.indexOf(Math.min(...distances))], seen[distances.indexOf(Math.max(...distances))]];
}

// The part of a polygon that the picture shows, or null if there is none.
export function placePolygon(plane, polygon) {
  const polygonM = toNumbers(polygon);
  const front = [];
  let previous = polygonM[polygonM.length - 1];
  for (const corner of polygonM) {
    const [before, here] = [previous, corner].map((place) => depthOf(plane, place) - MIN_DEPTH);
    if (before < 0 !== here < 0) front.push(between(previous, corner, before / (before - here)));
    if (here >= 0) front.push(corner);
    previous = corner;
  }
  const seen = clipToPicture(projectAll(plane, front));
  return seen.length ? seen : null;
}

// A parser of TOML may give whole numbers as BigInt.
function toNumbers(value) {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(toNumbers);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, toNumbers(each)]));
}

function fitPoints(points, positions) {
  const places = placesM(points);
  checkApart(points, positions, places);
  for (const [marked, where] of [[positions, "in the picture"], [places, "on the ground"]]) {
    if (isDegenerate(marked)) {
      throw new GroundError(
        "on_a_line",
        `ground.point: all but one lie on a line ${where}; allowed: four or more, no three of them on a line`,
        { where },
      );
    }
  }
  const [pictureMiddle, groundMiddle] = [meanOf(positions), meanOf(places)];
  const picture = positions.map(([x, y]) => [x - pictureMiddle[0], y - pictureMiddle[1]]);
  const ground = places.map(([x, y]) => [x - groundMiddle[0], y - groundMiddle[1]]);
  const origin = points[0].position ?? null;
  const errors = { point: POINT_ERROR, groundM: origin ? MAP_ERROR_M : MEASURED_ERROR_M };
  const fit = refusing(
    () => fitHomography(picture, ground, errors),
    "no_camera",
    "ground.point: no camera sees these places at these points; " +
      "allowed: marks on level ground, each with its own place",
  );
  if (determinant3([...fit.parameters, 1]) >= 0) {
    throw new GroundError(
      "mirrored",
      "ground.point: the picture shows the places mirrored; " +
        "allowed: metres to the right and ahead, or latitude and longitude",
    );
  }
  const { distances, factor } = heldOutErrorsM(picture, ground, errors, fit);
  const residualsM = picture.map((point, index) => {
    const found = project(fit.parameters, point);
    return Math.hypot(ground[index][0] - found.x, ground[index][1] - found.y);
  });
  return { ...fit, heldOutM: distances, factor, residualsM, pictureMiddle, groundMiddle, origin };
}

function lengthsOfCamera(marked, seen, heightM) {
  const lengths = marked.map(({ from, to, metres }) => ({ start: seen(from), to: seen(to), metres }));
  const pictureMiddle = meanOf(lengths.flatMap(({ start, to }) => [start, to]));
  const errors = { point: POINT_ERROR, groundM: MEASURED_ERROR_M };
  const fit = refusing(
    () => fitLengths(lengths, heightM, pictureMiddle, errors),
    "no_camera",
    `ground.length: no level camera at ${heightM.toFixed(1)} m sees these lengths so; ` +
      "allowed: lengths on level ground, below the horizon",
  );
  return { ...fit, pictureMiddle, groundMiddle: [0, 0], origin: null };
}

function refusing(fit, code, message) {
  try {
    return fit();
  } catch (error) {
    if (error instanceof DegenerateMarks) throw new GroundError(code, message);
    throw error;
  }
}

function checkError(plane, key, points) {
  if (plane.errorM !== null && plane.errorM > MAX_ERROR_M) {
    const errors = plane.markErrorsM.map((error) => error ?? 0);
    const worst = errors.indexOf(Math.max(...errors));
    const [medianM, worstM] = [plane.errorM.toFixed(2), plane.worstErrorM.toFixed(2)];
    throw new GroundError(
      "error",
      `ground.${key}: held out, a mark is ${medianM} m off in the median, ${key}[${worst}] ${worstM} m; ` +
        `allowed: at most ${MAX_ERROR_M} m`,
      { index: worst, medianM, worstM },
    );
  }
  const [x, y] = meanOf(points);
  const side = NEXT_TO_MARKS / plane.aspect;
  const probes = [[x - side, y], [x + side, y], [x, y + NEXT_TO_MARKS]];
  const found = probes.map((probe) => toGround(plane, probe, 0));
  const expectedM = median(found.map((each) => (each === null ? BEYOND_HORIZON_M : each.errorM)));
  if (expectedM > MAX_ERROR_M) {
    throw new GroundError(
      "weak",
      `ground.${key}: 2 pixels at the marks move positions next to them by ${expectedM.toFixed(2)} m; ` +
        `allowed: at most ${MAX_ERROR_M} m, by marks farther apart and not nearly on a line`,
      { expectedM: expectedM.toFixed(2) },
    );
  }
}

function meanOf(positions) {
  const sum = positions.reduce(([a, b], [x, y]) => [a + x, b + y], [0, 0]);
  return sum.map((value) => value / positions.length);
}

function fromCentre(plane, [x, y]) {
  return [(x - 0.5) * plane.aspect, y - 0.5];
}

function fromMiddle(plane, point) {
  const [x, y] = undistort(fromCentre(plane, point), plane.distortion);
  return [x - plane.pictureMiddle[0], y - plane.pictureMiddle[1]];
}

function varianceOf(plane, indexes, slopes) {
  let total = 0;
  indexes.forEach((i, at) => indexes.forEach((j, other) => (total += slopes[at] * plane.covariance[i][j] * slopes[other])));
  return total;
}

function depthOf(plane, place) {
  const [, , , , , , g, h, i] = plane.toPictureMatrix;
  return g * (place[0] - plane.groundMiddle[0]) + h * (place[1] - plane.groundMiddle[1]) + i;
}

function projectAll(plane, places) {
  return places.map((place) => toPicture(plane, place)).filter((point) => point !== null);
}

function between(from, to, fraction) {
  return [from[0] + (to[0] - from[0]) * fraction, from[1] + (to[1] - from[1]) * fraction];
}
