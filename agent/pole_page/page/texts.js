// The page's own sentences in the technician's language. Verdicts, advice and errors come from the box.

export const LANGUAGES = { en: "English", fr: "Français", ar: "العربية" };
const RIGHT_TO_LEFT = new Set(["ar"]);
const FIRST_STRONG_ISOLATE = "\u2068";
const POP_ISOLATE = "\u2069";
let sentences = {};
let current = "en";

/** Load the sentences of a language, and turn the page in its direction. */
export async function useLanguage(language) {
  const chosen = language in LANGUAGES ? language : "en";
  const response = await fetch(`/page/texts/${chosen}.json`);
  sentences = await response.json();
  current = chosen;
  document.documentElement.lang = chosen;
  document.documentElement.dir = RIGHT_TO_LEFT.has(chosen) ? "rtl" : "ltr";
}

/** Return the language in use. */
export function language() {
  return current;
}

/** Return a sentence with its values, each isolated: a name must not turn the line around it. */
export function text(key, values = {}) {
  const sentence = sentences[key];
  if (sentence === undefined) throw new Error(`no text ${key}`);
  return sentence.replace(/\{(\w+)\}/g, (_, name) => FIRST_STRONG_ISOLATE + format(values[name]) + POP_ISOLATE);
}

/** Return a number in the language's form, with Western digits as the console prints them. */
export function format(value, digits = undefined) {
  if (typeof value !== "number") return String(value);
  const options = digits === undefined ? { maximumFractionDigits: 1 } : { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(`${current}-u-nu-latn`, options).format(value);
}

/** Return a time of RFC 3339 as a date and time of day, in UTC as the certificate has it. */
export function dateTime(time) {
  const options = { dateStyle: "long", timeStyle: "short", hourCycle: "h23", timeZone: "UTC" };
  return `${new Intl.DateTimeFormat(`${current}-u-nu-latn`, options).format(new Date(time))} UTC`;
}

/** Return seconds as minutes and seconds, such as 4:05. */
export function clockTime(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
