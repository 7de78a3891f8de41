// The blocks of a TOML text: each `[table]` and `[[list]]` with its keys and the comments directly above it. Pure.
//
// vendor/toml-patch.js changes the keys of one block well. Given a whole file it loses the comment above a block that
// follows a deleted one, and writes new keys below it (3.3.0); so each block is changed, added and removed on its own.

const TOKEN = /"""[\s\S]*?(?<!\\)(?:\\\\)*"""|'''[\s\S]*?'''|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*|[{}[\],\n]|[^"'#{}[\],\n]+/g;
const HEADER = /^[ \t]*(\[\[?)[ \t]*(?:"([A-Za-z0-9_-]+)"|'([A-Za-z0-9_-]+)'|([A-Za-z0-9_-]+))[ \t]*\]/;

/** The tokens of a TOML text that matter to its structure, with their positions. */
export function* tomlTokens(text) {
  for (const match of text.matchAll(TOKEN)) yield { token: match[0], at: match.index };
}

/**
 * Split a text. Returns `{ root, blocks }`: the text before the first block, and blocks as `{ key, isList, above, body, below }`:
 * `above` is the comments directly above the header, `body` the header and the keys, `below` the rest up to the next
 * block. `key` is null if the header is no single name. The parts in their order are the text.
 */
export function splitBlocks(text) {
  const starts = headerStarts(text);
  const begins = starts.map((start) => beginOfComments(text, start));
  const blocks = starts.map((start, at) => {
    const whole = text.slice(start, begins[at + 1] ?? text.length);
    const end = endOfKeys(whole);
    const [, bracket, ...names] = HEADER.exec(whole) ?? [null, "", null];
    return { key: names.find(Boolean) ?? null, isList: bracket === "[[", above: text.slice(begins[at], start), body: whole.slice(0, end), below: whole.slice(end) };
  });
  return { root: text.slice(0, begins[0] ?? text.length), blocks };
}

export function joinBlocks({ root, blocks }) {
  return root + blocks.map(({ above, body, below }) => above + body + below).join("");
}

function headerStarts(text) {
  const starts = [];
  let depth = 0;
  let lineStart = 0;
  for (const { token, at } of tomlTokens(text)) {
    if (token === "\n") lineStart = at + 1;
    if (token === "[" || token === "{") {
      if (depth === 0 && token === "[" && !text.slice(lineStart, at).trim()) starts.push(lineStart);
      depth += 1;
    } else if (token === "]" || token === "}") {
      depth = Math.max(0, depth - 1);
    }
  }
  return starts;
}

/** The place from which comments without an empty line between belong to the header at `start`. */
function beginOfComments(text, start) {
  let begin = start;
  while (begin > 0) {
    const previous = text.lastIndexOf("\n", begin - 2) + 1;
    if (!/^[ \t]*#/.test(text.slice(previous, begin))) break;
    begin = previous;
  }
  return begin;
}

/** The end of the last line of a block that is neither empty nor a comment alone. */
function endOfKeys(whole) {
  let end = 0;
  let hasContent = false;
  const closeLine = (at) => {
    if (hasContent) end = at;
    hasContent = false;
  };
  for (const { token, at } of tomlTokens(whole)) {
    if (token === "\n") closeLine(at + 1);
    else if (!token.startsWith("#") && token.trim()) hasContent = true;
  }
  closeLine(whole.length);
  return end;
}
