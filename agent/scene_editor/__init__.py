"""The scene editor: a page that draws a scene on a picture, and its assembly into one file. `docs/scene-editor.md`."""
