// Values in a message as Python's `repr` prints them, so that the page and `vigie check-config` say the same.

const FIXED_EXPONENTS = [-4, 16];
const SHORT_ESCAPES = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const UNPRINTABLE = /[\p{C}\p{Z}]/u;

export function formatFloat(value) {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  const [mantissa, exponentText] = value.toExponential().split("e");
  const exponent = Number(exponentText);
  if (exponent < FIXED_EXPONENTS[0] || exponent >= FIXED_EXPONENTS[1]) {
    const sign = exponent < 0 ? "-" : "+";
    return `${mantissa}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  const minus = mantissa.startsWith("-") ? "-" : "";
  const digits = mantissa.replace(/[-.]/g, "");
  if (exponent < 0) return `${minus}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${minus}${whole}.${digits.slice(exponent + 1) || "0"}`;
}

export function formatString(text) {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = [...text].map((character) => {
    if (character === quote) return `\\${quote}`;
    if (character in SHORT_ESCAPES) return SHORT_ESCAPES[character];
    return character !== " " && UNPRINTABLE.test(character) ? escapeCode(character.codePointAt(0)) : character;
  });
  return `${quote}${escaped.join("")}${quote}`;
}

function escapeCode(code) {
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

/** A value of a TOML file, whose whole numbers are BigInt. */
export function formatValue(value) {
  if (typeof value === "boolean") return String(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return formatFloat(value);
  if (typeof value === "string") return formatString(value);
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return value.toISOString().replace("T", " ").replace(/Z$/, "+00:00");
  return "a table";
}

export function formatPoints(points) {
  return `[${points.map((point) => `[${point.map((value) => formatFloat(Number(value))).join(", ")}]`).join(", ")}]`;
}
