// Faults with the runbook's sentence, the numbered checks in the console's words, and the test of the link.

import { element } from "/editor/dom.js";
import { act, actLines, sentenceOf } from "./box_api.js";
import { cameraChoice, chosenCamera } from "./camera_choice.js";
import { text } from "./texts.js";
import { button, setText, show, value, withCode } from "./widgets.js";
import { worker } from "./work.js";

const PINGS = 4;

/** Return the view. */
export function checksView({ session }) {
  const stopped = new AbortController();
  const options = { signal: stopped.signal };
  return {
    element: element("div", {}, faultsPart(options), checksPart(options), linkPart(options), dayNightPart(session, options)),
    close: () => stopped.abort(),
  };
}

function faultsPart(options) {
  const list = element("ul", { class: "items" });
  const { answer, work } = worker(options.signal);
  const read = async () => {
    const { agent, is_current, faults } = await act("faults", {}, options);
    show(list, (faults ?? []).map((fault) => faultItem(fault, options)));
    const found = faults === null ? text("faults_unknown") : text("faults_count", { count: faults.length });
    return is_current ? found : `${agent} · ${found}`;
  };
  const again = button(text("read_again"), () => work(again, read));
  work(again, read);
  return element("section", { "aria-label": text("faults") }, element("h2", {}, text("faults")), answer, list, element("div", { class: "row" }, again));
}

function faultItem(fault, options) {
  const meaning = element("p", { role: "status" });
  const more = element("details", { toggle: () => more.open && explain() }, element("summary", {}, text("fault_means")), meaning);

  async function explain() {
    try {
      setText(meaning, (await act("fault", { code: fault.code }, options)).means);
    } catch (error) {
      if (!options.signal.aborted) setText(meaning, sentenceOf(error));
    }
  }

  return element(
    "li",
    {},
    element("p", {}, element("strong", { class: "verdict", "data-ok": "false" }, value(fault.code)), " ", text("fault_line", { severity: fault.severity, title: fault.title, subject: fault.subject })),
    fault.detail ? element("p", { class: "words" }, fault.detail) : null,
    fault.advice ? element("p", { class: "advice" }, withCode(fault.advice)) : null,
    more,
  );
}

function checksPart(options) {
  const list = element("ol", { class: "items" });
  const items = new Map();
  const { answer, work } = worker(options.signal);

  async function run(args) {
    let failed = 0;
    for await (const check of actLines("check", args, options)) {
      draw(check);
      failed += isGood(check) ? 0 : 1;
    }
    return failed === 0 ? text("checks_passed") : text("checks_failed", { count: failed });
  }

  /** Draw a check: a new one that fails before those that do not, one that is run again in its place. */
  function draw(check) {
    const item = items.get(check.number) ?? element("li");
    if (!items.has(check.number)) {
      items.set(check.number, item);
      list.insertBefore(item, isGood(check) ? null : list.querySelector('[data-good="true"]'));
      item.dataset.good = String(isGood(check));
    }
    const again = button(text("again"), () => work(again, () => run({ numbers: [check.number] })), { "aria-label": text("check_again", { number: check.number, name: check.name }) });
    show(item, element("div", { class: "finding" }, element("span", { class: "number" }, String(check.number)), element("strong", {}, value(check.name)), check.results.map(findings)), element("div", { class: "row" }, again));
    item.dataset.number = String(check.number);
  }

  const all = button(text("run_checks"), () => work(all, () => (items.clear(), show(list), run({}))), { class: "first" });
  return element("section", { "aria-label": text("checks") }, element("h2", {}, text("checks")), element("div", { class: "row" }, all), answer, list);
}

/** Return true if none of a check's results is bad. */
function isGood(check) {
  return check.results.every(({ ok }) => ok !== false);
}

/** Return the paragraphs of one result: verdict, code, subject and message as the console prints them, then the advice. */
function findings(result) {
  return [
    element(
      "p",
      {},
      element("span", { class: "verdict", "data-ok": String(result.ok) }, verdictOf(result.ok)),
      " ",
      result.ok === false && result.is_fault && result.code ? [element("span", { class: "code" }, value(result.code)), " "] : null,
      value(result.subject),
      ": ",
      value(result.message),
    ),
    result.ok === false && result.advice ? element("p", { class: "advice" }, withCode(result.advice)) : null,
  ];
}

function verdictOf(ok) {
  return ok === null ? "–" : text(ok ? "pass" : "fail");
}

function linkPart(options) {
  const list = element("ul", { class: "items" });
  const { answer, work } = worker(options.signal);

  async function run() {
    show(list);
    let failed = null;
    for await (const check of actLines("net", {}, options)) {
      list.append(element("li", {}, element("strong", {}, value(check.name)), check.results.map(findings)));
      if (failed === null && !isGood(check)) failed = check.name;
    }
    for await (const result of actLines("mqtt_ping", { count: PINGS }, options)) list.append(element("li", {}, findings(result)));
    return failed === null ? text("link_good") : text("link_begin", { check: failed });
  }

  async function search() {
    show(list);
    for await (const result of actLines("devices", {}, options)) list.append(element("li", {}, findings(result)));
  }

  const test = button(text("test_link"), () => work(test, run), { class: "first" });
  const find = button(text("find_devices"), () => work(find, search));
  return element("section", { "aria-label": text("link") }, element("h2", {}, text("link")), element("div", { class: "row" }, test, find), answer, list);
}

/** The test of day and night of the chosen camera: its mode, filter, lamp and picture, and back. */
function dayNightPart(session, options) {
  const list = element("ul", { class: "items" });
  const { answer, work } = worker(options.signal);

  async function run() {
    show(list);
    let failed = 0;
    for await (const result of actLines("day_night", { camera: chosenCamera(session) }, options)) {
      list.append(element("li", {}, findings(result)));
      failed += result.ok === false ? 1 : 0;
    }
    return failed === 0 ? text("checks_passed") : text("checks_failed", { count: failed });
  }

  const test = button(text("test_day_night"), () => work(test, run), { class: "first", disabled: chosenCamera(session) === null });
  return element("section", { "aria-label": text("day_night") }, element("h2", {}, text("day_night")), element("p", {}, text("day_night_how")), cameraChoice(session, () => show(list)), element("div", { class: "row" }, test), answer, list);
}
