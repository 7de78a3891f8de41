// Homography from the picture to the ground by marked points: agent/detection/homography_fit.py, step by step.
// Only the search of the marks that agree differs: every four of them are tried, in place of OpenCV's RANSAC.

import { invert3, invertScaled, median, multiply, multiply3, solveScaled, transpose } from "./matrix.js";

export const BEYOND_HORIZON_M = 9999;
export const MIN_INVERSE_DEPTH = 0.005;
export const MAX_DEVIATION = 6;

const RANSAC_THRESHOLD = 0.03;
const MIN_AGREEING = 5;
const LINE_TOLERANCE = 0.005;
const MAX_STEPS = 100;
const MAX_ROUNDS = 5;
const CONVERGED = 1e-11;
const MAX_DAMPING = 1e8;

export class DegenerateMarks extends Error {}

// errors: { point, groundM }. Return { parameters, covariance, used }.
export function fitHomography(picture, ground, errors) {
  const required = Math.max(MIN_AGREEING, picture.length - Math.max(1, Math.floor(picture.length / 5)));
  let used = agreeing(picture, ground);
  if (used.length < required) used = picture.map((_, index) => index);
  let fit;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    fit = fitUsed(picture, ground, errors, used);
    const within = picture
      .map((_, index) => index)
      .filter((index) => deviation(fit.parameters, picture[index], ground[index], errors) <= MAX_DEVIATION);
    if (within.length < required || within.join() === used.join()) break;
    used = within;
  }
  return fit;
}

export function heldOutErrorsM(picture, ground, errors, fit) {
  const ratios = [];
  const distances = picture.map((point, index) => {
    let others = fit;
    if (fit.used.includes(index)) {
      const rest = fit.used.filter((other) => other !== index);
      const points = rest.map((other) => picture[other]);
      const places = rest.map((other) => ground[other]);
      if (rest.length < 4 || isDegenerate(points) || isDegenerate(places)) return null;
      try {
        others = refine(fit.parameters, points, places, errors);
      } catch (error) {
        if (error instanceof DegenerateMarks) return null;
        throw error;
      }
    }
    const { distance, expected } = compare(others, point, ground[index], errors);
    ratios.push(distance / expected);
    return distance;
  });
  return { distances, factor: ratios.length ? Math.max(1, median(ratios)) : 1 };
}

export function isDegenerate(points) {
  let extent = 0;
  for (const [ax, ay] of points) {
    for (const [bx, by] of points) extent = Math.max(extent, Math.hypot(bx - ax, by - ay));
  }
  const tolerance = LINE_TOLERANCE * extent;
  for (let i = 0; i < points.length; i++) {
    for (let j = i + 1; j < points.length; j++) {
      const [dx, dy] = [points[j][0] - points[i][0], points[j][1] - points[i][1]];
      const length = Math.hypot(dx, dy);
      if (length <= tolerance) continue;
      const off = points.filter(
        ([x, y]) => Math.abs(dx * (y - points[i][1]) - dy * (x - points[i][0])) / length > tolerance,
      );
      if (off.length <= 1) return true;
    }
  }
  return false;
}

export function project(parameters, [u, v]) {
  const [a, b, c, d, e, f, g, h] = parameters;
  const w = g * u + h * v + 1;
  return { x: (a * u + b * v + c) / w, y: (d * u + e * v + f) / w, w };
}

function agreeing(picture, ground) {
  const count = picture.length;
  let best = { used: [], cost: Infinity };
  for (let i = 0; i < count; i++)
    for (let j = i + 1; j < count; j++)
      for (let k = j + 1; k < count; k++)
        for (let l = k + 1; l < count; l++) {
          const four = [i, j, k, l];
          const matrix = throughFour(four.map((at) => picture[at]), four.map((at) => ground[at]));
          if (matrix === null) continue;
          const used = [];
          let cost = 0;
          for (let at = 0; at < count; at++) {
            const squared = squaredDistance(matrix, ground[at], picture[at]);
            if (squared <= RANSAC_THRESHOLD ** 2) {
              used.push(at);
              cost += squared;
            }
          }
          if (used.length > best.used.length || (used.length === best.used.length && cost < best.cost)) {
            best = { used, cost };
          }
        }
  return best.used;
}

function squaredDistance([a, b, c, d, e, f, g, h, i], [x, y], [u, v]) {
  const w = g * x + h * y + i;
  return ((a * x + b * y + c) / w - u) ** 2 + ((d * x + e * y + f) / w - v) ** 2;
}

// The homography from the ground to the picture through four marks: nine numbers, or null.
function throughFour(picture, ground) {
  const [to, from] = [projectiveBasis(picture), projectiveBasis(ground)];
  const back = from && invert3(from);
  return to && back && multiply3(to, back);
}

// The matrix that takes (1, 0, 0), (0, 1, 0), (0, 0, 1) and (1, 1, 1) to four points, or null.
function projectiveBasis([[ax, ay], [bx, by], [cx, cy], [x, y]]) {
  const inverse = invert3([ax, bx, cx, ay, by, cy, 1, 1, 1]);
  if (inverse === null) return null;
  const a = inverse[0] * x + inverse[1] * y + inverse[2];
  const b = inverse[3] * x + inverse[4] * y + inverse[5];
  const c = inverse[6] * x + inverse[7] * y + inverse[8];
  return [ax * a, bx * b, cx * c, ay * a, by * b, cy * c, a, b, c];
}

// The homography from the ground to the picture, by linear least squares: nine numbers, or null.
function toPicture(picture, ground) {
  const normal = Array.from({ length: 8 }, () => new Array(8).fill(0));
  const right = new Array(8).fill(0);
  picture.forEach(([u, v], index) => {
    const [x, y] = ground[index];
    for (const [row, value] of [
      [[x, y, 1, 0, 0, 0, -u * x, -u * y], u],
      [[0, 0, 0, x, y, 1, -v * x, -v * y], v],
    ]) {
      for (let i = 0; i < 8; i++) {
        right[i] += row[i] * value;
        for (let j = 0; j < 8; j++) normal[i][j] += row[i] * row[j];
      }
    }
  });
  const found = solveScaled(normal, right);
  return found && [...found, 1];
}

function fitUsed(picture, ground, errors, used) {
  const points = used.map((index) => picture[index]);
  const places = used.map((index) => ground[index]);
  const matrix = toPicture(points, places);
  const inverse = matrix && invert3(matrix);
  if (!inverse) throw new DegenerateMarks();
  const start = inverse.slice(0, 8).map((value) => value / inverse[8]);
  return { ...refine(start, points, places, errors), used };
}

function refine(start, picture, ground, errors) {
  let parameters = start;
  let damping = 0;
  const scale = start.map((value) => Math.max(Math.abs(value), 1e-3));
  for (let count = 0; count < MAX_STEPS; count++) {
    if (!inFront(parameters, picture)) throw new DegenerateMarks();
    const weights = picture.map((point) => markWeight(parameters, point, errors));
    const { normal, gradient, cost } = normalEquations(parameters, picture, ground, weights);
    let step;
    for (;;) {
      const damped = normal.map((row, i) => row.map((value, j) => (i === j ? value * (1 + damping) : value)));
      step = solveScaled(damped, gradient);
      if (step === null) throw new DegenerateMarks();
      const trial = parameters.map((value, index) => value + step[index]);
      if (inFront(trial, picture) && totalCost(trial, picture, ground, weights) <= cost * (1 + 1e-12) + 1e-15) {
        parameters = trial;
        damping = damping > 1e-6 ? damping / 10 : 0;
        break;
      }
      damping = Math.max(damping * 10, 1e-4);
      if (damping > MAX_DAMPING) throw new DegenerateMarks();
    }
    if (Math.max(...step.map((value, index) => Math.abs(value) / scale[index])) < CONVERGED) break;
  }
  const weights = picture.map((point) => markWeight(parameters, point, errors));
  const covariance = invertScaled(normalEquations(parameters, picture, ground, weights).normal);
  if (covariance === null) throw new DegenerateMarks();
  return { parameters, covariance, used: picture.map((_, index) => index) };
}

function inFront(parameters, picture) {
  return picture.every((point) => project(parameters, point).w >= MIN_INVERSE_DEPTH);
}

function normalEquations(parameters, picture, ground, weights) {
  const normal = Array.from({ length: 8 }, () => new Array(8).fill(0));
  const gradient = new Array(8).fill(0);
  picture.forEach((point, index) => {
    const found = project(parameters, point);
    const slopes = parameterSlopes(point, found);
    const [dx, dy] = [ground[index][0] - found.x, ground[index][1] - found.y];
    const [xx, xy, yy] = weights[index];
    for (let i = 0; i < 8; i++) {
      const [first, second] = [slopes[0][i], slopes[1][i]];
      const [left, right] = [first * xx + second * xy, first * xy + second * yy];
      gradient[i] += left * dx + right * dy;
      for (let j = 0; j < 8; j++) normal[i][j] += left * slopes[0][j] + right * slopes[1][j];
    }
  });
  return { normal, gradient, cost: totalCost(parameters, picture, ground, weights) };
}

function totalCost(parameters, picture, ground, weights) {
  let total = 0;
  picture.forEach((point, index) => {
    const found = project(parameters, point);
    total += quadratic(weights[index], ground[index][0] - found.x, ground[index][1] - found.y);
  });
  return total;
}

function quadratic([xx, xy, yy], dx, dy) {
  return xx * dx * dx + 2 * xy * dx * dy + yy * dy * dy;
}

// The covariance of a mark on the ground, as [xx, xy, yy].
function markCovariance(parameters, point, errors) {
  const [[a, b], [c, d]] = pictureSlopes(parameters, point);
  const squared = errors.point ** 2;
  return [
    errors.groundM ** 2 + squared * (a * a + b * b),
    squared * (a * c + b * d),
    errors.groundM ** 2 + squared * (c * c + d * d),
  ];
}

function markWeight(parameters, point, errors) {
  const [xx, xy, yy] = markCovariance(parameters, point, errors);
  const determinant = xx * yy - xy * xy;
  return [yy / determinant, -xy / determinant, xx / determinant];
}

function pictureSlopes(parameters, point) {
  const [a, b, , d, e, , g, h] = parameters;
  const { x, y, w } = project(parameters, point);
  return [[(a - g * x) / w, (b - h * x) / w], [(d - g * y) / w, (e - h * y) / w]];
}

function parameterSlopes([u, v], { x, y, w }) {
  return [
    [u, v, 1, 0, 0, 0, -x * u, -x * v].map((value) => value / w),
    [0, 0, 0, u, v, 1, -y * u, -y * v].map((value) => value / w),
  ];
}

function deviation(parameters, point, place, errors) {
  const found = project(parameters, point);
  if (found.w < MIN_INVERSE_DEPTH) return Infinity;
  return Math.sqrt(quadratic(markWeight(parameters, point, errors), place[0] - found.x, place[1] - found.y));
}

function compare(fit, point, place, errors) {
  const found = project(fit.parameters, point);
  if (found.w < MIN_INVERSE_DEPTH) return { distance: BEYOND_HORIZON_M, expected: 1 };
  const slopes = parameterSlopes(point, found);
  const spread = multiply(multiply(slopes, fit.covariance), transpose(slopes));
  const [xx, , yy] = markCovariance(fit.parameters, point, errors);
  return {
    distance: Math.hypot(place[0] - found.x, place[1] - found.y),
    expected: Math.sqrt(xx + yy + spread[0][0] + spread[1][1]),
  };
}
