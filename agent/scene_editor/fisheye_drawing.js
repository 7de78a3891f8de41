// The views of a fisheye camera on its picture: the outline of each is its border as the lens shows it.

import { svgElement } from "./dom.js";
import { pointInView, viewPoint } from "./fisheye_lens.js";

/** Steps of each edge: straight edges are curves on the picture. */
const EDGE_STEPS = 48;
const EDGES = [[[0, 0], [1, 0]], [[1, 0], [1, 1]], [[1, 1], [0, 1]], [[0, 1], [0, 0]]];

/** The parts of a view's border that the lens sees, each as points of the picture. */
export function viewOutline(lens, view, aspect) {
  const border = EDGES.flatMap(([[x1, y1], [x2, y2]]) => Array.from({ length: EDGE_STEPS }, (_, step) =>
    [x1 + (x2 - x1) * step / EDGE_STEPS, y1 + (y2 - y1) * step / EDGE_STEPS]));
  const seen = [...border, border[0]].map((place) => viewPoint(lens, view, place, aspect));
  const runs = [[]];
  for (const point of seen) {
    if (point) runs.at(-1).push(point);
    else if (runs.at(-1).length) runs.push([]);
  }
  return runs.filter((run) => run.length > 1);
}

/** The point of the picture that is farthest to the right in a view, at half its height; null if there is none. */
export function rightEdge(lens, view, aspect) {
  for (let x = 1; x > 0.5; x -= 0.5 / EDGE_STEPS) {
    const point = viewPoint(lens, view, [x, 0.5], aspect);
    if (point && point.every((part) => part >= 0 && part <= 1)) return point;
  }
  return null;
}

export function isInView(lens, view, point, aspect) {
  return pointInView(lens, view, point, aspect)?.every((part) => part >= 0 && part <= 1) ?? false;
}

/** Draw an outline with the view's name in its middle; `unit` is a pixel of the screen. */
export function drawOutline(group, { name, options }, lens, { width, height }, unit, isSelected) {
  const aspect = width / height;
  const place = ([x, y]) => [x * width, y * height];
  for (const run of viewOutline(lens, options, aspect)) {
    const points = run.map(place).join(" ");
    group.append(
      svgElement("polyline", { class: "ground-halo", points, "stroke-width": 5 * unit }),
      svgElement("polyline", { class: isSelected ? "fisheye-view selected" : "fisheye-view", points, "stroke-width": 2.5 * unit }),
    );
  }
  const middle = viewPoint(lens, options, [0.5, 0.5], aspect);
  if (!middle) return;
  const [x, y] = place(middle);
  group.append(svgElement("text", { class: "ground-mark", x, y: y - 18 * unit, "font-size": 14 * unit, "stroke-width": 3.5 * unit }, name));
}
