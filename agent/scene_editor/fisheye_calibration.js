// Lens of a fisheye camera, by its field of view, its focal length, or lines that are straight in the street:
// agent/detection/fisheye_calibration.py, step by step. Pure.

import { maxAngle, projectRay, unprojectPoint } from "./fisheye_lens.js";
import { degrees, radians } from "./geometry.js";
import { MAX_BEND, POINT_ERROR } from "./lens_distortion.js";
import { invertScaled, multiply, solve, transpose } from "./matrix.js";

const FIRST_FIELDS_DEG = [120, 190];
const PRIOR = [Infinity, 0.03, 0.03, 0.05, 0.01];
const FIELD_ERROR = radians(1);
const MAX_STEPS = 40;
const MAX_ERROR_DEG = 4;
const UNSEEN = 1e3;
const SLOPE_STEP = 1e-5;
const MAX_LOG_FOCAL = 20;
const JACOBI_SWEEPS = 12;

/** `code` and `values` are those of a text `lens_error_...`. */
export class LensError extends Error {
  constructor(code, values = {}) {
    super(code);
    this.code = code;
    this.values = values;
  }
}

/**
 * The lens of a table `lens` of the configuration, all of whose keys have a value or are undefined: `{ lens, lines, errorDeg }`,
 * `lines` the distance of each straight line's points from it, in picture heights (RMS). Throws LensError.
 */
export function resolveLens(table) {
  const lens = { focalLength: 1, centre: table.centre, k: table.k, axisTiltDeg: table.axis_tilt_deg };
  const isByField = table.field_of_view_deg !== undefined || table.straight.length > 0;
  if (isByField === (table.focal_length !== undefined)) throw new LensError(isByField ? "twice" : "missing");
  if (table.straight.length) {
    if (table.k.some((value) => value !== 0)) throw new LensError("k");
    const found = fitLines(table);
    return { ...found, lens: { ...found.lens, axisTiltDeg: table.axis_tilt_deg } };
  }
  if (!isByField) return { lens: { ...lens, focalLength: table.focal_length }, lines: [], errorDeg: null };
  const half = radians(table.field_of_view_deg) / 2;
  const edge = projectRay(lens, [Math.sin(half), 0, Math.cos(half)], 1);
  if (edge === null) throw new LensError("folds", { degrees: degrees(maxAngle(lens)).toFixed(0) });
  return { lens: { ...lens, focalLength: table.circle / 2 / (edge[0] - lens.centre[0]) }, lines: [], errorDeg: null };
}

function fitLines(table) {
  const fits = FIRST_FIELDS_DEG.map((first_deg) => fit(table, radians(first_deg)));
  const { values, jacobian } = fits.reduce((best, one) => (one.misfit < best.misfit ? one : best));
  const lens = lensOf(table, values);
  const lines = lineDistances(lens, table.straight, table.aspect)
    .map((distances) => Math.sqrt(distances.reduce((sum, each) => sum + each * each, 0) / distances.length));
  const bad = lines.findIndex((rms) => rms > MAX_BEND);
  if (bad >= 0) throw new LensError("bent", { number: bad + 1, percent: (100 * lines[bad]).toFixed(1), lines });
  const errorDeg = errorOfEdge(table, values, jacobian);
  if (errorDeg > MAX_ERROR_DEG) throw new LensError("short", { lines });
  return { lens, lines, errorDeg };
}

function fit(table, firstField) {
  let values = [Math.log(1 / firstField), 0, 0, 0, 0];
  let residuals = residualsOf(table, values);
  let damping = 1e-2;
  let jacobian = jacobianOf(table, values, residuals);
  for (let count = 0; count < MAX_STEPS; count += 1) {
    const transposed = transpose(jacobian);
    const damped = multiply(transposed, jacobian)
      .map((row, i) => row.map((value, j) => (i === j ? value + damping * (value + 1e-9) : value)));
    const gradient = transposed.map((column) => -dot(column, residuals));
    const step = solve(damped, gradient);
    const tried = step === null ? values : values.map((value, index) => value + step[index]);
    const triedResiduals = residualsOf(table, tried);
    const gain = dot(residuals, residuals) - dot(triedResiduals, triedResiduals);
    if (!(gain > 0)) {
      damping *= 10;
      continue;
    }
    [values, residuals, damping] = [tried, triedResiduals, damping / 5];
    jacobian = jacobianOf(table, values, residuals);
    if (gain < 1e-3) break;
  }
  return { misfit: dot(residuals, residuals), values, jacobian };
}

const stepped = (values, at) => values.map((value, index) => (index === at ? value + SLOPE_STEP : value));

function jacobianOf(table, values, residuals) {
  const moved = values.map((_, at) => residualsOf(table, stepped(values, at)));
  return residuals.map((residual, row) => moved.map((one) => (one[row] - residual) / SLOPE_STEP));
}

function residualsOf(table, values) {
  const lens = lensOf(table, values);
  const residuals = lineDistances(lens, table.straight, table.aspect).flat().map((distance) => distance / POINT_ERROR);
  residuals.push(...values.map((value, index) => value / PRIOR[index]));
  if (table.field_of_view_deg !== undefined) residuals.push((angleOfEdge(table, lens) - radians(table.field_of_view_deg) / 2) / FIELD_ERROR);
  return residuals;
}

/** The standard deviation of the angle from the axis at the circle's edge, in degrees. */
function errorOfEdge(table, values, jacobian) {
  const angle = angleOfEdge(table, lensOf(table, values));
  const slopes = values.map((_, at) => (angleOfEdge(table, lensOf(table, stepped(values, at))) - angle) / SLOPE_STEP);
  const normal = multiply(transpose(jacobian), jacobian).map((row, i) => row.map((value, j) => (i === j ? value + 1e-6 : value)));
  const covariance = invertScaled(normal);
  if (covariance === null) return Infinity;
  return degrees(Math.sqrt(Math.max(0, dot(slopes, covariance.map((row) => dot(row, slopes))))));
}

function angleOfEdge({ centre, circle, aspect }, lens) {
  const ray = unprojectPoint(lens, [centre[0], centre[1] + circle / 2], aspect);
  return Math.acos(ray === null ? 0 : Math.min(1, Math.max(-1, ray[2])));
}

function lensOf({ centre, aspect, axis_tilt_deg }, [logFocal, x, y, k1, k2]) {
  return {
    focalLength: Math.exp(Math.min(Math.max(logFocal, -MAX_LOG_FOCAL), MAX_LOG_FOCAL)),
    centre: [centre[0] + x / aspect, centre[1] + y],
    k: [k1, k2, 0, 0],
    axisTiltDeg: axis_tilt_deg,
  };
}

/** The distances on the picture, in its heights, of each line's points from the plane that fits their rays best. */
export function lineDistances(lens, lines, aspect) {
  const seen = lines.map((line) => line.map(([x, y]) =>
    [[x, y], [x + SLOPE_STEP / aspect, y], [x, y + SLOPE_STEP]].map((point) => unprojectPoint(lens, point, aspect))));
  if (seen.flat(2).includes(null)) return lines.map((line) => line.map(() => UNSEEN));
  return seen.map((rays) => {
    const across = normalOfPlane(rays.map(([ray]) => ray));
    return rays.map(([ray, rightRay, downRay]) => {
      const off = dot(ray, across);
      const slope = Math.hypot(dot(rightRay, across) - off, dot(downRay, across) - off);
      return off * SLOPE_STEP / Math.max(slope, 1e-12);
    });
  });
}

/** The unit vector with the least sum of squared products with rays: the eigenvector of their matrix, by Jacobi's rotations. */
function normalOfPlane(rays) {
  const matrix = [0, 1, 2].map((i) => [0, 1, 2].map((j) => rays.reduce((sum, ray) => sum + ray[i] * ray[j], 0)));
  const vectors = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  for (let sweep = 0; sweep < JACOBI_SWEEPS; sweep += 1) {
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) {
      if (matrix[p][q] === 0) continue;
      const ratio = (matrix[q][q] - matrix[p][p]) / (2 * matrix[p][q]);
      const tangent = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.hypot(ratio, 1));
      const cos = 1 / Math.hypot(tangent, 1);
      const sin = tangent * cos;
      for (const row of [...matrix, ...vectors]) [row[p], row[q]] = [cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]];
      [matrix[p], matrix[q]] = [0, 1].map((which) => matrix[p].map((_, at) =>
        (which === 0 ? cos * matrix[p][at] - sin * matrix[q][at] : sin * matrix[p][at] + cos * matrix[q][at])));
    }
  }
  const sizes = [0, 1, 2].map((at) => matrix[at][at]);
  const least = sizes.indexOf(Math.min(...sizes));
  const found = vectors.map((row) => row[least]);
  // One sign, so that a small step of a lens is a small step of the distances.
  const [[ax, ay, az], [bx, by, bz]] = [rays[0], rays.at(-1)];
  const side = dot(found, [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx]);
  return side < 0 ? found.map((part) => -part) : found;
}

const dot = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);
