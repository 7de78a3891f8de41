// Homography by known lengths and the camera's height: agent/detection/known_lengths.py, step by step.
// A length is { start, to, metres }, its ends relative to the picture's centre and without distortion.

import { GroundError } from "./ground_error.js";
import { DegenerateMarks, MAX_DEVIATION } from "./homography_fit.js";
import { determinant3, invertScaled, median, multiply, solve, transpose } from "./matrix.js";

const TILTS_DEG = Array.from({ length: 44 }, (_, index) => 2 + 2 * index);
const FOCAL_LENGTHS = Array.from({ length: 36 }, (_, step) => 0.3 * 1.1 ** step);
const MAX_LOG_FOCAL = 4;
const ROLL_ERROR = (1.5 * Math.PI) / 180;
const DELTA = 1e-6;
const MAX_STEPS = 60;
const MAX_DAMPING = 1e8;
const CONVERGED = 1e-11;
const SAME_VIEW = 1e-3;
const SIGNIFICANT = 4;
const MIN_HELD_OUT = 3;
const FAR_M = 1e9;

// Return { parameters, covariance, used, residualsM, heldOutM, factor }.
export function fitLengths(lengths, heightM, middle, errors) {
  const fit = fitView(lengths, heightM, errors);
  const residualsM = lengths.map((each) => Math.abs(foundM(fit.view, each, heightM) - each.metres));
  lengths.forEach((length, index) => {
    if (residualsM[index] > MAX_DEVIATION * sigmaM(fit.view, length, heightM, errors)) {
      const found = foundM(fit.view, length, heightM).toFixed(2);
      throw new GroundError(
        "length_contradicts",
        `ground.length[${index}].metres = ${length.metres.toFixed(2)}: ${found} by the other marks and the camera's ` +
          "height; allowed: lengths on the ground that fit a level camera at that height",
        { index, found },
      );
    }
  });
  const ratios = [];
  const heldOutM = lengths.map((length, index) => {
    if (lengths.length < MIN_HELD_OUT) return null;
    const others = fitView(lengths.filter((_, other) => other !== index), heightM, errors);
    const distance = Math.abs(foundM(others.view, length, heightM) - length.metres);
    const slopes = viewSlopes((view) => [foundM(view, length, heightM)], others.view);
    const spread = multiply(multiply(slopes, others.covariance), transpose(slopes))[0][0];
    ratios.push(distance / Math.hypot(sigmaM(others.view, length, heightM, errors), Math.sqrt(spread)));
    return distance;
  });
  const slopes = viewSlopes((view) => parametersOf(view, heightM, middle), fit.view);
  return {
    parameters: parametersOf(fit.view, heightM, middle),
    covariance: multiply(multiply(slopes, fit.covariance), transpose(slopes)),
    used: lengths.map((_, index) => index),
    residualsM,
    heldOutM,
    factor: ratios.length ? Math.max(1, median(ratios)) : 1,
  };
}

function fitView(lengths, heightM, errors) {
  const fits = [];
  for (const start of localMinima(lengths, heightM)) {
    const fit = refine(start, lengths, heightM, errors);
    if (fit && fits.every((each) => difference(fit.view, each.view) > SAME_VIEW)) fits.push(fit);
  }
  fits.sort((one, other) => one.cost - other.cost);
  if (!fits.length) throw new DegenerateMarks();
  if (fits.length > 1 && fits[1].cost < fits[0].cost + SIGNIFICANT) {
    throw new GroundError(
      "length_ambiguous",
      "ground.length: two different cameras see these lengths so; " +
        "allowed: one length along the road and one across it, or a third one",
    );
  }
  return fits[0];
}

function difference(one, other) {
  return Math.max(
    Math.abs(one.tilt - other.tilt), Math.abs(one.logFocal - other.logFocal), Math.abs(one.roll - other.roll),
  );
}

function localMinima(lengths, heightM) {
  const views = TILTS_DEG.map((tilt) =>
    FOCAL_LENGTHS.map((focal) => ({ tilt: (tilt * Math.PI) / 180, logFocal: Math.log(focal), roll: 0 })),
  );
  const costs = views.map((row) => row.map((view) => relativeCost(view, lengths, heightM)));
  const found = [];
  costs.forEach((row, i) =>
    row.forEach((cost, j) => {
      const around = costs.slice(Math.max(0, i - 1), i + 2).flatMap((each) => each.slice(Math.max(0, j - 1), j + 2));
      if (cost < Infinity && cost <= Math.min(...around)) found.push(views[i][j]);
    }),
  );
  return found;
}

function relativeCost(view, lengths, heightM) {
  let total = 0;
  for (const length of lengths) {
    const found = foundM(view, length, heightM);
    if (!(found > 0 && found < FAR_M)) return Infinity;
    total += Math.log(found / length.metres) ** 2;
  }
  return total;
}

function refine(start, lengths, heightM, errors) {
  let view = start;
  let damping = 0;
  let normal;
  let cost;
  for (let count = 0; count < MAX_STEPS; count++) {
    const at = view;
    const sigmas = lengths.map((each) => sigmaM(at, each, heightM, errors));
    const residualsAt = (other) => [
      ...lengths.map((each, index) => (each.metres - foundM(other, each, heightM)) / sigmas[index]), -other.roll / ROLL_ERROR,
    ];
    const residuals = residualsAt(at);
    const slopes = viewSlopes((other) => residualsAt(other).map((value) => -value), at);
    normal = multiply(transpose(slopes), slopes);
    const gradient = multiply(transpose(slopes), residuals.map((value) => [value])).map((row) => row[0]);
    cost = squares(residuals);
    if (!normal.flat().every(Number.isFinite) || determinant3(normal.flat()) <= 0) return null;
    let step;
    for (;;) {
      const damped = normal.map((row, i) => row.map((value, j) => (i === j ? value * (1 + damping) : value)));
      step = solve(damped, gradient);
      const trial = movedBy(at, step);
      if (isPossible(trial) && squares(residualsAt(trial)) <= cost * (1 + 1e-12) + 1e-15) {
        view = trial;
        damping = damping > 1e-6 ? damping / 10 : 0;
        break;
      }
      damping = Math.max(damping * 10, 1e-4);
      if (damping > MAX_DAMPING) return null;
    }
    if (Math.max(...step.map(Math.abs)) < CONVERGED) break;
  }
  return { view, covariance: invertScaled(normal), cost };
}

function movedBy({ tilt, logFocal, roll }, [byTilt, byFocal, byRoll]) {
  return { tilt: tilt + byTilt, logFocal: logFocal + byFocal, roll: roll + byRoll };
}

function isPossible({ tilt, logFocal, roll }) {
  return tilt > 0 && tilt < Math.PI / 2 && Math.abs(logFocal) < MAX_LOG_FOCAL && Math.abs(roll) < Math.PI / 4;
}

function squares(values) {
  return values.reduce((sum, value) => sum + value * value, 0);
}

// How the values of a function of the view change with the tilt, the focal length and the roll: n x 3.
function viewSlopes(values, view) {
  const columns = [0, 1, 2].map((axis) => {
    const [above, below] = [DELTA, -DELTA].map((by) => values(movedBy(view, [0, 1, 2].map((at) => (at === axis ? by : 0)))));
    return above.map((value, index) => (value - below[index]) / (2 * DELTA));
  });
  return transpose(columns);
}

function foundM(view, length, heightM) {
  return betweenM(view, length.start, length.to, heightM);
}

function betweenM(view, start, to, heightM) {
  const [first, second] = [placeM(view, start, heightM), placeM(view, to, heightM)];
  return first && second ? Math.hypot(second[0] - first[0], second[1] - first[1]) : FAR_M;
}

function placeM(view, position, heightM) {
  const [focal, sine, cosine] = [Math.exp(view.logFocal), Math.sin(view.tilt), Math.cos(view.tilt)];
  const [x, y] = levelled(view, position);
  const below = focal * sine + y * cosine;
  if (below <= DELTA) return null;
  return [(heightM * x) / below, (heightM * (focal * cosine - y * sine)) / below];
}

// A position as the camera would see it without roll.
function levelled({ roll }, [x, y]) {
  const [sine, cosine] = [Math.sin(roll), Math.cos(roll)];
  return [x * cosine - y * sine, x * sine + y * cosine];
}

function sigmaM(view, length, heightM, errors) {
  let squared = errors.groundM ** 2;
  const ends = [length.start, length.to];
  ends.forEach(([x, y], index) => {
    for (const [dx, dy] of [[DELTA, 0], [0, DELTA]]) {
      const moved = (sign) => ends.map((end, at) => (at === index ? [x + sign * dx, y + sign * dy] : end));
      const [above, below] = [moved(1), moved(-1)].map(([start, to]) => betweenM(view, start, to, heightM));
      squared += ((errors.point * (above - below)) / (2 * DELTA)) ** 2;
    }
  });
  return Math.sqrt(squared);
}

function parametersOf(view, heightM, middle) {
  const [focal, sine, cosine] = [Math.exp(view.logFocal), Math.sin(view.tilt), Math.cos(view.tilt)];
  const [rollSine, rollCosine] = [Math.sin(view.roll), Math.cos(view.roll)];
  const [x, y] = levelled(view, middle);
  const below = focal * sine + y * cosine;
  return [
    heightM * rollCosine, -heightM * rollSine, heightM * x,
    -heightM * sine * rollSine, -heightM * sine * rollCosine, heightM * (focal * cosine - y * sine),
    cosine * rollSine, cosine * rollCosine,
  ].map((value) => value / below);
}
