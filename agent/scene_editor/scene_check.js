// Checks a scene as agent/detection/scene.py does, with the same messages. The page shows every mistake; the first of
// them is the one that Python raises. tests/vectors/scene has the cases that both pass.

import { isSamePoint, isSelfIntersecting, MIN_AREA, polygonArea } from "./geometry.js";
import { formatFloat, formatPoints, formatString, formatValue } from "./python_format.js";
import { placeMetres, readGround } from "./scene_metres.js";
import { GROUND, LABELS, LINE_DEFAULTS, MAX_SCENE_CORNERS, MAX_TABLES, SCENE, ZONE_DEFAULTS } from "./scene_schema.js";

const BARE_KEY = /^[A-Za-z0-9_-]+$/;
const TYPE_WORDS = { str: "a text", int: "a whole number", float: "a number", bool: "true or false", table: "a table", list: "a list", tuple: "a list" };
const BOUNDS = [
  ["ge", (value, limit) => value >= limit, (limit) => `${limit} or more`],
  ["gt", (value, limit) => value > limit, (limit) => `above ${limit}`],
  ["le", (value, limit) => value <= limit, (limit) => `at most ${limit}`],
  ["lt", (value, limit) => value < limit, (limit) => `below ${limit}`],
];

/**
 * The mistakes of a scene: `[{ path: ["line", 0, "to"], message }]`, none for a good one; that of marks has its
 * `groundError`. `tables` are those of the file with whole numbers as BigInt, `location` the name that begins each message.
 */
export function checkScene(tables, location) {
  let found = [...numberErrors(tables)];
  if (!found.length) {
    const { placed, errors } = placeMetres(tables, findPlaceMistake);
    found = errors;
    if (!found.length) found = [...typeErrors(placed, SCENE, [])];
    if (!found.length) found = [...sceneErrors(placed)];
  }
  return found.map(({ text, ...mistake }) => ({ ...mistake, message: `${location}: ${text}` }));
}

/** The tables with everything that is in metres placed on the picture, as far as it can be. */
export const placeScene = (tables) => placeMetres(tables, findPlaceMistake).placed;

const planes = new WeakMap();

/** The calibrated ground of the tables, or null. The tables of a document are new ones after each change. */
export function groundPlaneOf(tables) {
  if (!planes.has(tables)) planes.set(tables, readGround(tables, findPlaceMistake).plane ?? null);
  return planes.get(tables);
}

/** The first mistake in the types and limits of marks, or null. */
export const findMarkMistake = (ground) => findPlaceMistake("ground", ground, ["ground"]);

/** The first mistake of what the place of an element in metres depends on: its own keys, or the marks. */
function findPlaceMistake(list, value, path) {
  const types = list === "ground" ? [[GROUND, value, path]]
    : ["from_m", "to_m", "polygon_m"].filter((key) => Object.hasOwn(value, key)).map((key) => [SCENE.fields[list].item.fields[key], value[key], [...path, key]]);
  for (const [type, each, at] of types) for (const mistake of typeErrors(each, type, at)) return mistake;
  return null;
}

function* numberErrors(tables) {
  for (const [list, limit] of Object.entries(MAX_TABLES)) {
    const rows = tables[list];
    if (Array.isArray(rows) && rows.length > limit) yield { path: [list], text: `${list}: ${rows.length} of them; allowed: at most ${limit}` };
  }
}

// ---- types and limits

function* typeErrors(value, type, path) {
  const nested = hasKind(value, type.kind) ? [...pieceErrors(value, type, path)] : [];
  yield* nested;
  const wrong = nested.length ? null : findWrongValue(value, type);
  if (wrong) yield { path, text: describeWrongValue(value, type, path, wrong) };
}

function* pieceErrors(value, type, path) {
  if (type.kind === "list") {
    for (const [index, item] of value.entries()) yield* typeErrors(item, type.item, [...path, index]);
  } else if (type.kind === "tuple" && value.length === type.items.length) {
    for (const [index, item] of type.items.entries()) yield* typeErrors(value[index], item, [...path, index]);
  } else if (type.kind === "table") {
    yield* tableErrors(value, type, path);
  }
}

function* tableErrors(table, type, path) {
  for (const [key, value] of Object.entries(table)) {
    if (Object.hasOwn(type.fields, key)) yield* typeErrors(value, type.fields[key], [...path, key]);
    else yield { path: [...path, key], text: `${joinPath([...path, key])}: unknown key; allowed: ${Object.keys(type.fields).join(", ")}` };
  }
  for (const [key, field] of Object.entries(type.fields)) {
    if (field.required && !Object.hasOwn(table, key)) yield { path: [...path, key], text: `${joinPath([...path, key])}: missing; it has to be given` };
  }
}

/** Returns null, or the reason as `{ allowed, isWrongType }`. The pieces of a list or a table have no mistake. */
function findWrongValue(value, type) {
  if (!hasKind(value, type.kind)) {
    return { allowed: type.kind === "literal" ? describeChoices(type) : TYPE_WORDS[type.kind], isWrongType: true };
  }
  if (type.kind === "literal") return type.values.includes(value) ? null : { allowed: describeChoices(type) };
  if (type.kind === "int" || type.kind === "float") {
    const bound = BOUNDS.find(([name, holds]) => name in type && !holds(Number(value), type[name]));
    return bound ? { allowed: bound[2](type[bound[0]]) } : null;
  }
  if (type.kind === "tuple") return value.length === type.items.length ? null : { allowed: `${type.items.length} items` };
  if (type.kind === "list") return findWrongLength(value.length, type, "items");
  if (type.kind === "str") {
    const wrong = findWrongLength([...value].length, type, "characters");
    return wrong ?? (type.pattern && !type.pattern.test(value) ? { allowed: type.allowed } : null);
  }
  return null;
}

function hasKind(value, kind) {
  switch (kind) {
    case "str": case "literal": return typeof value === "string";
    case "bool": return typeof value === "boolean";
    case "int": return typeof value === "bigint";
    case "float": return typeof value === "bigint" || typeof value === "number";
    case "list": case "tuple": return Array.isArray(value);
    default: return typeof value === "object" && !Array.isArray(value) && !(value instanceof Date);
  }
}

const describeChoices = (type) => [...type.values].sort().map(formatString).join(", ");

function findWrongLength(length, type, unit) {
  if (length < (type.minLength ?? 0)) {
    return { allowed: unit === "characters" && type.minLength === 1 ? "a text that is not empty" : `${type.minLength} or more ${unit}` };
  }
  return length > (type.maxLength ?? Infinity) ? { allowed: `at most ${type.maxLength} ${unit}` } : null;
}

function describeWrongValue(value, type, path, wrong) {
  const isShown = typeof value !== "object" || value instanceof Date;
  const location = path.length ? `${joinPath(path)}${isShown ? ` = ${formatValue(value)}` : ""}: ` : "";
  const kind = wrong.isWrongType && !isShown ? `${formatValue(value)}; ` : "";
  return `${location}${kind}allowed: ${wrong.allowed}`;
}

function joinPath(path) {
  return path.map((step) => {
    if (typeof step === "number") return `[${step}]`;
    return `.${BARE_KEY.test(step) ? step : formatString(step)}`;
  }).join("").replace(/^\.+/, "");
}

// ---- what no single value shows

function* sceneErrors({ line = [], zone = [], flow = [], mask = [], ignore = [], ground }) {
  const corners = [...zone, ...mask, ...ignore].reduce((sum, { polygon }) => sum + polygon.length, 0);
  if (corners > MAX_SCENE_CORNERS) yield { path: [], text: `${corners} corners of zones, masks and ignored areas; allowed: at most ${MAX_SCENE_CORNERS}` };
  yield* nameErrors({ line, zone, flow });
  const { mistake } = ground === undefined ? {} : readGround({ ground }, () => null);
  if (mistake) yield mistake;
  for (const [index, table] of line.entries()) yield* lineErrors(table, index);
  for (const [index, table] of zone.entries()) {
    yield* polygonErrors(table.polygon, ["zone", index]);
    yield* zoneErrors(table, index);
  }
  yield* flowErrors(flow, [...line, ...zone]);
  for (const [index, table] of mask.entries()) yield* polygonErrors(table.polygon, ["mask", index]);
  for (const [index, table] of ignore.entries()) yield* polygonErrors(table.polygon, ["ignore", index]);
}

function* nameErrors(lists) {
  const named = Object.entries(lists).flatMap(([list, rows]) => rows.map(({ name }, index) => [list, index, name]));
  const first = new Map();
  for (const [list, index, name] of named) {
    const key = `${list}[${index}].name`;
    if (!first.has(name)) first.set(name, key);
    else yield { path: [list, index, "name"], text: `${key} = ${formatString(name)}: used by ${first.get(name)} already; allowed: a name of its own for each line, zone and flow` };
  }
}

function* lineErrors(table, index) {
  const [from, to] = [table.from.map(Number), table.to.map(Number)];
  if (isSamePoint(from, to)) {
    yield { path: ["line", index, "to"], text: `line[${index}].to = [${to.map(formatFloat).join(", ")}]: the same point as \`from\`; allowed: a line that has a length` };
  }
  const names = { ...LINE_DEFAULTS, ...table };
  if (names.forward_name === names.backward_name) {
    yield { path: ["line", index, "backward_name"], text: `line[${index}].backward_name = ${formatString(names.backward_name)}: the same as \`forward_name\`; allowed: a name of its own for each direction` };
  }
}

function* polygonErrors(corners, [list, index]) {
  const polygon = corners.map((corner) => corner.map(Number));
  const start = `${list}[${index}].polygon = ${formatPoints(polygon)}`;
  if (isSelfIntersecting(polygon)) {
    yield { path: [list, index, "polygon"], text: `${start}: its edges cross; allowed: corners in order around the area` };
  } else if (polygonArea(polygon) < MIN_AREA) {
    yield { path: [list, index, "polygon"], text: `${start}: has no area; allowed: corners not all on one line` };
  }
}

function* zoneErrors(table, index) {
  const kind = table.kind ?? ZONE_DEFAULTS.kind;
  if (table.queue_min_count !== undefined && kind !== "queue") {
    yield { path: ["zone", index, "queue_min_count"], text: `zone[${index}].queue_min_count = ${table.queue_min_count}: has no use with kind ${formatString(kind)}; allowed: with kind 'queue'` };
  }
}

function* flowErrors(flows, shapes) {
  const labelsByName = new Map(shapes.map(({ name, labels = LABELS }) => [name, labels]));
  const first = new Map();
  for (const [index, flow] of flows.entries()) {
    const key = `flow[${index}]`;
    const unknown = ["from", "to"].filter((end) => !labelsByName.has(flow[end]));
    for (const end of unknown) {
      yield { path: ["flow", index, end], text: `${key}.${end} = ${formatString(flow[end])}: not in the scene; allowed: the name of a line or zone` };
    }
    if (unknown.length) continue;
    const to = { path: ["flow", index, "to"], start: `${key}.to = ${formatString(flow.to)}` };
    if (flow.from === flow.to) {
      yield { path: to.path, text: `${to.start}: the same as \`from\`; allowed: another line or zone` };
      continue;
    }
    const pair = JSON.stringify([flow.from, flow.to]);
    if (first.has(pair)) {
      yield { path: to.path, text: `${to.start}: flow[${first.get(pair)}] has the same \`from\` and \`to\`; allowed: one flow from a line or zone to another` };
    } else {
      first.set(pair, index);
    }
    const ends = [labelsByName.get(flow.from), labelsByName.get(flow.to)];
    if (!(flow.labels ?? LABELS).some((label) => ends.every((labels) => labels.includes(label)))) {
      yield { path: ["flow", index, "labels"], text: `${key}.labels: counts nothing; allowed: a label in common with its \`from\` and its \`to\`` };
    }
  }
}
