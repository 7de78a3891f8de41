// The files of `vigie replay`: events and tracks of a film. Pure: lines of text in, checked values out.
//
// Both are hostile until checked: sizes, numbers of lines and lengths are bounded before anything is kept, names are
// only ever compared and shown as text, and one wrong line refuses the file, because a part of it would count too little.
//
// Times are `t_s`, seconds since the first picture of the film.

import { LABELS } from "./scene_schema.js";

export const EVENT_LIMITS = { size_bytes: 64 * 2 ** 20, lines: 200_000, line_chars: 32_768 };
export const TRACK_LIMITS = { size_bytes: 512 * 2 ** 20, lines: 2_000_000, line_chars: 1024 };
/** How long a track is shown after its last record: replay processes at least this often. */
export const STALE_AFTER_S = 0.5;
const MAX_T_S = 7 * 86_400;
const MAX_NAME_CHARS = 80;
const MAX_SPEED_KM_H = 10_000;
const BAND_KM_H = 10;
/** The last band has no upper end. */
const TOP_BAND_KM_H = 200;
const BANDS = Array.from({ length: TOP_BAND_KM_H / BAND_KM_H + 1 }, (_, at) => String(at * BAND_KM_H));
const KIND = /^[a-z][a-z_]{0,39}$/;
const UUID = /^[0-9a-f-]{36}$/;

/** A file that is refused: `key` of the texts and its values. */
export class RefusedFile extends Error {
  constructor(key, values) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/** Split pieces of text into lines, bounded. `take(line, number)` gets each line that is not empty. */
export class LineReader {
  constructor(limits, take) {
    this.limits = limits;
    this.take = take;
    this.rest = "";
    this.number = 0;
  }

  push(piece) {
    const lines = (this.rest + piece).split("\n");
    this.rest = lines.pop();
    if (this.rest.length > this.limits.line_chars) {
      this.refuseLine(this.number + 1);
    }
    lines.forEach((line) => this.line(line));
  }

  end() {
    this.line(this.rest);
    this.rest = "";
  }

  line(line) {
    this.number += 1;
    if (this.number > this.limits.lines) {
      throw new RefusedFile("replay_too_many_lines", { allowed: this.limits.lines });
    }
    if (line.length > this.limits.line_chars) {
      this.refuseLine(this.number);
    }
    if (line.trim() !== "") {
      this.take(line, this.number);
    }
  }

  refuseLine(number) {
    throw new RefusedFile("replay_long_line", { line: number, allowed: this.limits.line_chars });
  }
}

/** Which of the two files begins with this line: "events", "tracks" or null. */
export function fileKind(line) {
  try {
    const record = parse(line, 1);
    return typeof record.type === "string" ? "events" : "track" in record && "box" in record ? "tracks" : null;
  } catch {
    return null;
  }
}

/** The events of a film: one entry for each event, from its revisions, and the traffic counts of its minutes. */
export class EventCollector {
  constructor() {
    this.byId = new Map();
    this.minutes = [];
  }

  take(line, number) {
    const message = parse(line, number);
    if (message.type === "event") {
      this.event(object(message.data, "data", number), number);
    } else if (message.type === "flow") {
      this.flow(object(message.data, "data", number), number);
    } else {
      refuse("type", message.type, number);
    }
  }

  event(data, number) {
    const id = text(data.event, "event", number, UUID);
    const t_s = inRange(data.t_s, 0, MAX_T_S, "t_s", number);
    const begin_s = t_s - inRange(nanoseconds(data, number), 0, MAX_T_S, "begin_ns", number);
    const first = this.byId.get(id);
    const open = data.phase === "begin" || data.phase === "update";
    this.byId.set(id, {
      id,
      kind: text(data.kind, "kind", number, KIND),
      name: optional(data.name, (value) => name(value, "name", number)),
      direction: optional(data.direction, (value) => name(value, "direction", number)),
      label: optional(data.label, (value) => label(value, number)),
      track: optional(data.track, (value) => inRange(value, 0, 2 ** 31 - 1, "track", number)),
      position: optional(data.position, (value) => inRange(value, -1, 2, "position", number)),
      count: optional(data.count, (value) => inRange(value, 0, 10_000, "count", number)),
      begin_s: first ? first.begin_s : Math.max(0, begin_s),
      shown_s: first ? first.shown_s : t_s,
      end_s: open ? null : t_s,
    });
  }

  flow(data, number) {
    const counts = [];
    for (const line of list(data.lines, "lines", number)) {
      const lineName = name(object(line, "lines", number).name, "lines.name", number);
      for (const [direction, labels] of Object.entries(object(line.counts, "counts", number))) {
        counts.push({
          name: lineName,
          direction: name(direction, "counts", number),
          labels: countsOfLabels(labels, number),
          bands: optional(line.speeds?.[direction], (speeds) => sumOfBands(speeds, number)) ?? [],
        });
      }
    }
    for (const flow of list(data.flows, "flows", number)) {
      const { name: flowName, from, to, counts: labels } = object(flow, "flows", number);
      const direction = `${name(from, "flows.from", number)} → ${name(to, "flows.to", number)}`;
      counts.push({ name: name(flowName, "flows.name", number), direction, labels: countsOfLabels(labels, number), bands: [] });
    }
    const end_s = inRange(data.end_ns, 0, MAX_T_S * 1e9, "end_ns", number) / 1e9;
    this.minutes.push({ end_s, counts });
  }

  /** The events in the order of the time at which each became known, and the minutes. */
  end() {
    const events = [...this.byId.values()].sort((a, b) => a.shown_s - b.shown_s || (a.id < b.id ? -1 : 1));
    return { events, minutes: this.minutes.sort((a, b) => a.end_s - b.end_s) };
  }
}

/** The tracks of a film in columns: 33 bytes for each record. */
export class TrackCollector {
  constructor() {
    this.capacity = 4096;
    this.length = 0;
    this.columns = {
      t_s: new Float64Array(this.capacity),
      track: new Int32Array(this.capacity),
      label: new Uint8Array(this.capacity),
      // NaN: the scene is not calibrated, or the speed is not known yet.
      speed_km_h: new Float32Array(this.capacity),
      boxes: new Float32Array(this.capacity * 4),
    };
  }

  take(line, number) {
    const record = parse(line, number);
    const t_s = inRange(record.t_s, 0, MAX_T_S, "t_s", number);
    if (this.length && t_s < this.columns.t_s[this.length - 1]) {
      refuse("t_s", t_s, number);
    }
    const box = list(record.box, "box", number);
    if (box.length !== 4) {
      refuse("box", record.box, number);
    }
    if (this.length === this.capacity) {
      this.grow();
    }
    const at = this.length;
    this.columns.t_s[at] = t_s;
    this.columns.track[at] = inRange(record.track, 0, 2 ** 31 - 1, "track", number);
    this.columns.label[at] = LABELS.indexOf(label(record.label, number));
    this.columns.speed_km_h[at] = optional(record.ground, (value) => speed(value, number)) ?? NaN;
    this.columns.boxes.set(box.map((value) => inRange(value, -2, 3, "box", number)), at * 4);
    this.length += 1;
  }

  grow() {
    this.capacity *= 2;
    for (const [key, column] of Object.entries(this.columns)) {
      const larger = new column.constructor(column.length * 2);
      larger.set(column);
      this.columns[key] = larger;
    }
  }

  end() {
    return new Tracks(this.columns, this.length);
  }
}

/** The tracks of a film, by time. */
export class Tracks {
  constructor(columns, length) {
    this.columns = columns;
    this.length = length;
  }

  /** The tracks of the newest processed frame at `t_s`: `[{ track, label, speed_km_h, box: [x, y, w, h] }]`. */
  at(t_s) {
    const end = this.indexAfter(t_s);
    if (end === 0 || t_s - this.columns.t_s[end - 1] > STALE_AFTER_S) {
      return [];
    }
    const frame_s = this.columns.t_s[end - 1];
    const found = [];
    for (let at = end - 1; at >= 0 && this.columns.t_s[at] === frame_s; at -= 1) {
      found.push(this.record(at));
    }
    return found.reverse();
  }

  /** The centres of a track in the `length_s` before `t_s`, oldest first: `[[x, y], ...]`. */
  trail(track, t_s, length_s) {
    const points = [];
    for (let at = this.indexAfter(t_s) - 1; at >= 0 && this.columns.t_s[at] >= t_s - length_s; at -= 1) {
      if (this.columns.track[at] === track) {
        const [x, y, w, h] = this.record(at).box;
        points.push([x + w / 2, y + h / 2]);
      }
    }
    return points.reverse();
  }

  record(at) {
    const speed_km_h = this.columns.speed_km_h[at];
    return {
      track: this.columns.track[at],
      label: LABELS[this.columns.label[at]],
      speed_km_h: Number.isNaN(speed_km_h) ? null : speed_km_h,
      box: [...this.columns.boxes.subarray(at * 4, at * 4 + 4)],
    };
  }

  /** The index of the first record later than `t_s`, by bisection. */
  indexAfter(t_s) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.columns.t_s[middle] <= t_s) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}

/** The events of a kind (all without) and of a line or zone (all without). */
export function filterEvents(events, kind, elementName) {
  return events.filter((event) => (!kind || event.kind === kind) && (!elementName || event.name === elementName));
}

/**
 * Crossings by line and direction, and turning flows. The total is that of the traffic counts; up to a time it is that of the events if the
 * line has events, else of the minutes that are over, as for a flow. Made once for a file: a film asks thirty times a second.
 */
export class LineCounter {
  constructor({ events, minutes }) {
    this.rows = new Map();
    const crossings = events.filter((event) => event.kind === "line" && event.name !== null);
    const withEvents = new Set(crossings.map((event) => event.name));
    for (const { end_s, counts } of minutes) {
      for (const { name: lineName, direction, labels, bands } of counts) {
        const row = this.row(lineName, direction);
        let total = 0;
        for (const [key, count] of labels) {
          row.labels.set(key, (row.labels.get(key) ?? 0) + count);
          total += count;
        }
        row.total += total;
        for (const [band, count] of bands) row.bands.set(band, (row.bands.get(band) ?? 0) + count);
        if (!withEvents.has(lineName)) row.steps.push([end_s, total]);
      }
    }
    for (const event of crossings) this.row(event.name, event.direction).steps.push([event.shown_s, 1]);
  }

  /**
   * The rows as they are at `t_s`: `[{ name, direction, so_far, total, labels, speeds }]`; of the whole film `labels` are the counts by label,
   * without those of none, and `speeds` those by band.
   */
  at(t_s) {
    return [...this.rows.values()].map(({ name: lineName, direction, steps, total, labels, bands }) => {
      let so_far = 0;
      for (const [step_s, count] of steps) {
        if (step_s > t_s) break;
        so_far += count;
      }
      return { name: lineName, direction, so_far, total, labels: LABELS.flatMap((key) => (labels.get(key) ? [[key, labels.get(key)]] : [])), speeds: bandTexts(bands) };
    });
  }

  row(lineName, direction) {
    const key = JSON.stringify([lineName, direction]);
    if (!this.rows.has(key)) this.rows.set(key, { name: lineName, direction, steps: [], total: 0, labels: new Map(), bands: new Map() });
    return this.rows.get(key);
  }
}

function parse(line, number) {
  let value = null;
  try {
    value = JSON.parse(line);
  } catch {
    refuse("JSON", line.slice(0, 40), number);
  }
  return object(value, "JSON", number);
}

function object(value, key, number) {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : refuse(key, value, number);
}

function list(value, key, number) {
  return Array.isArray(value) && value.length <= 1000 ? value : refuse(key, value, number);
}

/** The road users by label: `[[label, count], ...]`. */
function countsOfLabels(counts, number) {
  return Object.entries(object(counts, "counts", number)).map(([key, value]) => [label(key, number), inRange(value, 0, 1_000_000, "counts", number)]);
}

/** The road users of all labels by band of speed: `[[lower end, count], ...]`. */
function sumOfBands(speeds, number) {
  const counts = [];
  for (const [key, bands] of Object.entries(object(object(speeds, "speeds", number).bands, "bands", number))) {
    label(key, number);
    for (const [band, count] of Object.entries(object(bands, "bands", number))) {
      if (!BANDS.includes(band)) refuse("bands", band, number);
      counts.push([Number(band), inRange(count, 0, 1_000_000, "bands", number)]);
    }
  }
  return counts;
}

/** The count of each band, in the words of `vigie replay`. */
function bandTexts(bands) {
  return [...bands].sort(([a], [b]) => a - b)
    .map(([band, count]) => `${band === TOP_BAND_KM_H ? `${band}+` : `${band}-${band + BAND_KM_H}`} ${count}`);
}

function text(value, key, number, pattern) {
  return typeof value === "string" && pattern.test(value) ? value : refuse(key, value, number);
}

function name(value, key, number) {
  return typeof value === "string" && value.length <= MAX_NAME_CHARS ? value : refuse(key, value, number);
}

function label(value, number) {
  return LABELS.includes(value) ? value : refuse("label", value, number);
}

/** The speed of a place on the ground, null if it is not known. */
function speed(ground, number) {
  const value = object(ground, "ground", number).speed_km_h;
  return optional(value, (known) => inRange(known, 0, MAX_SPEED_KM_H, "ground.speed_km_h", number));
}

function inRange(value, low, high, key, number) {
  return typeof value === "number" && value >= low && value <= high ? value : refuse(key, value, number);
}

function optional(value, check) {
  return value === undefined || value === null ? null : check(value);
}

/** Seconds from the begin of an event to this revision. */
function nanoseconds(data, number) {
  const limit_ns = Number.MAX_SAFE_INTEGER;
  const t_ns = inRange(data.t_ns, 0, limit_ns, "t_ns", number);
  return (t_ns - inRange(data.begin_ns, 0, limit_ns, "begin_ns", number)) / 1e9;
}

function refuse(key, value, number) {
  const shown = value === undefined ? "undefined" : JSON.stringify(value);
  throw new RefusedFile("replay_wrong_value", { line: number, key, value: shown.slice(0, 60) });
}
