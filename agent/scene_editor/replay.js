// A replay over the picture: the film plays below the scene, with the tracks, and event by event what the scene counted.
//
// The time base: `t_s` of `vigie replay` is counted from the presentation of the film's first picture; the browser's
// clock is counted from the begin of the file, which is earlier if sound begins earlier or an edit list says so. So the
// page takes the time of the first picture that is presented, and subtracts it. Tracks are drawn by the presentation time
// of the picture that is on the screen (requestVideoFrameCallback), not by the running clock, which is ahead of it.

import { element, svgElement } from "./dom.js";
import { drawnElements } from "./elements.js";
import { FilmCount } from "./film_count.js";
import { freeLabels } from "./label_layout.js";
import { ReplayList } from "./replay_list.js";
import {
  EVENT_LIMITS, EventCollector, fileKind, LineReader, RefusedFile, TRACK_LIMITS, TrackCollector,
} from "./replay_data.js";
import { readText } from "./text_stream.js";

const LABEL_PX = 13;
const TRAIL_S = 4;
/** How long an event of a moment is marked on the picture. */
const FLASH_S = 1.5;
const MAX_CAPTIONS = 8;
/** `t_s` is rounded to a millisecond: a jump goes past it. */
const JUMP_PAST_S = 0.002;
const MAX_SIDE_PX = 16_384;
const FILM_NAME = /\.(mp4|m4v|webm|mov|mkv)$/i;

export function installReplay(editor) {
  // A page that opens no files has no film.
  if (editor.options.canOpenFiles === false) return;
  const replay = new Replay(editor);
  editor.addLayer({ id: "replay", above: "scene", draw: (group) => replay.setLayer(group) });
  editor.addPanel({ id: "replay", textKey: "replay_title", mount: (container) => replay.mount(container) });
  editor.addFileHandler({
    matches: ({ name, type }) => name.endsWith(".jsonl") || type.startsWith("video/") || FILM_NAME.test(name),
    open: (file) => replay.open(file),
  });
  if (editor.options.data?.film) replay.openServedFilm();
}

class Replay {
  #editor;
  #layer = null;
  #list = null;
  #video = null;
  #first_s = null;
  #shown_s = 0;
  #film = null;
  #events = null;
  #tracks = null;
  #served = null;
  #count = null;
  #wanted_s = null;

  constructor(editor) {
    this.#editor = editor;
    this.#served = editor.options.data?.film ?? null;
    if (this.#served) this.#count = new FilmCount(editor, this.#served, (events, tracks) => this.#take(events, tracks));
    editor.on("view", () => this.#place());
    editor.on("picture", () => this.#keepToPicture());
  }

  /** The newest events and minutes, for tests and the list. */
  get counted() { return this.#events ?? { events: [], minutes: [] }; }
  /** Whether the command that serves the page counts its film. */
  get isServed() { return this.#served !== null; }
  get hasFilm() { return this.#film !== null; }
  get isPlaying() { return this.#film !== null && !this.#video.paused; }
  get duration_s() { return this.#film ? Math.max(0, this.#video.duration - (this.#first_s ?? 0)) : 0; }

  /** The time of the film in seconds since its first picture. A jump that waits for that picture counts as done. */
  get now_s() { return this.#film ? Math.max(0, this.#wanted_s ?? this.#video.currentTime - (this.#first_s ?? 0)) : 0; }

  mount(container) {
    this.#count?.mount(container);
    this.#list = new ReplayList(this.#editor, this, container);
  }

  setLayer(group) {
    this.#layer = group;
    this.#draw();
  }

  /** Open a film, events or tracks. A file that is refused changes nothing. Throws an Error with a text for the person. */
  async open(file) {
    this.#editor.panel.show("replay");
    try {
      if (file.name.endsWith(".jsonl")) await this.#openLines(file);
      else await this.#openFilm(file.name, URL.createObjectURL(file));
    } catch (error) {
      if (!(error instanceof RefusedFile)) throw error;
      throw new Error(this.#editor.t(error.key, { file: file.name, ...error.values }));
    }
    this.#list.update();
    this.#draw();
  }

  /** Open the film of the command that serves the page, at the picture that the scene is drawn on. */
  async openServedFilm() {
    const { name, url, still_s } = this.#served;
    this.#wanted_s = still_s;
    try {
      await this.#openFilm(name, url);
    } catch (error) {
      if (!(error instanceof RefusedFile)) throw error;
      this.#editor.announce(this.#editor.t(error.key, { file: name }));
    }
    this.#list.updateTime();
  }

  #take(events, tracks) {
    [this.#events, this.#tracks] = [events, tracks];
    this.#list.update();
    this.#draw();
  }

  toggle() {
    if (!this.#film) return;
    if (this.#video.paused) this.#video.play().catch(() => {});
    else this.#video.pause();
  }

  seek(t_s) {
    if (!this.#film) return;
    // Before the first picture is presented, its time is not known.
    if (this.#first_s === null) {
      this.#wanted_s = t_s;
      return;
    }
    this.#video.currentTime = this.#first_s + Math.min(Math.max(0, t_s), this.duration_s);
  }

  /** Show the film at an event, and stop there. */
  jump(event) {
    if (this.#film) {
      this.#video.pause();
      this.seek(event.shown_s + JUMP_PAST_S);
    }
    this.#editor.announce(this.#list.describe(event));
  }

  async #openLines(file) {
    const first = await file.slice(0, EVENT_LIMITS.line_chars).text();
    const kind = fileKind(first.split("\n")[0]);
    if (kind === null) throw new RefusedFile("replay_unknown_lines", {});
    const [limits, collector] = kind === "events"
      ? [EVENT_LIMITS, new EventCollector()] : [TRACK_LIMITS, new TrackCollector()];
    if (file.size > limits.size_bytes) throw new RefusedFile("replay_too_large", { allowed: limits.size_bytes / 2 ** 20 });
    const reader = new LineReader(limits, (line, number) => collector.take(line, number));
    await readText(file.stream(), (piece) => reader.push(piece));
    reader.end();
    if (kind === "events") this.#events = collector.end();
    else this.#tracks = collector.end();
  }

  async #openFilm(name, url) {
    const video = element("video", { class: "replay-film", "aria-hidden": "true" });
    video.muted = true;
    video.playsInline = true;
    video.preload = "auto";
    const isReadable = await new Promise((resolve) => {
      video.addEventListener("loadeddata", () => resolve(true), { once: true });
      video.addEventListener("error", () => resolve(false), { once: true });
      video.src = url;
    });
    if (!isReadable || !video.videoWidth || Math.max(video.videoWidth, video.videoHeight) > MAX_SIDE_PX || !Number.isFinite(video.duration)) {
      URL.revokeObjectURL(url);
      throw new RefusedFile("replay_film_refused", {});
    }
    this.#closeFilm();
    this.#film = { name, url, picture: this.#editor.picture };
    this.#video = video;
    this.#first_s = null;
    this.#editor.stage.node.prepend(video);
    this.#editor.root.classList.add("has-film");
    for (const type of ["timeupdate", "seeked", "play", "pause", "ended"]) {
      video.addEventListener(type, () => this.#list.updateTime());
    }
    this.#follow(video);
    // The first picture may have been presented before it was followed: it is presented again.
    video.currentTime = 0;
    if (!this.#editor.picture) await this.#takePicture(video);
    this.#place();
  }

  #closeFilm() {
    if (!this.#film) return;
    this.#video.remove();
    URL.revokeObjectURL(this.#film.url);
    this.#film = this.#wanted_s = null;
    this.#editor.root.classList.remove("has-film");
  }

  /** A film is of the view that is shown: another picture ends it, such as that of another preset. */
  #keepToPicture() {
    if (this.#film && this.#film.picture !== this.#editor.picture) {
      this.#closeFilm();
      this.#list.updateTime();
      this.#draw();
    }
    this.#place();
  }

  /** Draw with each picture of the film that is presented. */
  #follow(video) {
    const take = (_, { mediaTime }) => {
      if (video !== this.#video) return;
      if (this.#first_s === null) this.#begin(mediaTime);
      this.#shown_s = Math.max(0, mediaTime - this.#first_s);
      this.#draw();
      this.#list.updateTime();
      video.requestVideoFrameCallback(take);
    };
    if (video.requestVideoFrameCallback) {
      video.requestVideoFrameCallback(take);
      return;
    }
    this.#begin(video.currentTime);
    for (const type of ["timeupdate", "seeked"]) {
      video.addEventListener(type, () => {
        this.#shown_s = this.now_s;
        this.#draw();
      });
    }
  }

  /** Take the time of the first picture, and seek to where that has waited for it. */
  #begin(first_s) {
    this.#first_s = first_s;
    if (this.#wanted_s === null) return;
    this.seek(this.#wanted_s);
    this.#wanted_s = null;
  }

  /** Without a picture, the first of the film is the one that the scene is drawn on. */
  async #takePicture(video) {
    const canvas = element("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg"); });
    this.#film.picture = {
      url: URL.createObjectURL(blob), name: this.#film.name, width_px: canvas.width, height_px: canvas.height,
    };
    this.#editor.setPicture(this.#film.picture);
  }

  /** Lay the film below the scene, where the picture is. */
  #place() {
    if (!this.#film) return;
    const [from, to] = [[0, 0], [1, 1]].map((point) => this.#editor.viewport.toScreen(point));
    Object.assign(this.#video.style, {
      left: `${from.x}px`, top: `${from.y}px`, width: `${to.x - from.x}px`, height: `${to.y - from.y}px`,
    });
  }

  #draw() {
    const group = this.#layer;
    if (!group || !this.#editor.picture) return;
    group.replaceChildren();
    if (!this.#film) return;
    const { width_px, height_px } = this.#editor.picture;
    const unit = 1 / this.#editor.viewport.scale;
    const shown = this.#tracks && this.#list.wantsTracks ? this.#tracks.at(this.#shown_s) : [];
    const marked = this.#events ? this.#markedEvents() : [];
    const markedTracks = new Set(marked.map((event) => event.track));
    this.#drawElements(group, marked, { width_px, height_px, unit });
    const labels = [];
    for (const { track, label, speed_km_h, box: [x, y, w, h] } of shown) {
      const trail = this.#tracks.trail(track, this.#shown_s, TRAIL_S)
        .map(([px, py]) => `${px * width_px},${py * height_px}`).join(" ");
      const isMarked = markedTracks.has(track);
      group.append(
        svgElement("polyline", { class: "replay-trail", points: trail, "stroke-width": 2 * unit }),
        svgElement("rect", {
          class: isMarked ? "replay-track marked" : "replay-track", "data-track": track,
          x: x * width_px, y: y * height_px, width: Math.max(0, w * width_px), height: Math.max(0, h * height_px),
          "stroke-width": (isMarked ? 4 : 2) * unit,
        }),
      );
      labels.push({
        text: this.#trackText(track, label, speed_km_h), x: (x + w / 2) * width_px, y: y * height_px - 9 * unit,
        font_px: LABEL_PX * unit, isMarked, area: w * h,
      });
    }
    // Those of an event first, then the nearer road users, which are larger.
    labels.sort((one, other) => other.isMarked - one.isMarked || other.area - one.area);
    group.append(...freeLabels(labels).map((each) => svgText(each.text, each.x, each.y, unit)));
  }

  #trackText(track, label, speed_km_h) {
    const name = `${this.#editor.t(`user_${label}`)} ${track}`;
    return speed_km_h === null ? name : this.#editor.t("replay_speed", { name, speed: Math.round(speed_km_h) });
  }

  /** The events of the filter that are open now, or were a moment ago. */
  #markedEvents() {
    const now_s = this.now_s;
    return this.#list.filtered.filter((event) => event.shown_s <= now_s
      && (event.kind === "line" || event.end_s === null || event.shown_s === event.end_s
        ? now_s < event.shown_s + FLASH_S : now_s < event.end_s));
  }

  #drawElements(group, marked, { width_px, height_px, unit }) {
    const elements = drawnElements(this.#editor.document.placed);
    const names = new Set(marked.map((event) => event.name));
    // In words at the top of the picture: at the element its own labels are in the way.
    marked.slice(0, MAX_CAPTIONS).forEach((event, at) => group.append(svgText(this.#list.shortText(event), width_px / 2, (18 + at * 20) * unit, unit)));
    for (const name of names) {
      const found = elements.find(({ table }) => table.name === name);
      if (!found) continue;
      const drawn = found.points.map(([x, y]) => [x * width_px, y * height_px]);
      group.append(svgElement(found.list === "line" ? "polyline" : "polygon", {
        class: "replay-element", points: drawn.map((point) => point.join(",")).join(" "), "stroke-width": 6 * unit,
      }));
    }
  }
}

function svgText(text, x, y, unit) {
  return svgElement("text", { class: "replay-text", x, y, "font-size": LABEL_PX * unit, "stroke-width": 3 * unit }, text);
}
