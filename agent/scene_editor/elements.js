// The drawn tables of a scene, each a list of points: the two ends of a line, or the corners of an area. Pure.

import { isInside, middle, polygonArea, polygonCentre, roundPoint, segmentDistance } from "./geometry.js";
import { DRAWN_LISTS, ZONE_DEFAULTS, ZONE_KINDS } from "./scene_schema.js";

export const MAX_CORNERS = 64;
const MIN_CORNERS = 3;

export const isArea = (list) => list !== "line" && list !== "flow";
export const isNamed = (list) => list === "line" || list === "zone";

const isPoint = (value) => Array.isArray(value) && value.length === 2 && value.every((part) => Number.isFinite(part) && Math.abs(part) < 100);

/** The points of a table, or null if it has none that can be drawn. */
export function pointsOf(list, table) {
  const points = isArea(list) ? table?.polygon : [table?.from, table?.to];
  return Array.isArray(points) && points.length >= 2 && points.every(isPoint) ? points : null;
}

export function withPoints(list, table, points) {
  return isArea(list) ? { ...table, polygon: points } : { ...table, from: points[0], to: points[1] };
}

/** All that can be drawn: `{ list, index, table, points }`, areas before lines, so that lines are on top. */
export function drawnElements(tables) {
  return [...DRAWN_LISTS].reverse().flatMap((list) => {
    const rows = Array.isArray(tables[list]) ? tables[list] : [];
    return rows.map((table, index) => ({ list, index, table, points: pointsOf(list, table) })).filter(({ points }) => points);
  });
}

/** The flows between two lines or zones that can be drawn: `{ list, index, table, points }`, from the middle of one to that of the other. */
export function drawnFlows(tables) {
  const shapes = new Map(drawnElements(tables).filter(({ list }) => isNamed(list)).map((each) => [each.table.name, each]));
  return (Array.isArray(tables.flow) ? tables.flow : [])
    .map((table, index) => ({ list: "flow", index, table, ends: [shapes.get(table?.from), shapes.get(table?.to)] }))
    .filter(({ ends: [from, to] }) => from && to && from !== to)
    .map(({ ends, ...flow }) => ({ ...flow, points: ends.map(shapeMiddle) }));
}

export const shapeMiddle = ({ list, points }) => (isArea(list) ? polygonCentre(points) : middle(...points));

/** The line or zone at a point, or null: the nearest line within `reach`, else the smallest zone. `toPlane` makes distances comparable. */
export function shapeAt(tables, point, toPlane, reach) {
  const shapes = drawnElements(tables).filter(({ list, table }) => isNamed(list) && nameOf(table) !== null);
  const at = toPlane(point);
  const lines = shapes.filter(({ list }) => list === "line").map((shape) => ({ shape, away: segmentDistance(at, ...shape.points.map(toPlane)) }));
  const zones = shapes.filter(({ list, points }) => list === "zone" && isInside(points, point)).map((shape) => ({ shape, area: polygonArea(shape.points) }));
  const [line] = lines.filter(({ away }) => away <= reach).sort((a, b) => a.away - b.away);
  const [zone] = zones.sort((a, b) => a.area - b.area);
  return (line ?? zone)?.shape ?? null;
}

/** Give the flows of a renamed line or zone its new name, unless another line or zone has one of both. */
export function renameInFlows(tables, oldName, newName) {
  if (typeof oldName !== "string" || typeof newName !== "string" || oldName === newName || !Array.isArray(tables.flow)) return;
  const names = namesOf(tables);
  if (names.includes(oldName) || names.filter((name) => name === newName).length > 1) return;
  for (const flow of tables.flow) {
    for (const end of ["from", "to"]) if (flow[end] === oldName) flow[end] = newName;
  }
}

/** The table at a selection, or null. */
export function tableAt(tables, selection) {
  const rows = selection ? tables[selection.list] : null;
  return (Array.isArray(rows) && rows[selection.index]) || null;
}

/** The name of a table, or null if it has none that is a text. */
export const nameOf = (table) => (typeof table?.name === "string" ? table.name : null);

/** The kind of a zone, the default if it has none that there is. */
export const kindOf = (table) => (ZONE_KINDS.includes(table?.kind) ? table.kind : ZONE_DEFAULTS.kind);

const NAME_CHARS = 80;

/** The names of lines and zones, and those of flows too if `all`. */
export function namesOf(tables, all = false) {
  return ["line", "zone", ...(all ? ["flow"] : [])].flatMap((list) => (Array.isArray(tables[list]) ? tables[list] : []).map(nameOf)).filter((name) => name !== null);
}

/** A name that no line, zone or flow has: `wanted` if it is one, else `base 1`, `base 2` ... */
export function freeName(tables, base, wanted = null) {
  const taken = new Set(namesOf(tables, true));
  if (wanted !== null && [...wanted].length <= NAME_CHARS && !taken.has(wanted)) return wanted;
  for (let number = 1; ; number += 1) {
    const name = `${base} ${number}`;
    if (!taken.has(name)) return name;
  }
}

/** A new table in the order of keys that people write. */
export function newTable(list, points, name) {
  const rounded = points.map(roundPoint);
  return withPoints(list, isNamed(list) ? { name } : {}, rounded);
}

/** The corners without one of them, or null if too few would be left. */
export function removeCorner(corners, index) {
  return corners.length > MIN_CORNERS ? corners.filter((_, at) => at !== index) : null;
}
