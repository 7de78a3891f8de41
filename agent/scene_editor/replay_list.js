// The panel of a replay: the film's controls, the filter, the counts of each line, and the list of events.

import { element } from "./dom.js";
import { filterEvents, LineCounter } from "./replay_data.js";

/** A list of a busy junction has thousands of events: a browser lays out so many at once. */
const PAGE_EVENTS = 100;

export class ReplayList {
  #editor;
  #replay;
  #nodes = {};
  #counter = null;
  #page = 0;
  #current = -1;
  filtered = [];

  constructor(editor, replay, container) {
    this.#editor = editor;
    this.#replay = replay;
    this.#build(container);
    editor.on("language", () => this.update());
    this.update();
  }

  get wantsTracks() { return this.#nodes.tracks.checked; }

  /** One event in words, for the list and for screen readers. */
  describe(event) {
    const { t } = this.#texts();
    const parts = [formatTime(event.shown_s), this.shortText(event)];
    if (event.label !== null) parts.push(t(`user_${event.label}`));
    if (event.count !== null) parts.push(t("replay_event_count", { count: event.count }));
    return parts.join(t("comma"));
  }

  shortText(event) {
    return [kindText(this.#editor, event.kind), event.name, event.direction].filter((part) => part !== null).join(" · ");
  }

  /** Show everything again: other files, another filter or language. */
  update() {
    const { t } = this.#texts();
    const { events } = this.#replay.counted;
    this.#counter = new LineCounter(this.#replay.counted);
    for (const [key, textKey] of [
      ["hint", this.#replay.isServed ? "count_hint" : "replay_hint"], ["previous", "replay_previous"], ["next", "replay_next"], ["tracksText", "replay_show_tracks"],
      ["kindText", "replay_kind"], ["nameText", "replay_element"], ["countsTitle", "replay_counts"], ["scrubText", "replay_time"],
      ["earlier", "replay_earlier"], ["later", "replay_later"],
    ]) this.#nodes[key].textContent = t(textKey);
    fillSelect(this.#nodes.kind, t("replay_all"), unique(events.map((event) => event.kind)), (kind) => kindText(this.#editor, kind));
    fillSelect(this.#nodes.name, t("replay_all"), unique(events.map((event) => event.name)), (name) => name);
    this.#filter();
  }

  /** Show the time, and what was counted up to it. */
  updateTime() {
    const { t } = this.#texts();
    const { now_s, duration_s, hasFilm, isPlaying } = this.#replay;
    const nodes = this.#nodes;
    nodes.play.disabled = !hasFilm;
    nodes.scrub.disabled = !hasFilm;
    nodes.play.textContent = t(isPlaying ? "replay_pause" : "replay_play");
    nodes.scrub.max = String(duration_s);
    nodes.scrub.value = String(now_s);
    nodes.scrub.setAttribute("aria-valuetext", formatTime(now_s));
    nodes.time.textContent = `${formatTime(now_s)} / ${formatTime(duration_s)}`;
    this.#showCounts(now_s);
    this.#showCurrent(now_s);
  }

  #texts() {
    return { t: (key, values) => this.#editor.t(key, values) };
  }

  #build(container) {
    const nodes = this.#nodes;
    const button = (key, onClick) => {
      nodes[key] = element("button", { type: "button", click: onClick });
      return nodes[key];
    };
    const labelled = (key, textKey, control) => {
      nodes[textKey] = element("span");
      nodes[key] = control;
      const isCheck = control.type === "checkbox";
      return element("label", { class: isCheck ? "field tick" : "field" }, ...(isCheck ? [control, nodes[textKey]] : [nodes[textKey], control]));
    };
    nodes.hint = element("p", { class: "hint" });
    nodes.time = element("span", { class: "replay-clock", dir: "ltr" });
    nodes.scrub = element("input", { type: "range", min: "0", step: "0.04", value: "0", dir: "ltr" });
    nodes.scrub.addEventListener("input", () => this.#replay.seek(Number(nodes.scrub.value)));
    const tracks = element("input", { type: "checkbox" });
    tracks.checked = true;
    tracks.addEventListener("change", () => this.#editor.render());
    nodes.countsTitle = element("h3");
    nodes.counts = element("table", { class: "replay-counts" });
    // Keys can scroll it where it is wider than a phone.
    nodes.countsBox = element("div", { class: "replay-counts-box", role: "group", tabindex: "0" }, nodes.counts);
    nodes.summary = element("p", { class: "replay-summary" });
    nodes.list = element("ol", { class: "replay-events" });
    nodes.list.addEventListener("click", (click) => {
      const row = click.target.closest("button[data-index]");
      if (row) this.#jump(Number(row.dataset.index));
    });
    const transport = element("div", { class: "replay-transport" });
    transport.append(
      button("play", () => this.#replay.toggle()),
      button("previous", () => this.#jump(this.#before())),
      button("next", () => this.#jump(this.#after())),
      nodes.time,
    );
    const filter = element("div", { class: "replay-filter" });
    for (const [key, textKey] of [["kind", "kindText"], ["name", "nameText"]]) {
      filter.append(labelled(key, textKey, element("select")));
      nodes[key].addEventListener("change", () => this.#filter());
    }
    const pages = element("div", { class: "replay-pages" });
    pages.append(button("earlier", () => this.#turn(-1)), nodes.summary, button("later", () => this.#turn(1)));
    container.append(
      nodes.hint, transport, labelled("scrub", "scrubText", nodes.scrub), labelled("tracks", "tracksText", tracks),
      nodes.countsTitle, nodes.countsBox, filter, pages, nodes.list,
    );
  }

  #filter() {
    const { kind, name } = this.#nodes;
    this.filtered = filterEvents(this.#replay.counted.events, kind.value, name.value);
    this.#page = 0;
    this.#current = -1;
    this.#showPage();
    this.updateTime();
    this.#editor.render();
  }

  #turn(pages) {
    const last = Math.max(0, Math.ceil(this.filtered.length / PAGE_EVENTS) - 1);
    this.#page = Math.min(last, Math.max(0, this.#page + pages));
    this.#showPage();
  }

  #showPage() {
    const { t } = this.#texts();
    const from = this.#page * PAGE_EVENTS;
    const events = this.filtered.slice(from, from + PAGE_EVENTS);
    const { list, summary, earlier, later } = this.#nodes;
    list.setAttribute("start", String(from + 1));
    list.replaceChildren(...events.map((event, offset) => {
      const jump = element("button", { type: "button", "data-index": from + offset }, this.describe(event));
      return element("li", {}, jump);
    }));
    earlier.disabled = from === 0;
    later.disabled = from + PAGE_EVENTS >= this.filtered.length;
    summary.textContent = this.filtered.length
      ? t("replay_events", { from: from + 1, to: from + events.length, count: this.filtered.length })
      : t(this.#replay.isServed ? "count_no_events" : "replay_no_events");
    this.#current = -1;
  }

  #showCounts(now_s) {
    const { t } = this.#texts();
    const wanted = this.#nodes.name.value;
    const rows = this.#counter.at(now_s).filter(({ name }) => !wanted || name === wanted);
    this.#nodes.countsTitle.hidden = rows.length === 0;
    const hasSpeeds = rows.some(({ speeds }) => speeds.length > 0);
    const ofSpeeds = (text) => (hasSpeeds ? [text] : []);
    const head = tableRow("th", [t("replay_line"), t("replay_direction"), t("replay_so_far"), t("replay_total"), ...ofSpeeds(t("replay_speeds"))]);
    this.#nodes.countsBox.hidden = rows.length === 0;
    this.#nodes.countsBox.setAttribute("aria-label", t("replay_counts"));
    this.#nodes.counts.replaceChildren(head, ...rows.map(({ name, direction, so_far, total, labels, speeds }) =>
      tableRow("td", [name, direction, so_far, this.#totalText(total, labels), ...ofSpeeds(speeds.join(t("comma")))])));
  }

  /** The sum, and the road users by class: 3 (car 2, bus 1) */
  #totalText(total, labels) {
    const { t } = this.#texts();
    const words = labels.map(([label, count]) => `${t(`user_${label}`)} ${count}`);
    return words.length ? `${total} (${words.join(t("comma"))})` : total;
  }

  /** Mark the newest event of the time that is shown. */
  #showCurrent(now_s) {
    const current = this.#lastBy(now_s);
    if (current === this.#current) return;
    this.#current = current;
    for (const row of this.#nodes.list.querySelectorAll("[aria-current]")) row.removeAttribute("aria-current");
    const row = this.#nodes.list.querySelector(`[data-index="${current}"]`);
    if (row) row.setAttribute("aria-current", "time");
  }

  #lastBy(now_s) {
    return this.filtered.findLastIndex((event) => event.shown_s <= now_s);
  }

  #before() {
    const current = this.#lastBy(this.#replay.now_s);
    return Math.max(0, current - 1);
  }

  #after() {
    return Math.min(this.filtered.length - 1, this.#lastBy(this.#replay.now_s) + 1);
  }

  #jump(index) {
    const event = this.filtered[index];
    if (!event) return;
    const page = Math.floor(index / PAGE_EVENTS);
    if (page !== this.#page) {
      this.#page = page;
      this.#showPage();
    }
    this.#replay.jump(event);
    this.#nodes.list.querySelector(`[data-index="${index}"]`)?.scrollIntoView({ block: "nearest" });
  }
}

/** A kind that this page has no words for is shown as it is. */
function kindText(editor, kind) {
  const text = editor.t(`event_${kind}`);
  return text === `event_${kind}` ? kind : text;
}

function unique(values) {
  return [...new Set(values.filter((value) => value !== null))].sort();
}

function fillSelect(select, all, values, text) {
  const chosen = select.value;
  const option = (value, shown) => element("option", { value }, shown);
  select.replaceChildren(option("", all), ...values.map((value) => option(value, text(value))));
  select.value = values.includes(chosen) ? chosen : "";
}

function tableRow(tag, values) {
  const attributes = tag === "th" ? { scope: "col" } : {};
  return element("tr", {}, ...values.map((value) => element(tag, attributes, String(value))));
}

/** Minutes, seconds and tenths: 1:05.3 */
function formatTime(t_s) {
  const tenths = Math.floor(t_s * 10 + 1e-6);
  return `${Math.floor(tenths / 600)}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
}
