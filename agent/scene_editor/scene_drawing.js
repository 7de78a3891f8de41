// Draws the elements of a scene. Coordinates of the SVG layers are picture pixels.

import { svgElement } from "./dom.js";
import { drawnElements, isArea, kindOf, nameOf } from "./elements.js";
import { middle, pointInDirection, polygonCentre } from "./geometry.js";
import { LINE_DEFAULTS } from "./scene_schema.js";

const LABEL_PX = 13;
const ARROW_PX = 34;
const LABEL_GAP_PX = 18;
/** Of the arrow of a zone's direction of travel, in picture heights. */
export const DIRECTION_LENGTH = 0.11;

/** Draw all elements into a layer. `flags` has the level of the worst finding by "list index", for its mark. */
export function drawScene(layer, editor, flags) {
  for (const { list, index, points, table } of editor.shownElements()) {
    const isSelected = editor.selection?.list === list && editor.selection.index === index;
    const group = svgElement("g", { class: `element ${list} ${list === "zone" ? `kind-${kindOf(table)}` : ""} ${isSelected ? "selected" : ""}`, "data-element": `${list} ${index}` });
    const path = points.map(([x, y]) => [x * editor.viewport.size.width, y * editor.viewport.size.height]);
    const shape = isArea(list) ? "polygon" : "polyline";
    const coordinates = path.map((point) => point.join(",")).join(" ");
    group.append(svgElement(shape, { points: coordinates, class: "hit" }), svgElement(shape, { points: coordinates, class: "halo" }), svgElement(shape, { points: coordinates, class: "shape" }));
    if (list === "line") drawDirections(group, path, table, editor);
    if (list === "zone" && Number.isFinite(table.direction_deg)) drawTravel(group, points, table, editor);
    drawLabel(group, list, points, table, editor, flags.get(`${list} ${index}`));
    layer.append(group);
  }
}

/** Both directions of a line: an arrow to each side, with its name. Forward is to the right hand. */
function drawDirections(group, [from, to], table, editor) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(dx, dy);
  if (!length) return;
  const { scale } = editor.viewport;
  const right = [-dy / length, dx / length];
  const centre = middle(from, to);
  const names = { ...LINE_DEFAULTS, ...table };
  for (const [side, name, kind] of [[1, names.forward_name, "forward"], [-1, names.backward_name, "backward"]]) {
    const tip = centre.map((value, axis) => value + right[axis] * side * ARROW_PX / scale);
    const label = centre.map((value, axis) => value + right[axis] * side * (ARROW_PX + LABEL_GAP_PX) / scale);
    group.append(arrow(centre, tip, scale, `arrow ${kind}`), text(label, typeof name === "string" ? name : "", scale, "direction-name"));
  }
}

function drawTravel(group, points, table, editor) {
  const { aspect, scale, size } = editor.viewport;
  const start = polygonCentre(points);
  const end = pointInDirection(start, table.direction_deg, DIRECTION_LENGTH, aspect);
  const [from, to] = [start, end].map(([x, y]) => [x * size.width, y * size.height]);
  group.append(arrow(from, to, scale, "arrow travel"));
}

export function arrow(from, to, scale, className) {
  const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
  const head = [0.45, -0.45].map((turn) => [to[0] - Math.cos(angle + turn) * 12 / scale, to[1] - Math.sin(angle + turn) * 12 / scale]);
  const path = `M${from.join(",")}L${to.join(",")}M${head[0].join(",")}L${to.join(",")}L${head[1].join(",")}`;
  return svgElement("g", { class: className }, svgElement("path", { d: path, class: "halo" }), svgElement("path", { d: path, class: "shape" }));
}

function drawLabel(group, list, points, table, editor, level) {
  const { scale, size } = editor.viewport;
  const at = isArea(list) ? polygonCentre(points) : points[0];
  const place = [at[0] * size.width, at[1] * size.height - (isArea(list) ? 0 : LABEL_GAP_PX / scale)];
  const name = nameOf(table) ?? editor.t(`list_${list}`);
  group.append(text(place, level ? `⚠ ${name}` : name, scale, `name ${level ?? ""}`));
}

function text([x, y], words, scale, className) {
  return svgElement("text", { x, y, "font-size": LABEL_PX / scale, "stroke-width": 3.5 / scale, class: className }, words);
}

/** The shape that is being drawn: its points, and the one under the pointer. */
export function drawDraft(layer, editor, points, hover, closed) {
  const { scale, size } = editor.viewport;
  const all = [...points, ...(hover ? [hover] : [])].map(([x, y]) => [x * size.width, y * size.height]);
  if (!all.length) return;
  const coordinates = all.map((point) => point.join(",")).join(" ");
  layer.append(
    svgElement(closed ? "polygon" : "polyline", { points: coordinates, class: "draft halo" }),
    svgElement(closed ? "polygon" : "polyline", { points: coordinates, class: "draft shape" }),
    ...all.map(([x, y], at) => svgElement("circle", { cx: x, cy: y, r: (at === 0 ? 7 : 5) / scale, class: `draft-point ${at === 0 ? "first" : ""}` })),
  );
}

/** The elements of the tables, with those that are being dragged as they would become. */
export function elementsWithPreview(tables, preview) {
  if (!preview) return drawnElements(tables);
  const rows = [...(tables[preview.list] ?? [])];
  rows[preview.index] = preview.table;
  return drawnElements({ ...tables, [preview.list]: rows });
}
