// The TOML text of a scene: read, and changed without loss of its comments and layout.

import { parse, patch } from "./vendor/toml-patch.js";

/** As `MAX_FILE_BYTES` of agent/config/toml_decode.py. */
export const MAX_TEXT_BYTES = 1_048_576;
const MAX_DEPTH = 24;

/**
 * Parse a text. Returns `tables`, and `typed`, the same with whole numbers as BigInt. Throws an Error of one line if it is
 * not TOML, also for that which is TOML 1.1 only: a box reads 1.0.
 */
export function parseToml(text) {
  if (new TextEncoder().encode(text).length > MAX_TEXT_BYTES) throw new Error(`more than ${MAX_TEXT_BYTES} bytes`);
  let typed, tables;
  try {
    typed = parse(text, { integersAsBigInt: true });
    tables = parse(text, { integersAsBigInt: false });
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
  const patched = patch(text, tables);
  if (!isSame(parse(patched, { integersAsBigInt: false }), tables)) throw new Error("the text could not be changed");
  return patched;
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

const TOKEN = /"""[\s\S]*?(?<!\\)(?:\\\\)*"""|'''[\s\S]*?'''|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*|[{}[\],\n]|[^"'#{}[\],\n]+/g;

/** Return what in a TOML text only 1.1 allows: line breaks and last commas in inline tables, `\e` and `\x`. */
function findToml11(text) {
  const open = [];
  let last = "";
  for (const [token] of text.matchAll(TOKEN)) {
    if (token.startsWith('"') && /(?<!\\)(?:\\\\)*\\[ex]/.test(token)) return "the escapes \\e and \\x";
    if (token === "{" || token === "[") open.push(token);
    if (token === "}" && last === ",") return "a comma before }";
    if (token === "}" || token === "]") open.pop();
    if (token === "\n" && open.at(-1) === "{") return "a line break in { }";
    if (token.trim() && !token.startsWith("#")) last = token;
  }
  return null;
}
