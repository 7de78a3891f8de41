// Points, lines and polygons on a picture, in 0..1 of it, x to the right and y down. As in agent/detection/geometry.py.

/** By the picture's area. A smaller polygon is a mistake in drawing. */
export const MIN_AREA = 1e-5;

/** 0.0001 of the picture: finer than a pixel of a 4K picture. */
const DECIMALS = 4;

export const roundTo = (value, decimals) => Number(value.toFixed(decimals));

export const radians = (angle_deg) => angle_deg * Math.PI / 180;

export const degrees = (angle_rad) => angle_rad * 180 / Math.PI;

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** A point of the picture as it is written into a scene: within 0..1, rounded. */
export function roundPoint([x, y]) {
  return [roundTo(clamp(x, 0, 1), DECIMALS), roundTo(clamp(y, 0, 1), DECIMALS)];
}

export const isSamePoint = (a, b) => a[0] === b[0] && a[1] === b[1];

export const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];

/** Whether two edges of a polygon meet anywhere but in a common corner. */
export function isSelfIntersecting(polygon) {
  const count = polygon.length;
  const edges = polygon.map((corner, at) => [corner, polygon[(at + 1) % count]]);
  for (let i = 0; i < count; i += 1) {
    for (let j = i + 2; j < count; j += 1) {
      if ((j + 1) % count !== i && segmentsIntersect(...edges[i], ...edges[j])) return true;
    }
  }
  return false;
}

function segmentsIntersect(a, b, c, d) {
  const orientations = [orientation(a, b, c), orientation(a, b, d), orientation(c, d, a), orientation(c, d, b)];
  if (orientations[0] !== orientations[1] && orientations[2] !== orientations[3]) return true;
  const triples = [[a, b, c], [a, b, d], [c, d, a], [c, d, b]];
  return orientations.some((turn, at) => turn === 0 && isBetween(...triples[at]));
}

function orientation(a, b, c) {
  return Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));
}

function isBetween(a, b, c) {
  return Math.min(a[0], b[0]) <= c[0] && c[0] <= Math.max(a[0], b[0])
    && Math.min(a[1], b[1]) <= c[1] && c[1] <= Math.max(a[1], b[1]);
}

/** Whether a point is in a polygon, by the even-odd rule. */
export function isInside(polygon, [x, y]) {
  let odd = false;
  for (const [at, [x1, y1]] of polygon.entries()) {
    const [x0, y0] = polygon.at(at - 1);
    if (y1 > y !== y0 > y && x < x1 + ((y - y1) / (y0 - y1)) * (x0 - x1)) odd = !odd;
  }
  return odd;
}

/** The distance of a point from the line between two others. */
export function segmentDistance([x, y], [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const fraction = clamp(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1), 0, 1);
  return Math.hypot(x - x0 - fraction * dx, y - y0 - fraction * dy);
}

/** The area of a polygon whose edges do not cross, by the area of the picture. */
export function polygonArea(polygon) {
  return Math.abs(doubleArea(polygon)) / 2;
}

function doubleArea(polygon) {
  return polygon.reduce((sum, [x, y], at) => {
    const [nextX, nextY] = polygon[(at + 1) % polygon.length];
    return sum + (x * nextY - nextX * y);
  }, 0);
}

/** The centre of a polygon's area, or of its corners if it has none. */
export function polygonCentre(polygon) {
  const area = doubleArea(polygon) / 2;
  if (Math.abs(area) < MIN_AREA) {
    return [0, 1].map((axis) => polygon.reduce((sum, corner) => sum + corner[axis], 0) / polygon.length);
  }
  let [x, y] = [0, 0];
  polygon.forEach((corner, at) => {
    const next = polygon[(at + 1) % polygon.length];
    const cross = corner[0] * next[1] - next[0] * corner[1];
    x += (corner[0] + next[0]) * cross;
    y += (corner[1] + next[1]) * cross;
  });
  return [x / (6 * area), y / (6 * area)];
}

/** The direction from `a` to `b` in degrees, 0..359: 0 to the right, 90 up. `aspect` is the picture's width by its height. */
export function directionDeg(a, b, aspect) {
  return (Math.round(degrees(Math.atan2(a[1] - b[1], (b[0] - a[0]) * aspect))) + 360) % 360;
}

/** The point at `length` picture heights from `point` in a direction. */
export function pointInDirection([x, y], angle_deg, length, aspect) {
  const angle = radians(angle_deg);
  return [x + Math.cos(angle) * length / aspect, y - Math.sin(angle) * length];
}

/** The same shape, moved as a whole, as far as it stays within the picture. */
export function movePoints(points, dx, dy) {
  const limits = [0, 1].map((axis) => points.map((point) => point[axis]));
  const x = clamp(dx, -Math.min(...limits[0]), 1 - Math.max(...limits[0]));
  const y = clamp(dy, -Math.min(...limits[1]), 1 - Math.max(...limits[1]));
  return points.map((point) => roundPoint([point[0] + x, point[1] + y]));
}

/** The part of a polygon that is in the picture, by Sutherland and Hodgman. */
export function clipToPicture(polygon) {
  const edges = [
    [([x]) => x, (a, b, f) => [0, a[1] + (b[1] - a[1]) * f]],
    [([x]) => 1 - x, (a, b, f) => [1, a[1] + (b[1] - a[1]) * f]],
    [([, y]) => y, (a, b, f) => [a[0] + (b[0] - a[0]) * f, 0]],
    [([, y]) => 1 - y, (a, b, f) => [a[0] + (b[0] - a[0]) * f, 1]],
  ];
  let corners = polygon;
  for (const [inside, intersect] of edges) {
    const clipped = [];
    corners.forEach((corner, index) => {
      const previous = corners[(index + corners.length - 1) % corners.length];
      const [before, here] = [inside(previous), inside(corner)];
      if (before < 0 !== here < 0) clipped.push(intersect(previous, corner, before / (before - here)));
      if (here >= 0) clipped.push(corner);
    });
    corners = clipped;
  }
  return corners.map((corner) => corner.map((value) => clamp(value, 0, 1)));
}
