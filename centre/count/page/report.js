// Language of the report, and the marks of the drawn crossings. The document is the state: a saved page is its own markup.

const Z_95 = 1.959963984540054;
const MARK_KEYS = { Digit1: "right", Numpad1: "right", Digit2: "wrong_class", Numpad2: "wrong_class", Digit3: "no_such", Numpad3: "no_such" };
const URL_LIFE_MS = 60_000;
const texts = JSON.parse(document.getElementById("texts").textContent);
const root = document.documentElement;
const cards = [...document.querySelectorAll(".card")];
let unsaved = false;

// ---- language

/** A text with its placeholders replaced, as `fill` in report_texts.py does it. */
function fill(text, values) {
  const format = (value) => typeof value === "string" ? `\u2068${value}\u2069` : root.lang === "en" ? String(value) : String(value).replace(".", ",");
  return text.replace(/\{(\w+)\}/g, (whole, name) => name in values ? format(values[name]) : whole);
}

function show(element) {
  const values = JSON.parse(element.dataset.values ?? "{}");
  // A value may be the key of a text: a direction that has no name of its own, or a class.
  for (const [name, key] of Object.entries(JSON.parse(element.dataset.keys ?? "{}"))) values[name] = texts[root.lang][key];
  const text = fill(texts[root.lang][element.dataset.text], values);
  if (element.dataset.into) element.setAttribute(element.dataset.into, text);
  else element.textContent = text;
}

function setText(element, key, values = {}) {
  element.dataset.text = key;
  element.dataset.values = JSON.stringify(values);
  show(element);
}

function chooseLanguage(language) {
  root.lang = language;
  root.dir = language === "ar" ? "rtl" : "ltr";
  for (const element of document.querySelectorAll("[data-text]")) show(element);
  for (const button of document.querySelectorAll("[data-lang]")) button.setAttribute("aria-pressed", String(button.dataset.lang === language));
}

// ---- marks

const markOf = (card) => card.querySelector("[aria-pressed=true]")?.dataset.mark ?? null;

/** Mark a crossing, or remove its mark if it has this one. */
function mark(card, name) {
  const removed = markOf(card) === name;
  for (const button of card.querySelectorAll("[data-mark]")) button.setAttribute("aria-pressed", String(!removed && button.dataset.mark === name));
  unsaved = true;
  state();
}

/** The 95 % interval of a share, by Wilson's score, in percent. */
function wilson(hits, cases) {
  const share = hits / cases, z2 = Z_95 * Z_95;
  const middle = (share + z2 / (2 * cases)) / (1 + z2 / cases);
  const half = Z_95 * Math.sqrt(share * (1 - share) / cases + z2 / (4 * cases * cases)) / (1 + z2 / cases);
  return { low: Math.round(100 * Math.max(0, middle - half)), high: Math.round(100 * Math.min(1, middle + half)) };
}

/** State the error of the crossings that are marked. */
function state() {
  const marks = cards.map(markOf).filter((name) => name !== null);
  const looked = marks.length, missing = marks.filter((name) => name === "no_such").length;
  const wrong = missing + marks.filter((name) => name === "wrong_class").length;
  const [progress, statement, presence] = ["progress-text", "statement", "statement-presence"].map((id) => document.getElementById(id));
  document.getElementById("progress").setAttribute("value", String(looked));
  setText(progress, "progress", { looked, count: cards.length });
  if (looked) setText(statement, "statement", { looked, wrong, ...wilson(wrong, looked) });
  else setText(statement, "statement_none");
  presence.hidden = !looked;
  if (looked) setText(presence, "statement_presence", { wrong: missing, ...wilson(missing, looked) });
}

function focusNext(card) {
  const after = cards.slice(cards.indexOf(card) + 1);
  const next = after.find((one) => markOf(one) === null) ?? cards.find((one) => markOf(one) === null);
  if (!next) return;
  next.querySelector("[data-mark]").focus({ preventScroll: true });
  next.scrollIntoView({ block: "end" });
}

// ---- saving

function save() {
  const own = decodeURIComponent(location.pathname.split("/").at(-1)).replace(/(-marked)?\.html?$/, "");
  const link = document.createElement("a");
  link.download = `${own || "report"}-marked.html`;
  link.href = URL.createObjectURL(new Blob([`<!DOCTYPE html>\n${root.outerHTML}\n`], { type: "text/html" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), URL_LIFE_MS);
  unsaved = false;
}

for (const button of document.querySelectorAll("[data-lang]")) button.addEventListener("click", () => chooseLanguage(button.dataset.lang));
document.getElementById("print").addEventListener("click", () => print());
for (const button of document.querySelectorAll(".save")) button.addEventListener("click", save);
for (const card of cards) {
  for (const button of card.querySelectorAll("[data-mark]")) button.addEventListener("click", () => mark(card, button.dataset.mark));
  card.addEventListener("keydown", (event) => {
    const name = MARK_KEYS[event.code];
    if (!name || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const removed = markOf(card) === name;
    mark(card, name);
    if (!removed) focusNext(card);
  });
}
addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
