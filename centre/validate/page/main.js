// The page of `vigie validate count`: a person counts the crossings of a film by keys.

import { element } from "../dom.js";
import { LANGUAGES, preferredLanguage, Texts } from "../texts.js";
import { Autosave } from "./autosave.js";
import { CountState } from "./count_state.js";
import { CrossingList, formatTime } from "./crossing_list.js";
import { Film, RATES } from "./film.js";
import { Keypad } from "./keypad.js";
import { Overlay } from "./overlay.js";

const JUMP_S = 2;
/** How far the film is counted is saved so often while it plays; a crossing at once. */
const SAVE_STEP_S = 5;
const DEFAULT_NAMES = { "A->B": "forward", "B->A": "backward" };

class CountPage {
  #texts = new Texts(JSON.parse(document.getElementById("texts").textContent), preferredLanguage());
  #bound = [];
  #selected = null;
  #saved_s = 0;
  #status = ["saved", ""];

  constructor(root, count) {
    this.root = root;
    this.count = count;
    this.state = new CountState(count.film.duration_s, count.saved);
    this.#saved_s = count.saved.counted;
    this.autosave = new Autosave(count.saved.revision, (state, message = "") => {
      this.#status = [state, message];
      this.#renderStatus();
    });
    this.video = element("video", { "aria-hidden": "true", tabindex: "-1" });
    Object.assign(this.video, { muted: true, playsInline: true, preload: "auto" });
    this.film = new Film(this.video, count.film.fps, {
      onShown: (from_s, shown_s) => this.#onShown(from_s, shown_s),
      onChange: () => this.#onChange(),
      onEnd: (shown_s) => { this.state.end(shown_s); this.#save(); this.render(); },
      onRefused: () => this.#refuse(),
    });
    const words = { t: (key, values) => this.t(key, values), directionName: (direction) => this.directionName(direction) };
    this.keypad = new Keypad(count.line.labels, { ...words, onKey: (direction, label) => this.key(direction, label) });
    this.list = new CrossingList({ ...words, act: {
      select: (one) => this.select(one),
      change: (one, fields) => this.#edit(this.state.change(one, fields)),
      settle: (one, fields) => this.#edit(this.state.settle(one, fields)),
      setTime: (one) => this.#edit(this.state.setTime(one, this.film.shown_s)),
      remove: (one) => { this.state.remove(one); this.#edit(null); },
      deselect: () => this.select(null),
    } });
    this.#build();
    document.addEventListener("keydown", (event) => this.#onKeyDown(event));
    addEventListener("beforeunload", (event) => { if (!this.autosave.isSaved) event.preventDefault(); });
    this.setLanguage(this.#texts.language);
    this.keypad.ready.then(() => this.render());
  }

  t(key, values) { return this.#texts.text(key, values); }

  directionName(direction) {
    const { forward_name, backward_name } = this.count.line;
    const name = direction === "A->B" ? forward_name : backward_name;
    return name === DEFAULT_NAMES[direction] ? this.t(`count_${name}`) : name;
  }

  async open() { await this.film.open("film", this.state.isWhole ? 0 : this.state.counted_s); }

  setLanguage(language) {
    this.#texts.language = language;
    Object.assign(document.documentElement, { lang: language, dir: this.#texts.direction });
    this.root.dir = this.#texts.direction;
    document.title = this.t("count_title");
    for (const set of this.#bound) set();
    for (const button of this.languages.children) button.setAttribute("aria-pressed", String(button.dataset.lang === language));
    this.render();
  }

  // ---- what a person does

  /** Count a crossing at the picture that is shown; with one selected, change that one. */
  key(direction, label) {
    const one = this.#selected;
    if (one?.claims?.length) this.#edit(this.state.settle(one, { dir: direction, class: label, sure: true }));
    else if (one) this.#edit(this.state.change(one, { dir: direction, class: label }));
    else {
      const rate = this.film.isPlaying ? this.film.rate : 0;
      const added = this.state.add({ t_s: this.film.shown_s, place: this.overlay.takePlace(), direction, label, rate });
      this.#edit(null);
      this.announce.textContent = this.list.describe(added);
    }
  }

  select(one) {
    this.#selected = one;
    if (one) {
      this.film.pause();
      this.film.seek(one.t);
    }
    this.render();
  }

  undo() {
    this.state.undo();
    this.#edit(this.state.has(this.#selected) ? this.#selected : null);
  }

  nextDispute() {
    const { disputed } = this.state;
    const after = disputed.find((one) => one.t > (this.#selected?.t ?? this.film.shown_s - JUMP_S)) ?? disputed[0];
    if (after) this.select(after);
  }

  #place(place) {
    if (this.#selected && !this.film.isPlaying && place !== null) this.#edit(this.state.change(this.#selected, { pos: place }));
  }

  #edit(selected) {
    this.#selected = selected;
    this.#save();
    this.render();
  }

  #save() {
    this.#saved_s = this.state.counted_s;
    this.autosave.save({ counted: this.state.counted_s, crossings: this.state.crossings });
  }

  // ---- the film

  #onShown(from_s, shown_s) {
    this.state.advance(from_s, shown_s);
    if (this.state.counted_s - this.#saved_s >= SAVE_STEP_S) this.#save();
    this.#renderTime();
  }

  #onChange() {
    if (this.film.isPlaying) this.#selected = null;
    else if (this.state.counted_s > this.#saved_s) this.#save();
    this.render();
  }

  #refuse() {
    this.refused.hidden = false;
    this.refused.textContent = this.t("count_film_refused", { film: this.count.film.name });
  }

  // ---- keys

  #onKeyDown(event) {
    if (event.altKey || event.target.matches("select, input:not([type=range])")) return;
    if (event.ctrlKey || event.metaKey) {
      if (event.code === "KeyZ" && !event.shiftKey) { this.undo(); event.preventDefault(); }
      return;
    }
    const isControl = event.target.matches("button, summary, input");
    if (this.#shortcut(event, isControl)) event.preventDefault();
  }

  /** Do what a key says; true if it says something. A control that has the focus keeps the keys of controls. */
  #shortcut(event, isControl) {
    const { code, key, shiftKey, repeat } = event;
    const counted = shiftKey ? undefined : this.keypad.find(code);
    const side = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (side && !event.target.matches("input")) {
      if (shiftKey) this.film.seek(this.film.shown_s + side * JUMP_S);
      else this.film.step(side);
    } else if (isControl && [" ", "Enter"].includes(key)) return false;
    // A key that is held counts once.
    else if (repeat) return counted !== undefined || key === " ";
    else if (counted) this.key(counted.direction, counted.label);
    else if (key === " ") this.film.toggle();
    else if (/^Digit[1-5]$/.test(code)) this.film.rate = RATES[code.slice(-1) - 1];
    else if (key === "Backspace") this.undo();
    else if (key === "Delete" && this.#selected) { this.state.remove(this.#selected); this.#edit(null); }
    else if (key === "Enter" && this.#selected) this.#edit(this.state.setTime(this.#selected, this.film.shown_s));
    else if (key === "Escape") this.select(null);
    else return false;
    return true;
  }

  // ---- the page

  #build() {
    const { count } = this;
    const text = (tag, key, attributes = {}, values = {}) => {
      const node = element(tag, attributes);
      this.#bound.push(() => { node.textContent = this.t(key, values); });
      return node;
    };
    const named = (node, key) => {
      this.#bound.push(() => node.setAttribute("aria-label", this.t(key)));
      return node;
    };
    const button = (name, key, onClick) => text("button", key, { type: "button", "data-action": name, click: onClick });
    this.languages = named(element("div", { class: "languages", role: "group" }, Object.entries(LANGUAGES).map(([code, name]) => element(
      "button", { type: "button", "data-lang": code, lang: code, click: () => this.setLanguage(code) }, name,
    ))), "group_language");
    this.stage = named(element("div", { class: "count-stage", tabindex: "0", role: "group" }, this.video), "count_stage");
    this.stage.style.aspectRatio = `${count.film.width_px} / ${count.film.height_px}`;
    this.stage.style.maxWidth = `calc(52vh * ${count.film.width_px / count.film.height_px})`;
    this.overlay = new Overlay(this.stage, count, (place) => this.#place(place));
    this.refused = element("p", { class: "problem", role: "alert" });
    this.refused.hidden = true;
    this.play = element("button", { type: "button", "data-action": "play", class: "primary", click: () => this.film.toggle() });
    this.rates = named(element("div", { class: "buttons", role: "group" }, RATES.map((rate, index) => element(
      "button", { type: "button", class: "small", "data-rate": rate, click: () => { this.film.rate = rate; } },
      element("kbd", { "aria-hidden": "true" }, String(index + 1)), `${rate} ×`,
    ))), "count_rates");
    this.clock = element("span", { class: "count-clock", dir: "ltr" });
    this.scrub = named(element("input", { type: "range", min: "0", max: count.film.duration_s, step: "0.01", value: "0", dir: "ltr" }), "replay_time");
    this.scrub.addEventListener("input", () => { this.#selected = null; this.film.seek(Number(this.scrub.value)); });
    this.progress = named(element("progress", { max: count.film.duration_s, value: "0", dir: "ltr" }), "count_progress");
    this.counted = element("span", { class: "count-counted" });
    this.back = button("undo", "action_undo", () => this.undo());
    this.status = element("p", { class: "status", role: "status" });
    this.announce = element("div", { class: "count-announce", "aria-live": "polite" });
    this.disputes = element("p");
    this.next = button("next-dispute", "count_next_dispute", () => this.nextDispute());
    this.disputed = element("div", { class: "count-disputed" }, this.disputes, this.next);
    this.listTitle = element("h2");
    const transport = element("div", { class: "buttons count-transport" },
      this.play, button("back", "count_back", () => this.film.step(-1)), button("forward", "count_step", () => this.film.step(1)),
      this.rates, this.back, this.clock);
    this.root.append(
      element("header", { class: "heading" }, text("h1", "count_title"),
        element("span", { class: "file-name" }, element("bdi", {}, `${count.film.name} · ${count.line.name} · ${count.by}`)), this.languages),
      this.refused,
      element("div", { class: "work count-work" },
        element("div", { class: "stage-box" }, this.stage, this.scrub,
          element("div", { class: "count-progress" }, this.progress, this.counted), transport, this.keypad.node, this.announce),
        element("div", { class: "side" }, this.status, this.disputed, this.listTitle, this.list.detail, this.list.list,
          element("details", { class: "help" }, text("summary", "count_help"), text("p", "count_help_text")))),
    );
    // After a press with a pointer the keys go to the film again.
    this.root.addEventListener("click", (event) => {
      if (event.detail > 0 && event.target.closest(".stage-box button, .count-crossings button")) this.stage.focus({ preventScroll: true });
    });
  }

  render() {
    const { state } = this;
    if (this.#selected && !state.has(this.#selected)) this.#selected = null;
    this.keypad.render(state, this.#texts.language);
    this.play.replaceChildren(element("kbd", { "aria-hidden": "true" }, this.t("count_space")), this.t(this.film.isPlaying ? "replay_pause" : "replay_play"));
    for (const button of this.rates.children) button.setAttribute("aria-pressed", String(Number(button.dataset.rate) === this.film.rate));
    this.back.disabled = !state.canUndo;
    this.disputed.hidden = !state.disputed.length;
    this.disputes.textContent = this.t("count_disputes", { count: state.disputed.length });
    this.listTitle.textContent = this.t("count_crossings", { count: state.crossings.length });
    this.list.renderDetail(this.#selected);
    this.#renderStatus();
    this.#renderTime();
  }

  #renderTime() {
    const { state, film } = this;
    const { duration_s } = this.count.film;
    this.scrub.value = String(film.shown_s);
    this.scrub.setAttribute("aria-valuetext", formatTime(film.shown_s));
    this.clock.textContent = `${formatTime(film.shown_s)} / ${formatTime(duration_s)}`;
    this.progress.value = state.counted_s;
    this.counted.textContent = state.isWhole ? this.t("count_whole") : this.t("count_counted", { time: formatTime(state.counted_s) });
    this.overlay.draw(film.shown_s, state.crossings, this.#selected);
    this.list.render(state, this.#selected, film.shown_s);
  }

  #renderStatus() {
    const [state, message] = this.#status;
    this.status.textContent = this.t(`count_status_${state}`, { message, count: this.state.crossings.length });
    this.status.dataset.state = state;
  }
}

async function start() {
  const reply = await fetch("count");
  const page = new CountPage(document.getElementById("count"), await reply.json());
  await page.open();
}

start();
