// Draws the elements of a scene. Coordinates of the SVG layers are picture pixels.

import { svgElement } from "./dom.js";
import { isArea, kindOf, nameOf } from "./elements.js";
import { isSamePoint, middle, pointInDirection, polygonCentre } from "./geometry.js";
import { freeLabels } from "./label_layout.js";
import { LINE_DEFAULTS } from "./scene_schema.js";

const LABEL_PX = 13;
const ARROW_PX = 34;
const LABEL_GAP_PX = 18;
const FLOW_SHIFT_PX = 5;
const LINE_PX = 1.2 * LABEL_PX;
/** Of the arrow of a zone's direction of travel, in picture heights. */
export const DIRECTION_LENGTH = 0.11;

/**
 * Draw all elements into a layer. `flags` has the level of the worst finding by "list index", for its mark. A label that
 * would overlap another is left out: those of the selected element come first, names before directions. Labels are above
 * all shapes.
 */
export function drawScene(layer, editor, flags) {
  const labels = [];
  for (const { list, index, points, table } of editor.shownElements()) {
    const isSelected = editor.selection?.list === list && editor.selection.index === index;
    const group = svgElement("g", { class: `element ${list} ${list === "zone" ? `kind-${kindOf(table)}` : ""} ${hoursOf(table).length ? "timed" : ""} ${isSelected ? "selected" : ""}`, "data-element": `${list} ${index}` });
    const path = points.map(([x, y]) => [x * editor.viewport.size.width, y * editor.viewport.size.height]);
    const shape = isArea(list) ? "polygon" : "polyline";
    const coordinates = path.map((point) => point.join(",")).join(" ");
    group.append(svgElement(shape, { points: coordinates, class: "hit" }), svgElement(shape, { points: coordinates, class: "halo" }), svgElement(shape, { points: coordinates, class: "shape" }));
    labels.push({ ...nameLabel(list, index, points, table, editor, flags), isSelected, rank: isSelected ? 0 : 2 });
    if (list === "line" && !isSamePoint(...path)) {
      drawDirectionArrows(group, path, editor);
      labels.push(...directionLabels(path, table, editor).map((each) => ({ ...each, isSelected, rank: isSelected ? 1 : 3 })));
    }
    if (list === "zone" && Number.isFinite(table.direction_deg)) drawTravel(group, points, table, editor);
    layer.append(group);
  }
  for (const { list, index, points, table } of editor.shownFlows()) {
    const isSelected = editor.selection?.list === list && editor.selection.index === index;
    const group = svgElement("g", { class: `element flow ${isSelected ? "selected" : ""}`, "data-element": `${list} ${index}` });
    const path = besidePath(points.map(([x, y]) => [x * editor.viewport.size.width, y * editor.viewport.size.height]), editor);
    group.append(svgElement("polyline", { points: path.map((point) => point.join(",")).join(" "), class: "hit" }), arrow(...path, editor.viewport.scale, "arrow flow"));
    const level = flags.get(`${list} ${index}`);
    const name = nameOf(table) ?? editor.t("list_flow");
    labels.push({ ...label(middle(...path), level ? `⚠ ${name}` : name, editor, `name ${level ?? ""}`), isSelected, rank: isSelected ? 0 : 4 });
    layer.append(group);
  }
  labels.sort((one, other) => one.rank - other.rank);
  for (const { isSelected, x, y, text, font_px, className } of freeLabels(labels)) {
    const attributes = { x, y, "font-size": font_px, "stroke-width": 3.5 / editor.viewport.scale };
    layer.append(svgElement("text", { ...attributes, class: isSelected ? `${className} selected` : className }, text));
  }
}

/** An arrow to each side of a line. Forward is to the right hand. */
function drawDirectionArrows(group, path, editor) {
  for (const [side, kind] of [[1, "forward"], [-1, "backward"]]) {
    group.append(arrow(middle(...path), besideMiddle(path, side * ARROW_PX, editor), editor.viewport.scale, `arrow ${kind}`));
  }
}

/** A way a little to the right, so that the arrows of both ways are next to each other. */
function besidePath([from, to], editor) {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]) || 1;
  const right = [-(to[1] - from[1]) / length, (to[0] - from[0]) / length].map((part) => part * FLOW_SHIFT_PX / editor.viewport.scale);
  return [from, to].map(([x, y]) => [x + right[0], y + right[1]]);
}

function directionLabels(path, table, editor) {
  const names = { ...LINE_DEFAULTS, ...table };
  return [[1, names.forward_name], [-1, names.backward_name]].map(([side, name]) => {
    const place = besideMiddle(path, side * (ARROW_PX + LABEL_GAP_PX), editor);
    return label(place, typeof name === "string" ? name : "", editor, "direction-name");
  });
}

/** The point `right_px` of the screen to the right hand of a line's middle. */
function besideMiddle([from, to], right_px, editor) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(dx, dy);
  const right = [-dy / length, dx / length];
  return middle(from, to).map((value, axis) => value + right[axis] * right_px / editor.viewport.scale);
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

function nameLabel(list, index, points, table, editor, flags) {
  const { scale, size } = editor.viewport;
  const at = isArea(list) ? polygonCentre(points) : points[0];
  const place = [at[0] * size.width, at[1] * size.height - (isArea(list) ? 0 : LABEL_GAP_PX / scale)];
  const [first, ...further] = hoursOf(table);
  // The hours keep their order of letters in a right-to-left page.
  const hours = first === undefined ? "" : ` \u2066${first}${further.length ? ` +${further.length}` : ""}\u2069`;
  const name = `${nameOf(table) ?? editor.t(`list_${list}`)}${hours}`;
  const level = flags.get(`${list} ${index}`);
  const shifts_px = [LINE_PX / scale, -LINE_PX / scale];
  return { ...label(place, level ? `⚠ ${name}` : name, editor, `name ${level ?? ""}`), shifts_px };
}

/** The spans of the week in which a zone's rules run, none for all of it. */
const hoursOf = ({ hours }) => (Array.isArray(hours) ? hours.filter((span) => typeof span === "string") : []);

const label = ([x, y], text, editor, className) => ({ x, y, text, className, font_px: LABEL_PX / editor.viewport.scale });

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

/** The tables, with those that are being dragged as they would become. */
export function tablesWithPreview(tables, preview) {
  if (!preview) return tables;
  const rows = [...(tables[preview.list] ?? [])];
  rows[preview.index] = preview.table;
  return { ...tables, [preview.list]: rows };
}
