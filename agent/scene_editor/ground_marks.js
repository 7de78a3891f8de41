// The marks of [ground]: which keys are given together, and their places in metres: agent/detection/ground_marks.py.

import { GroundError } from "./ground_error.js";

export const DEFAULT_ASPECT = 16 / 9;

const MIN_APART = 0.004;
const MIN_APART_M = 0.05;
const MAX_APART_M = 2000;
const EQUATOR_RADIUS_M = 6378137;
const ECCENTRICITY_SQUARED = 6.69437999014e-3;

// A position [latitude, longitude] in metres [east, north] of another one.
export function localMetres(origin, position) {
  const radians = Math.PI / 180;
  const latitude = origin[0] * radians;
  const curvature = 1 - ECCENTRICITY_SQUARED * Math.sin(latitude) ** 2;
  const eastRadiusM = EQUATOR_RADIUS_M / Math.sqrt(curvature);
  const northRadiusM = (eastRadiusM * (1 - ECCENTRICITY_SQUARED)) / curvature;
  const eastDeg = ((position[1] - origin[1] + 540) % 360) - 180;
  return [
    eastDeg * radians * Math.cos(latitude) * eastRadiusM,
    (position[0] - origin[0]) * radians * northRadiusM,
  ];
}

export function placesM(points) {
  return points.map((point) => point.metres ?? localMetres(points[0].position, point.position));
}

export function checkKeys(marks) {
  const [points, lengths] = [marks.point ?? [], marks.length ?? []];
  if (points.length > 0 === lengths.length > 0) {
    const [found, code] = points.length ? ["has both", "kinds"] : ["has neither", "no_kind"];
    throw new GroundError(code, `ground: ${found} of \`point\` and \`length\`; allowed: one of them`);
  }
  if (lengths.length && marks.camera_height_m === undefined) {
    throw new GroundError(
      "height_missing", "ground.camera_height_m: missing; it has to be given with `length`");
  }
  if (points.length && marks.camera_height_m !== undefined) {
    throw new GroundError(
      "height_useless",
      `ground.camera_height_m = ${marks.camera_height_m.toFixed(1)}: has no use with \`point\`; allowed: with \`length\``,
    );
  }
  if (marks.aspect === undefined && (marks.straight || lengths.length)) {
    const other = marks.straight ? "straight" : "length";
    throw new GroundError(
      "aspect_missing",
      `ground.aspect: missing; it has to be given with \`${other}\`: the picture's width by its height`,
      { other },
    );
  }
  points.forEach((point, index) => {
    if ((point.metres === undefined) === (point.position === undefined)) {
      const found = point.metres === undefined ? "has neither" : "has both";
      throw new GroundError(
        "place", `ground.point[${index}]: ${found} of \`metres\` and \`position\`; allowed: one of them`, { index });
    }
    if ((point.metres === undefined) !== (points[0].metres === undefined)) {
      const key = point.metres === undefined ? "position" : "metres";
      throw new GroundError(
        "place_kind",
        `ground.point[${index}].${key}: another kind than point[0]; allowed: the same kind for all`,
        { index },
      );
    }
  });
  lengths.forEach(({ from, to }, index) => {
    if (Math.hypot(to[0] - from[0], to[1] - from[1]) < MIN_APART) {
      throw new GroundError(
        "length_zero",
        `ground.length[${index}].to = ${show(to)}: the same point as \`from\`; allowed: points apart from each other`,
        { index },
      );
    }
  });
}

export function checkApart(points, positions, places) {
  for (let index = 0; index < points.length; index++) {
    for (let other = 0; other < index; other++) {
      const apart = (list) => Math.hypot(list[index][0] - list[other][0], list[index][1] - list[other][1]);
      if (apart(positions) < MIN_APART) {
        throw new GroundError(
          "same_point",
          `ground.point[${index}].at = ${show(points[index].at)}: the same point as point[${other}]; ` +
            "allowed: points apart from each other",
          { index, other },
        );
      }
      const apartM = apart(places);
      if (!(apartM >= MIN_APART_M && apartM <= MAX_APART_M)) {
        const key = points[index].metres === undefined ? "position" : "metres";
        throw new GroundError(
          "apart",
          `ground.point[${index}].${key}: ${apartM.toFixed(2)} m from point[${other}]; ` +
            `allowed: ${MIN_APART_M} to ${MAX_APART_M} m`,
          { index, other, apartM },
        );
      }
    }
  }
}

function show([x, y]) {
  return `[${x.toFixed(3)}, ${y.toFixed(3)}]`;
}
