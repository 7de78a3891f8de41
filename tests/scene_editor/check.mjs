// Of a TOML text: the message of its first mistake, "not TOML", or null.

import { SceneDocument } from "../../agent/scene_editor/scene_document.js";
import { answer } from "./run.mjs";

const PREFIX = "scene.toml: ";

await answer((text) => {
  const scene = new SceneDocument(text, "scene.toml");
  if (scene.syntaxError) return "not TOML";
  return scene.errors[0]?.message.slice(PREFIX.length) ?? null;
});
