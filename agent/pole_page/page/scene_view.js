// The scene editor on the live picture. A scene is applied on trial, and undone by itself unless it is kept.

import { element } from "/editor/dom.js";
import { act, sentenceOf } from "./box_api.js";
import { cameraChoice, chosenCamera } from "./camera_choice.js";
import { LivePicture } from "./live_picture.js";
import { language, LANGUAGES, text } from "./texts.js";
import { button, setText, show } from "./widgets.js";

const TRIAL_MINUTES = 5;
const TRY_ICON = "M7 4l12 8l-12 8z";

/** Texts of scenes that are drawn and not applied, by camera and preset: they outlive a look at another view. */
const drafts = new Map();

/** Return the view. */
export function sceneView({ session, status }) {
  const place = element("div");
  const answer = element("p", { class: "words", role: "status" });
  let shown = null;
  let turn = 0;

  async function open(preset) {
    const mine = (turn += 1);
    shown?.close();
    shown = null;
    show(place);
    const camera = chosenCamera(session);
    if (camera === null) return setText(answer, text("no_camera"));
    setText(answer, text("working"));
    try {
      const { head } = session.cameras.find((one) => one.name === camera);
      const presets = head === null ? [] : await presetsOf(head);
      if (head !== null && presets.length === 0) return setText(answer, text("scene_needs_preset"));
      const view = head === null ? { camera } : { camera, preset: preset ?? presets[0] };
      const made = await editorPanel(view, head, status);
      if (mine !== turn) return made.close();
      shown = made;
      show(place, head === null ? null : presetChoice(presets, view.preset, open), made.element);
      made.start();
      return setText(answer, "");
    } catch (error) {
      return mine === turn ? setText(answer, sentenceOf(error)) : undefined;
    }
  }

  open();
  return {
    element: element("div", {}, cameraChoice(session, () => open()), answer, place),
    close() {
      turn += 1;
      shown?.close();
    },
  };
}

async function presetsOf(head) {
  const { heads } = await act("heads");
  return heads.find(({ info }) => info.name === head)?.presets.map((preset) => preset.name) ?? [];
}

function presetChoice(presets, current, onChoice) {
  const options = presets.map((preset) => element("option", { value: preset, selected: preset === current }, preset));
  const select = element("select", { change: () => onChoice(select.value) }, options);
  return element("label", {}, text("preset"), select);
}

/** Return the editor of a view: a camera, and a preset if it is on a head. The scene holds where the head rests there. */
async function editorPanel(view, head, status) {
  const { camera, preset } = view;
  const [{ startEditor }, { PANELS }, texts, scene] = await Promise.all([
    import("/editor/editor.js"),
    import("/editor/panels.js"),
    editorTexts(),
    act("scene", view),
  ]);
  const key = JSON.stringify([camera, preset]);
  const root = element("div", { class: "scene-editor" });
  const refusal = element("p", { role: "status" });
  const goThere = () => act("goto", { head, preset }).then(() => setText(refusal, ""), (error) => setText(refusal, sentenceOf(error)));
  const elsewhere = element(
    "div",
    { class: "notice", hidden: true },
    element("p", {}, text("scene_elsewhere", { preset })),
    element("div", { class: "row" }, button(text("preset_go"), goThere)),
    refusal,
  );
  let editor = null;
  let isOpen = true;

  async function applyOnTrial() {
    const { text: words } = await act("scene_try", { ...view, toml: editor.document.text, minutes: TRIAL_MINUTES });
    editor.document.markSaved();
    drafts.delete(key);
    editor.announce(words);
    status.refresh();
  }

  const live = new LivePicture(camera, async ({ url, reading }) => {
    // A picture that is not decoded yet would leave the stage empty for a moment.
    const ready = element("img", { src: url });
    await ready.decode().catch(() => {});
    elsewhere.hidden = head === null || reading.preset === preset;
    if (isOpen) editor.setPicture({ url, name: camera, width_px: reading.width_px, height_px: reading.height_px });
  }, (error) => editor.announce(sentenceOf(error)));

  return {
    element: element("div", {}, elsewhere, root),
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
