// Radial lens distortion, estimated from lines that are straight in the street: agent/detection/lens_distortion.py,
// step by step. Positions are [x, y] in picture heights from the picture's centre.

import { GroundError } from "./ground_error.js";

export const POINT_ERROR = 0.002;

const MIN_DISTORTION = -0.6;
const MAX_DISTORTION = 0.3;
const GRID_STEPS = 90;
const GOLDEN = (Math.sqrt(5) - 1) / 2;
const GOLDEN_STEPS = 40;
const TRIAL_CHANGE = 0.1;
const SENSITIVE = 9;
const SIGNIFICANT = 4;
export const MAX_BEND = 0.01;
const MIN_EXTENT = 0.1;

export function undistort([x, y], k) {
  const factor = 1 / (1 + k * (x * x + y * y));
  return [x * factor, y * factor];
}

export function distort([x, y], k) {
  const root = 1 - 4 * k * (x * x + y * y);
  if (root < 0) return null;
  const factor = 2 / (1 + Math.sqrt(root));
  return [x * factor, y * factor];
}

export function estimateDistortion(lines) {
  lines.forEach((line, index) => {
    const [first, last] = [line[0], line[line.length - 1]];
    const extent = Math.hypot(last[0] - first[0], last[1] - first[1]);
    if (extent < MIN_EXTENT) {
      throw new GroundError(
        "straight_short",
        `ground.straight[${index}]: ${extent.toFixed(3)} of the picture's height long; allowed: ${MIN_EXTENT} or more`,
        { index },
      );
    }
  });
  const step = (MAX_DISTORTION - MIN_DISTORTION) / GRID_STEPS;
  const grid = Array.from({ length: GRID_STEPS + 1 }, (_, index) => MIN_DISTORTION + step * index);
  const bends = grid.map((each) => bend(lines, each));
  const best = bends.indexOf(Math.min(...bends));
  const low = Math.max(grid[0], grid[best] - step);
  const high = Math.min(grid[grid.length - 1], grid[best] + step);
  const k = goldenSection(lines, low, high);
  lines.forEach((line, index) => {
    const rms = Math.sqrt(spread(line, k).across / line.length);
    if (rms > MAX_BEND) {
      const percent = (100 * rms).toFixed(1);
      throw new GroundError(
        "straight_bent",
        `ground.straight[${index}]: off a straight line by ${percent} % of the picture's height; ` +
          `allowed: at most ${(100 * MAX_BEND).toFixed(0)} %`,
        { index, percent },
      );
    }
  });
  const least = misfit(lines, k);
  const trial = k > 0 ? k - TRIAL_CHANGE : k + TRIAL_CHANGE;
  if (misfit(lines, trial) - least < SENSITIVE) {
    throw new GroundError(
      "straight_insensitive",
      "ground.straight: too short, or too near to the picture's middle, to show the lens; " +
        "allowed: long lines near the picture's edges",
    );
  }
  return misfit(lines, 0) - least >= SIGNIFICANT ? k : 0;
}

function goldenSection(lines, lowest, highest) {
  let [low, high] = [lowest, highest];
  for (let step = 0; step < GOLDEN_STEPS; step++) {
    const left = high - GOLDEN * (high - low);
    const right = low + GOLDEN * (high - low);
    if (bend(lines, left) < bend(lines, right)) high = right;
    else low = left;
  }
  return (low + high) / 2;
}

function bend(lines, k) {
  let total = 0;
  for (const line of lines) {
    const { across, along } = spread(line, k);
    total += across / along;
  }
  return total;
}

function misfit(lines, k) {
  return lines.reduce((sum, line) => sum + spread(line, k).across, 0) / POINT_ERROR ** 2;
}

function spread(line, k) {
  const positions = line.map((position) => undistort(position, k));
  let [meanX, meanY] = [0, 0];
  for (const [x, y] of positions) {
    meanX += x / positions.length;
    meanY += y / positions.length;
  }
  let [xx, yy, xy] = [0, 0, 0];
  for (const [x, y] of positions) {
    xx += (x - meanX) ** 2;
    yy += (y - meanY) ** 2;
    xy += (x - meanX) * (y - meanY);
  }
  const along = (xx + yy + Math.sqrt((xx - yy) ** 2 + 4 * xy * xy)) / 2;
  return { across: Math.max(0, xx * yy - xy * xy) / along, along };
}
