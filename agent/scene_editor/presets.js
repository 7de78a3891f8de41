// A camera on a head: a tab for each preset, each with its own scene and picture, and the head's panorama as a map on
// which each preset's field of view and the elements of its scene are drawn.
//
// The presets come as the answer of `vigie ptz preset list --json`; the panorama is the JPEG of a sweep, which has its own
// geometry. A file that is named after a preset is its picture or its scene.

import { element, svgElement } from "./dom.js";
import { drawnElements, isArea } from "./elements.js";
import { pictureSize, readPicture, readScene } from "./files.js";
import { densify, listPresets, PICTURE_EDGE, projectPoints, readGeometry, readPresets } from "./panorama.js";
import { SceneDocument } from "./scene_document.js";
import { tabAfterKey } from "./tab_keys.js";

/** As those of centre/preset_page.py. */
const MAX_PANORAMA_BYTES = 16_777_216;
const MAX_PRESETS_BYTES = 1_048_576;
const PICTURE_NAME = /^(.+)\.(jpe?g|png|webp)$/i;
const SCENE_NAME = /^(.+)\.toml$/i;
const PANORAMA_NAME = /^panorama.*\.jpe?g$/i;

export function installPresets(editor) {
  const presets = new Presets(editor);
  editor.addFileHandler({ matches: ({ name }) => presets.matches(name), open: (file) => presets.open(file) });
  const given = editor.options.data?.head;
  // After the editor is whole: it opens a scene of its own at its end.
  if (given) queueMicrotask(() => presets.load(given));
}

class Presets {
  #editor;
  #views = new Map();
  #active = null;
  #panorama = null;
  #tabs = element("div", { role: "tablist", class: "preset-tabs" });
  #map = element("div", { class: "preset-map" });
  #bar = element("div", { class: "preset-bar", hidden: true }, this.#tabs, this.#map);

  constructor(editor) {
    this.#editor = editor;
    editor.root.querySelector(".work").before(this.#bar);
    editor.on("change", () => this.#show());
    editor.on("picture", () => this.#keep());
    editor.on("open", () => this.#keep());
    editor.on("language", () => this.#show());
    this.#tabs.addEventListener("keydown", (press) => this.#onKey(press));
  }

  /** Take what `vigie scene edit FOLDER` put into the page. */
  async load({ presets, panorama, pictures, scenes }) {
    this.#setPresets(listPresets(presets));
    for (const [name, { text, name: fileName }] of Object.entries(scenes)) this.#view(name).document = new SceneDocument(text, fileName);
    for (const [name, { jpeg, ...picture }] of Object.entries(pictures)) {
      this.#view(name).picture = { ...picture, url: `data:image/jpeg;base64,${jpeg}` };
    }
    this.#activate([...this.#views.keys()][0]);
    if (panorama === null) return;
    try {
      await this.#setPanorama(Uint8Array.from(atob(panorama), (letter) => letter.charCodeAt(0)));
    } catch (error) {
      this.#editor.announce(error.message);
    }
  }

  matches(name) {
    const preset = (PICTURE_NAME.exec(name) ?? SCENE_NAME.exec(name))?.[1];
    return name === "presets.json" || PANORAMA_NAME.test(name) || this.#views.has(preset);
  }

  /** Open `presets.json`, a panorama, or the picture or scene of a preset. */
  async open(file) {
    if (file.name === "presets.json") {
      this.#checkSize(file, MAX_PRESETS_BYTES);
      this.#setPresets(readPresets(await file.text()));
      this.#activate([...this.#views.keys()][0]);
    } else if (PANORAMA_NAME.test(file.name)) {
      this.#checkSize(file, MAX_PANORAMA_BYTES);
      await this.#setPanorama(new Uint8Array(await file.arrayBuffer()));
    } else if (SCENE_NAME.test(file.name)) {
      const name = SCENE_NAME.exec(file.name)[1];
      this.#view(name).document = await readScene(this.#editor, file);
      this.#activate(name);
    } else {
      const name = PICTURE_NAME.exec(file.name)[1];
      this.#view(name).picture = await readPicture(this.#editor, file);
      this.#activate(name);
    }
  }

  #checkSize({ name, size }, allowed_bytes) {
    if (size > allowed_bytes) throw new Error(this.#editor.t("file_too_large", { name }));
  }

  #view(name) { return this.#views.get(name); }

  #setPresets(list) {
    if (list === null) throw new Error(this.#editor.t("preset_list_refused"));
    const old = this.#views;
    if (!old.size) {
      addEventListener("beforeunload", (leaving) => {
        if ([...this.#views.values()].some(({ document }) => !document.isSaved)) leaving.preventDefault();
      });
    }
    this.#views = new Map(list.map((pose) => [pose.name, {
      pose,
      picture: old.get(pose.name)?.picture ?? null,
      document: old.get(pose.name)?.document ?? new SceneDocument("", `${pose.name}.toml`),
    }]));
    this.#active = null;
  }

  async #setPanorama(bytes) {
    const url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    const size = await pictureSize(url);
    const geometry = size === null ? null : readGeometry(bytes, size.width_px);
    if (geometry === null) {
      URL.revokeObjectURL(url);
      throw new Error(this.#editor.t("preset_panorama_refused"));
    }
    if (this.#panorama) URL.revokeObjectURL(this.#panorama.url);
    const image = svgElement("image", { href: url, width: size.width_px, height: size.height_px });
    this.#panorama = { url, geometry, image, ...size };
    this.#show();
  }

  /** A picture or a scene that is opened while a preset is shown is that preset's. */
  #keep() {
    const view = this.#view(this.#active);
    if (!view || (view.picture === this.#editor.picture && view.document === this.#editor.document)) return;
    view.picture = this.#editor.picture;
    view.document = this.#editor.document;
    this.#show();
  }

  #activate(name, focus = false) {
    const view = this.#view(name);
    if (!view) return;
    this.#active = null;
    this.#editor.open(view.document, view.picture);
    this.#active = name;
    this.#show();
    if (focus) this.#tabs.querySelector("[aria-selected=true]").focus();
  }

  #onKey(press) {
    const names = [...this.#views.keys()];
    const next = tabAfterKey(press, this.#tabs, names.indexOf(this.#active), names.length);
    if (next !== null) this.#activate(names[next], true);
  }

  #show() {
    this.#bar.hidden = this.#views.size === 0;
    if (this.#bar.hidden) return;
    this.#tabs.setAttribute("aria-label", this.#editor.t("preset_tabs"));
    const hadFocus = this.#tabs.contains(document.activeElement);
    this.#tabs.replaceChildren(...[...this.#views].map(([name, view]) => this.#tab(name, view)));
    if (hadFocus) this.#tabs.querySelector("[aria-selected=true]")?.focus();
    this.#drawMap();
  }

  #tab(name, { document, picture }) {
    const isActive = name === this.#active;
    const notes = [
      document.isSaved ? null : this.#editor.t("preset_unsaved"),
      document.errors.length ? this.#editor.t("preset_mistakes", { count: document.errors.length }) : null,
      picture ? null : this.#editor.t("preset_no_picture"),
    ].filter((note) => note !== null);
    return element(
      "button",
      { type: "button", role: "tab", "aria-selected": String(isActive), tabindex: isActive ? 0 : -1, click: () => this.#activate(name) },
      element("bdi", {}, name),
      notes.length ? element("small", {}, notes.join(this.#editor.t("comma"))) : null,
    );
  }

  #drawMap() {
    this.#map.hidden = this.#panorama === null;
    if (!this.#panorama) return;
    const { geometry, image, width_px, height_px } = this.#panorama;
    const map = svgElement("svg", { viewBox: `0 0 ${width_px} ${height_px}`, role: "group", "aria-label": this.#editor.t("preset_map") }, image);
    const unit = width_px / 1000;
    for (const [name, { pose, document }] of this.#views) {
      const project = (points, isClosed) => projectPoints(geometry, width_px, pose, densify(points, isClosed));
      const group = svgElement("g", { class: name === this.#active ? "preset-view active" : "preset-view", "data-preset": name });
      group.addEventListener("click", () => this.#activate(name));
      for (const { list, points } of drawnElements(document.placed)) {
        const shape = isArea(list) ? "polygon" : "polyline";
        for (const copy of project(points, isArea(list))) {
          group.append(svgElement(shape, { class: `map-${list}`, points: copy.join(" "), "stroke-width": 2 * unit }));
        }
      }
      for (const copy of project(PICTURE_EDGE, true)) {
        const [x, y] = copy[0];
        group.append(
          svgElement("polygon", { class: "preset-edge", points: copy.join(" "), "stroke-width": 3 * unit }),
          svgElement("text", { x: Math.max(0, x) + 6 * unit, y: Math.max(0, y) + 15 * unit, "font-size": 13 * unit, "stroke-width": 4 * unit }, name),
        );
      }
      map.append(group);
    }
    this.#map.replaceChildren(map);
  }
}
