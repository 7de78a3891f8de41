// Of `{ text, edits }`: the text after each edit, and after undoing all. An edit is `[kind, list, index, key, value]`.

import { SceneDocument } from "../../agent/scene_editor/scene_document.js";
import { answer } from "./run.mjs";

const EDITS = {
  set: (rows, index, key, value) => { rows[index][key] = value; },
  unset: (rows, index, key) => { delete rows[index][key]; },
  add: (rows, index, key, value) => { rows.push(value); },
  remove: (rows, index) => { rows.splice(index, 1); },
};

await answer(({ text, edits }) => {
  const scene = new SceneDocument(text, "scene.toml");
  const texts = edits.map(([kind, list, index, key, value]) => {
    scene.edit((draft) => EDITS[kind](draft[list] ??= [], index, key, value));
    return scene.text;
  });
  while (scene.canUndo) scene.undo();
  const undone = scene.text;
  while (scene.canRedo) scene.redo();
  return { texts, undone, redone: scene.text };
});
