// The scene editor on the live picture. A scene is applied on trial, and undone by itself unless it is kept.

import { act, sentenceOf } from "./box_api.js";
import { cameraChoice, chosenCamera } from "./camera_choice.js";
import { element, setText, show } from "./dom.js";
import { LivePicture } from "./live_picture.js";
import { language, LANGUAGES, text } from "./texts.js";

const TRIAL_MINUTES = 5;
const TRY_ICON = "M7 4l12 8l-12 8z";

/** Texts of scenes that are drawn and not applied, by camera and preset: they outlive a look at another view. */
const drafts = new Map();

/** Return the view. */
export function sceneView({ session, status }) {
  const place = element("div");
  const answer = element("p", { className: "words", role: "status" });
  let shown = null;
  let closed = false;

  async function open(preset) {
    shown?.close();
    shown = null;
    const camera = chosenCamera(session);
    if (camera === null) return setText(answer, text("no_camera"));
    setText(answer, text("working"));
    try {
      const made = await editorPanel(camera, preset, status);
      if (closed) return made.close();
      shown = made;
      show(place, presetChoice(made.scene, open), made.element);
      made.start();
      return setText(answer, "");
    } catch (error) {
      return setText(answer, sentenceOf(error));
    }
  }

  open();
  return {
    element: element("div", {}, cameraChoice(session, () => open()), answer, place),
    close() {
      closed = true;
      shown?.close();
    },
  };
}

function presetChoice({ preset: current, presets }, onChoice) {
  if (presets.length < 2) return null;
  const options = presets.map((preset) => element("option", { value: preset, selected: preset === current }, preset));
  const select = element("select", { onchange: () => onChoice(select.value) }, options);
  return element("label", {}, text("preset"), select);
}

async function editorPanel(camera, wanted, status) {
  const [{ startEditor }, { PANELS }, texts, scene] = await Promise.all([
    import("/editor/editor.js"),
    import("/editor/panels.js"),
    editorTexts(),
    act("scene", wanted === undefined ? { camera } : { camera, preset: wanted }),
  ]);
  const { preset } = scene;
  const target = preset ? { camera, preset } : { camera };
  const key = JSON.stringify([camera, preset]);
  const root = element("div", { className: "scene-editor" });
  let editor = null;
  let isOpen = true;

  async function applyOnTrial() {
    const { text: words } = await act("scene_try", { ...target, toml: editor.document.text, minutes: TRIAL_MINUTES });
    editor.document.markSaved();
    drafts.delete(key);
    editor.announce(words);
    status.refresh();
  }

  const live = new LivePicture(camera, async ({ url, reading }) => {
    // A picture that is not decoded yet would leave the stage empty for a moment.
    const ready = element("img", { src: url });
    await ready.decode().catch(() => {});
    if (isOpen) editor.setPicture({ url, name: camera, width_px: reading.width_px, height_px: reading.height_px });
  }, (error) => editor.announce(sentenceOf(error)));

  return {
    scene,
    element: root,
    start() {
      editor = startEditor(root, {
        texts,
        language: language(),
        picture: null,
        scene: { name: `${camera}.toml`, text: drafts.get(key) ?? scene.toml },
        panels: PANELS,
        actions: [{ id: "try", textKey: "pole_try", icon: TRY_ICON, primary: true, run: () => applyOnTrial().catch((error) => {
          throw new Error(sentenceOf(error));
        }) }],
        canOpenFiles: false,
        showLanguages: false,
      });
      live.start();
    },
    close() {
      isOpen = false;
      live.stop();
      if (editor !== null && !editor.document.isSaved) drafts.set(key, editor.document.text);
      editor?.destroy();
    },
  };
}

async function editorTexts() {
  const loaded = Object.keys(LANGUAGES).map(async (one) => {
    const response = await fetch(`/editor/texts/${one}.json`);
    return [one, { ...(await response.json()), pole_try: text("scene_try") }];
  });
  return Object.fromEntries(await Promise.all(loaded));
}
