// Of a job `{ "do": "lines" | "panorama" ... }`: what the pure parts of the views make of it.

import { readFileSync } from "node:fs";
import { describeLowDensity } from "../../agent/scene_editor/density_map.js";
import { LensError, resolveLens } from "../../agent/scene_editor/fisheye_calibration.js";
import { directionAt, fieldOfViewThrough, viewPoint } from "../../agent/scene_editor/fisheye_lens.js";
import { FisheyeState } from "../../agent/scene_editor/fisheye_state.js";
import { findingWords } from "../../agent/scene_editor/finding_words.js";
import { freeLabels } from "../../agent/scene_editor/label_layout.js";
import { densify, PICTURE_EDGE, projectPoints, readGeometry, readPresets } from "../../agent/scene_editor/panorama.js";
import {
  EVENT_LIMITS, EventCollector, fileKind, filterEvents, LineCounter, LineReader, RefusedFile, TRACK_LIMITS, TrackCollector,
} from "../../agent/scene_editor/replay_data.js";
import { SceneDocument } from "../../agent/scene_editor/scene_document.js";
import { Texts } from "../../agent/scene_editor/texts.js";
import { answer } from "./run.mjs";

const TABLES = (language) => JSON.parse(readFileSync(new URL(`../../agent/scene_editor/texts/${language}.json`, import.meta.url), "utf8"));
const COLLECTORS = { events: [EventCollector, EVENT_LIMITS], tracks: [TrackCollector, TRACK_LIMITS] };

function collect(kind, text, limits = {}) {
  const [Collector, ownLimits] = COLLECTORS[kind];
  const collector = new Collector();
  const reader = new LineReader({ ...ownLimits, ...limits }, (line, number) => collector.take(line, number));
  for (let at = 0; at < text.length; at += 7) reader.push(text.slice(at, at + 7));
  reader.end();
  return collector.end();
}

const ACTS = {
  kind: ({ line }) => fileKind(line),
  lines({ kind, text, limits }) {
    try {
      return { read: collect(kind, text, limits) };
    } catch (error) {
      if (!(error instanceof RefusedFile)) throw error;
      return { refused: error.key, ...error.values };
    }
  },
  counts({ text, t_s }) {
    const counter = new LineCounter(collect("events", text));
    return t_s.map((time) => counter.at(time));
  },
  filter({ text, kind, name }) { return filterEvents(collect("events", text).events, kind, name); },
  tracks({ text, t_s, track }) {
    const tracks = collect("tracks", text);
    return t_s.map((time) => ({ at: tracks.at(time), trail: tracks.trail(track, time, 1) }));
  },
  panorama({ jpeg, width_px, pose, points }) {
    const geometry = readGeometry(Uint8Array.from(Buffer.from(jpeg, "base64")), width_px);
    if (geometry === null) return null;
    return { geometry, copies: projectPoints(geometry, width_px, pose, points), edge: densify(PICTURE_EDGE, true).length };
  },
  fisheye({ lens: table, view, places, aspect }) {
    try {
      const { lens, lines, errorDeg } = resolveLens(table);
      const seen = places.map((place) => viewPoint(lens, view, place, aspect));
      return {
        focal_length: lens.focalLength, k: lens.k, lines, error_deg: errorDeg, seen,
        directions: seen.map((place) => place && directionAt(lens, place, aspect)),
        widths: seen.map((place) => place && fieldOfViewThrough(lens, view, place, aspect)),
      };
    } catch (error) {
      if (!(error instanceof LensError)) throw error;
      return { refused: error.code, ...error.values };
    }
  },
  fisheyeEdits({ given, edits }) {
    const state = new FisheyeState(given);
    const texts = [state.document.text];
    for (const [act, ...values] of edits) {
      state[act](...values);
      texts.push(state.document.text);
    }
    while (state.document.canUndo) state.document.undo();
    return { texts, undone: state.document.text };
  },
  findings({ toml, language }) {
    const words = new Texts({ [language]: TABLES(language) }, language);
    const scene = new SceneDocument(toml, "scene.toml");
    return scene.errors.map((error) => [error.message, findingWords(error, (key, values) => words.text(key, values))]);
  },
  lowDensity({ found, language }) {
    const words = new Texts({ [language]: TABLES(language) }, language);
    return findingWords({ message: describeLowDensity(found), lowDensity: found }, (key, values) => words.text(key, values));
  },
  labels: ({ labels }) => freeLabels(labels),
  presets: ({ text }) => readPresets(text),
};

await answer((job) => ACTS[job.do](job));
