// A count of the film with the scene as it is drawn, by the command that serves the page: `vigie scene edit FILM`.
//
// The command answers the text of the scene with lines of text: events and tracks as in the files of `vigie replay`, the
// time that is counted, and at the end `whole`. Without that line nothing is shown, because a part would count too little.

import { element } from "./dom.js";
import { EVENT_LIMITS, EventCollector, LineReader, RefusedFile, TRACK_LIMITS, TrackCollector } from "./replay_data.js";
import { readText } from "./text_stream.js";

const LIMITS = { lines: EVENT_LIMITS.lines + TRACK_LIMITS.lines, line_chars: EVENT_LIMITS.line_chars };

export class FilmCount {
  #editor;
  #film;
  #onCounted;
  #nodes = {};
  #running = null;
  #played_s = 0;
  #countedText = null;
  #problem = null;

  /** `film` is that of `options.data`; `onCounted(events, tracks)` gets each count that is whole. */
  constructor(editor, film, onCounted) {
    this.#editor = editor;
    this.#film = film;
    this.#onCounted = onCounted;
    for (const event of ["change", "open", "language"]) editor.on(event, () => this.update());
  }

  mount(container) {
    const nodes = this.#nodes;
    nodes.button = element("button", { type: "button", class: "primary", "data-action": "count-film", click: () => this.#toggle() });
    nodes.progress = element("progress", { max: this.#film.duration_s || false });
    nodes.state = element("p", { class: "film-count-state", role: "status" });
    container.append(element("div", { class: "film-count" }, nodes.button, nodes.progress), nodes.state);
    this.update();
  }

  update() {
    const { button, progress, state } = this.#nodes;
    if (!button) return;
    const isRunning = this.#running !== null;
    button.textContent = this.#editor.t(isRunning ? "count_stop" : "count_film");
    progress.setAttribute("aria-label", this.#editor.t("count_progress"));
    progress.hidden = !isRunning;
    if (isRunning && this.#film.duration_s) progress.value = Math.min(this.#played_s, this.#film.duration_s);
    state.textContent = this.#stateText();
  }

  #stateText() {
    const editor = this.#editor;
    if (this.#running) return editor.t("count_running");
    if (this.#problem) return editor.t(this.#problem.key, { file: this.#film.name, ...this.#problem.values });
    if (this.#countedText === null) return editor.t("count_never");
    return editor.t(this.#countedText === editor.document.text ? "count_of_this_scene" : "count_of_another_scene");
  }

  #toggle() {
    if (this.#running) this.#running.abort();
    else this.#count();
  }

  async #count() {
    const { text } = this.#editor.document;
    this.#problem = null;
    if (this.#editor.findings().some(({ level }) => level === "error")) {
      this.#problem = { key: "count_mistakes" };
      this.update();
      return;
    }
    const running = new AbortController();
    this.#running = running;
    this.#played_s = 0;
    this.update();
    try {
      const { events, tracks } = await this.#receive(text, running.signal);
      this.#countedText = text;
      this.#onCounted(events, tracks);
    } catch (error) {
      if (error instanceof RefusedFile) this.#problem = error;
      else if (error.name !== "AbortError") this.#problem = { key: "count_no_command" };
    } finally {
      this.#running = null;
      this.update();
    }
  }

  /** Return the events and tracks. Throws RefusedFile if the command refuses, AbortError, or the error of a lost connection. */
  async #receive(text, signal) {
    const headers = { "Content-Type": "application/toml" };
    const response = await fetch(this.#film.count, { method: "POST", headers, body: text, signal });
    if (!response.ok) {
      const { error } = await response.json();
      throw new RefusedFile("count_refused", { reason: error.message });
    }
    const [events, tracks] = [new EventCollector(), new TrackCollector()];
    let isWhole = false;
    const reader = new LineReader(LIMITS, (line, number) => {
      const [, kind, rest] = line.match(/^(\w+) ?(.*)$/s) ?? [];
      if (kind === "event") events.take(rest, number);
      else if (kind === "track") tracks.take(rest, number);
      else if (kind === "played") this.#showPlayed(Number(rest));
      else if (kind === "whole") isWhole = true;
      else throw new RefusedFile("count_refused", { reason: rest ?? line });
    });
    await readText(response.body, (piece) => reader.push(piece));
    reader.end();
    if (!isWhole) throw new Error("the answer has ended early");
    return { events: events.end(), tracks: tracks.end() };
  }

  #showPlayed(t_s) {
    this.#played_s = t_s;
    if (this.#film.duration_s) this.#nodes.progress.value = Math.min(t_s, this.#film.duration_s);
  }
}
