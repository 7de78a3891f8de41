// Reads a list of TOML texts as JSON, and writes for each the message of its first mistake, "not TOML", or null.

import { SceneDocument } from "../../agent/scene_editor/scene_document.js";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const prefix = "scene.toml: ";
const answers = JSON.parse(Buffer.concat(chunks).toString("utf8")).map((text) => {
  const scene = new SceneDocument(text, "scene.toml");
  if (scene.syntaxError) return "not TOML";
  return scene.errors[0]?.message.slice(prefix.length) ?? null;
});
process.stdout.write(JSON.stringify(answers));
