// The frame around the views: place and time above, the problems of the box, the trial, and five tabs in reach of a thumb.

import { element, svgElement } from "/editor/dom.js";
import { act, sentenceOf } from "./box_api.js";
import { clockTime, text } from "./texts.js";
import { button, setText, show, value } from "./widgets.js";

const SOON_S = 300;
/** Faults of cameras and of the disk. The others are in the view of the checks. */
const PROBLEM_CODES = /^(CAM|STO)-/;
const MAX_LINES = 3;
const ICONS = {
  picture: "M4 8h3l2-3h6l2 3h3v11H4z M12 10a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7",
  scene: "M4 18L10 6l10 3-3 10z M4 18h.01 M10 6h.01 M20 9h.01 M17 19h.01",
  checks: "M4 6l2 2 3-4 M4 13l2 2 3-4 M4 20l2 1 3-3 M13 7h7 M13 14h7 M13 20h7",
  install: "M6 3h9l4 4v14H6z M9 13l2 2 4-4",
  box: "M4 8l8-4 8 4v9l-8 4-8-4z M4 8l8 4 8-4 M12 12v9",
};

/** The page after the login. `views` are functions that return `{ element, close }`. */
export class Shell {
  #views;
  #session;
  #status;
  #languageButtons;
  #view = null;
  #name = null;
  #parts = null;
  #onHash = () => this.#onAddress();
  /** Not while a finger is on the pad of a head: the page would scroll under it. */
  #onChange = () => document.querySelector(".pad .held") === null && this.#drawStatus();
  #onTick = () => this.#drawTime();
  #trialEnds_ms = 0;
  /** True once the box's first answer is drawn: from then on a finger may be on its way to a control. */
  #hasState = false;

  constructor({ views, session, status, languageButtons }) {
    this.#views = views;
    this.#session = session;
    this.#status = status;
    this.#languageButtons = languageButtons;
    addEventListener("hashchange", this.#onHash);
    status.addEventListener("change", this.#onChange);
    status.addEventListener("tick", this.#onTick);
  }

  /** Draw the whole page, in the language that is chosen now. */
  draw() {
    const { box, site } = this.#session;
    document.title = `Vigie: ${box}`;
    const main = element("main", { id: "main", tabindex: -1 });
    this.#parts = {
      main,
      count: element("span", { class: "count", "aria-hidden": "true" }),
      left: element("span", { class: "left" }),
      problems: element("div", { class: "problems", role: "status", "aria-live": "polite", "aria-label": text("state") }),
      trial: element("section", { class: "notice", hidden: true, "aria-label": text("trial") }),
      tabs: Object.keys(this.#views).map((name) => this.#tab(name)),
    };
    const { count, left, problems, trial, tabs } = this.#parts;
    show(
      document.body,
      element("a", { class: "skip", href: "#main", click: (event) => (event.preventDefault(), main.focus()) }, text("skip")),
      element("header", { class: "top" }, element("span", { class: "place" }, value(box), " · ", value(site)), count, left),
      problems,
      trial,
      main,
      element("nav", { class: "views", "aria-label": text("views") }, element("ul", {}, tabs.map((tab) => element("li", {}, tab)))),
    );
    this.#hasState = false;
    this.#drawStatus();
    this.#open(this.#wanted());
  }

  /** Close the view and forget the page's events. */
  close() {
    this.#view?.close?.();
    this.#view = null;
    removeEventListener("hashchange", this.#onHash);
    this.#status.removeEventListener("change", this.#onChange);
    this.#status.removeEventListener("tick", this.#onTick);
  }

  #tab(name) {
    const icon = svgElement("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svgElement("path", { d: ICONS[name] }));
    return element("a", { href: `#${name}`, "data-view": name }, icon, element("span", {}, text(`view_${name}`)));
  }

  /** Return the name of the view in the address, or of the first view: after the login the address has none. */
  #wanted() {
    const name = location.hash.slice(1);
    return name in this.#views ? name : Object.keys(this.#views)[0];
  }

  /** Open another view. The tab of the open one changes nothing: typed text, choices and the place on the page are kept. */
  #onAddress() {
    const name = this.#wanted();
    if (name === this.#name) return;
    this.#open(name);
    scrollTo(0, 0);
    this.#parts.main.focus({ preventScroll: true });
  }

  #open(name) {
    this.#name = name;
    this.#view?.close?.();
    for (const tab of this.#parts.tabs) {
      if (tab.dataset.view === name) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    this.#parts.problems.style.minBlockSize = "";
    this.#parts.main.dataset.view = name;
    this.#view = this.#views[name]({ session: this.#session, status: this.#status, languageButtons: this.#languageButtons });
    show(this.#parts.main, element("h1", {}, text(`view_${name}`)), this.#view.element);
  }

  #drawStatus() {
    const { problems } = this.#parts;
    // A line that is gone leaves its place until another view is opened: a page that is not scrolled cannot move down.
    if (this.#hasState) problems.style.minBlockSize = `${problems.getBoundingClientRect().height}px`;
    this.#keepPlace(() => this.#drawProblems(), this.#hasState || scrollY > 0);
    this.#hasState = this.#status.value !== null;
    // The buttons of a trial are the answer to a touch: at the begin of the page they come into sight.
    this.#keepPlace(() => this.#drawTrial(this.#status.trial), scrollY > 0);
    this.#drawTime();
  }

  /** Draw something above the view, which keeps its place under a finger, also in a browser without scroll anchoring. */
  #keepPlace(draw, isKept) {
    const { main } = this.#parts;
    const top_px = main.getBoundingClientRect().top;
    draw();
    const moved_px = main.getBoundingClientRect().top - top_px;
    if (isKept && moved_px !== 0) scrollBy({ top: moved_px, behavior: "instant" });
  }

  #drawProblems() {
    const { count, problems } = this.#parts;
    const { value: state, isUnreachable } = this.#status;
    const all = isUnreachable ? [text("no_answer")] : problemLines(state);
    // In sight when the lines are not. Its place stays.
    setText(count, `⚠ ${all.length}`);
    count.classList.toggle("none", all.length === 0);
    const lines = all.slice(0, MAX_LINES);
    const same = lines.length === problems.children.length && lines.every((line, at) => problems.children[at].textContent === line);
    if (!same) show(problems, lines.map((line) => element("p", {}, value(line))));
  }

  #drawTrial(trial) {
    const part = this.#parts.trial;
    const trialText = trial?.text ?? null;
    part.hidden = trialText === null;
    if (trialText === null) return show(part);
    this.#trialEnds_ms = performance.now() + 1000 * trial.remaining_s;
    if (part.dataset.trial === trialText && part.children.length > 0) return undefined;
    part.dataset.trial = trialText;
    const answer = element("p", { role: "alert" });
    const end = (name) => async () => {
      try {
        const { text: words } = await act(name);
        setText(answer, words);
      } catch (error) {
        setText(answer, sentenceOf(error));
      }
      this.#status.refresh();
    };
    show(
      part,
      element("p", {}, element("strong", {}, text("trial")), " ", value(trialText), " ", element("span", { class: "trial-left" })),
      element("div", { class: "row" }, button(text("trial_keep"), end("trial_confirm"), { class: "first" }), button(text("trial_undo"), end("trial_undo"))),
      answer,
    );
    return this.#drawTime();
  }

  #drawTime() {
    const { left, trial } = this.#parts;
    const left_s = this.#status.left_s;
    setText(left, text("time_left", { time: clockTime(left_s) }));
    // Out of reach the phone does not know whether the page is still on. Its place stays: the pad must not move.
    left.classList.toggle("unknown", this.#status.isUnreachable);
    left.classList.toggle("soon", left_s < SOON_S);
    const remaining = trial.querySelector(".trial-left");
    if (remaining !== null) setText(remaining, text("trial_left", { time: clockTime((this.#trialEnds_ms - performance.now()) / 1000) }));
  }
}

/** Return one line for each thing that keeps the box from its work: the agent, cameras, the disk. */
function problemLines(state) {
  if (state === null) return [];
  if (!state.is_current) return [`${text("agent")}: ${state.agent}`];
  const problems = (state.faults ?? []).filter(({ code }) => PROBLEM_CODES.test(code));
  return problems.map(({ code, subject, title }) => `${code} ${title} (${subject})`);
}
