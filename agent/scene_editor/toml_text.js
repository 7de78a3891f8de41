// The TOML text of a scene: read, and changed without loss of its comments and layout.

import { joinBlocks, splitBlocks, tomlTokens } from "./toml_blocks.js";
import { parse, patch, stringify } from "./vendor/toml-patch.js";

/** As `MAX_FILE_BYTES` of agent/config/toml_decode.py. */
export const MAX_TEXT_BYTES = 1_048_576;
const MAX_DEPTH = 24;
const FORMAT = { bracketSpacing: false };

/**
 * Parse a text. Returns `tables`, and `typed`, the same with whole numbers as BigInt. Throws an Error of one line if it is
 * not TOML, also for that which is TOML 1.1 only: a box reads 1.0.
 */
export function parseToml(text) {
  if (new TextEncoder().encode(text).length > MAX_TEXT_BYTES) throw new Error(`more than ${MAX_TEXT_BYTES} bytes`);
  let typed, tables;
  try {
    typed = parse(text, { integersAsBigInt: true });
    tables = read(text);
  } catch (error) {
    throw new Error(`not valid TOML: ${String(error.message).split("\n")[0]}`);
  }
  const newer = findToml11(text);
  if (newer) throw new Error(`not valid TOML 1.0: ${newer}`);
  if (isTooDeep(tables)) throw new Error(`nested too deeply; allowed: ${MAX_DEPTH} levels`);
  return { tables, typed };
}

/** Return the text of `tables`, with the comments and the layout of `text`. Throws an Error if that cannot be done. */
export function patchToml(text, tables) {
  const old = read(text);
  let changed = text;
  for (const key of new Set([...Object.keys(old), ...Object.keys(tables)])) {
    if (!isSameValue(old, tables, key)) changed = patchKey(changed, key, tables[key]);
  }
  const result = read(changed);
  for (const key of new Set([...Object.keys(result), ...Object.keys(tables)])) {
    if (!isSameValue(result, tables, key)) throw new Error("the text could not be changed");
  }
  return changed;
}

const read = (text) => parse(text, { integersAsBigInt: false });

/** Whether both have the same value of a key; an empty list is as good as none. */
const isSameValue = (a, b, key) => isSame(a[key] ?? [], b[key] ?? []);

function patchKey(text, key, value) {
  const tables = read(text);
  const split = splitBlocks(text);
  const [rows, newRows] = [toRows(tables[key]), toRows(value)];
  const own = split.blocks.filter((block) => block.key === key);
  const isInBlocks = own.length === rows.length && (rows.length > 0 || !Object.hasOwn(tables, key))
    && own.every(({ body }, at) => isSame(toRows(read(body)[key])[0], rows[at]));
  if (!isInBlocks || ![...rows, ...newRows].every(isTable)) return patch(text, { ...tables, [key]: value }, FORMAT);
  replaceRows(split, key, Array.isArray(value ?? tables[key]), { own, rows, newRows, eol: text.includes("\r\n") ? "\r\n" : "\n" });
  return joinBlocks(split);
}

const isTable = (value) => typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
const toRows = (value) => (value === undefined ? [] : [value].flat());

/** Rows that are equal at both ends stay; of those between, old ones are changed, and the rest added or removed. */
function replaceRows(split, key, isList, { own, rows, newRows, eol }) {
  const shorter = Math.min(rows.length, newRows.length);
  let head = 0;
  while (head < shorter && isSame(rows[head], newRows[head])) head += 1;
  let tail = 0;
  while (tail < shorter - head && isSame(rows.at(-1 - tail), newRows.at(-1 - tail))) tail += 1;
  const middle = newRows.slice(head, newRows.length - tail);
  const changed = own.slice(head, own.length - tail);
  const wrap = (row) => ({ [key]: isList ? [row] : row });
  changed.forEach((block, at) => {
    if (at < middle.length) block.body = patchBody(block.body, rows[head + at], middle[at], wrap, eol);
    else removeBlock(split, block);
  });
  const after = changed.at(-1) ?? own[head - 1] ?? split.blocks.at(-1);
  let place = split.blocks.indexOf(after) + 1;
  for (const row of middle.slice(changed.length)) {
    split.blocks.splice(place, 0, newBlock(split, place, key, isList, row, eol));
    place += 1;
  }
}

/** Change a block. New lists of tables are written inline: as blocks of their own they would not be in this one. */
function patchBody(body, row, newRow, wrap, eol) {
  const isNewList = ([key, value]) => !Object.hasOwn(row, key) && isListOfTables(value);
  const entries = Object.entries(newRow);
  const patched = patch(body, wrap(Object.fromEntries(entries.filter((entry) => !isNewList(entry)))), FORMAT);
  const added = entries.filter(isNewList);
  return added.length ? [patched.trimEnd(), ...added.flatMap(keyLines), ""].join(eol) : patched;
}

const isListOfTables = (value) => Array.isArray(value) && value.length > 0 && value.every(isTable);

function keyLines([key, value]) {
  if (!isListOfTables(value)) return stringify({ [key]: value }, FORMAT).trimEnd().split(/\r?\n/);
  const inline = (row) => Object.entries(row).flatMap((entry) => keyLines(entry)).join(", ");
  return [`${key} = [`, ...value.map((row) => `  {${inline(row)}},`), "]"];
}

function removeBlock(split, block) {
  const at = split.blocks.indexOf(block);
  split.blocks.splice(at, 1);
  // Comments that follow after an empty line are not the block's own: they stay.
  if (!block.below.trim()) return;
  if (at > 0) split.blocks[at - 1].below += block.below;
  else split.root += block.below;
}

function newBlock(split, place, key, isList, row, eol) {
  const before = place > 0 ? split.blocks[place - 1] : null;
  const text = before ? before.body + before.below : split.root;
  const gap = !text || text.endsWith(eol + eol) ? "" : text.endsWith(eol) ? eol : eol + eol;
  const isLast = place === split.blocks.length;
  const header = isList ? `[[${key}]]` : `[${key}]`;
  const lines = Object.entries(row).flatMap(keyLines);
  return { key, isList, above: gap, body: [header, ...lines, ""].join(eol), below: isLast ? "" : eol };
}

function isSame(a, b) {
  if (typeof a !== "object" || typeof b !== "object") return Object.is(a, b) || a === b;
  if (a instanceof Date || b instanceof Date) return String(a) === String(b);
  const [keys, others] = [Object.keys(a), Object.keys(b)];
  return Array.isArray(a) === Array.isArray(b) && keys.length === others.length
    && keys.every((key) => Object.hasOwn(b, key) && isSame(a[key], b[key]));
}

function isTooDeep(tables) {
  let level = [tables];
  for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
    level = level.flatMap((node) => (typeof node === "object" && !(node instanceof Date) ? Object.values(node) : []));
    if (!level.length) return false;
  }
  return true;
}

/** Return what in a TOML text only 1.1 allows: line breaks and last commas in inline tables, `\e` and `\x`. */
function findToml11(text) {
  const open = [];
  let last = "";
  for (const { token } of tomlTokens(text)) {
    if (token.startsWith('"') && /(?<!\\)(?:\\\\)*\\[ex]/.test(token)) return "the escapes \\e and \\x";
    if (token === "{" || token === "[") open.push(token);
    if (token === "}" && last === ",") return "a comma before }";
    if (token === "}" || token === "]") open.pop();
    if (token === "\n" && open.at(-1) === "{") return "a line break in { }";
    if (token.trim() && !token.startsWith("#")) last = token;
  }
  return null;
}
