// The editor: holds the scene, the picture, the selection and the tools, and joins the parts of the page.

import { element } from "./dom.js";
import { drawTools } from "./draw_tools.js";
import { drawnElements, freeName, isNamed, nameOf, newTable, pointsOf, renameInFlows, tableAt, withPoints } from "./elements.js";
import { openFile, saveScene } from "./files.js";
import { clamp, movePoints, roundPoint } from "./geometry.js";
import { Keyboard } from "./keyboard.js";
import { PointerInput } from "./pointer_input.js";
import { Properties } from "./properties.js";
import { SceneDocument } from "./scene_document.js";
import { ElementList, FindingList } from "./side_lists.js";
import { SidePanel } from "./side_panel.js";
import { snapPoint } from "./snapping.js";
import { Stage } from "./stage.js";
import { TextPane } from "./text_pane.js";
import { Texts } from "./texts.js";
import { DrawingBar, LanguageSwitch, Toolbar } from "./toolbar.js";
import { Viewport } from "./viewport.js";

const NO_PICTURE = { url: null, name: "", width_px: 1280, height_px: 720 };
const SAVE = { id: "save", textKey: "action_save", primary: true, run: saveScene };

/** Show the editor in an element. `options`: see docs/scene-editor.md, "In another page". */
export function startEditor(root, options) {
  return new Editor(root, options);
}

export class Editor {
  #listeners = new Map();
  #bound = [];
  #tools = [];
  #handleSources = [];
  #checks = [];
  #findings = null;
  #endDocument = () => {};

  constructor(root, options) {
    this.root = root;
    this.options = options;
    this.texts = new Texts(options.texts, options.language);
    this.layers = [];
    this.fileHandlers = [];
    this.selection = null;
    this.corner = null;
    this.activePreview = null;
    this.crosshair = null;
    this.tool = null;
    this.isSnapping = true;
    this.pointerType = "mouse";
    this.viewport = new Viewport(() => this.#changed("view"));
    this.document = new SceneDocument("", "scene.toml");
    this.picture = null;
    this.#build(options.actions ?? [SAVE]);
    for (const install of options.panels ?? []) install(this);
    this.setLanguage(this.texts.language);
    this.open(new SceneDocument(options.scene?.text ?? "", options.scene?.name ?? "scene.toml"), options.picture ?? null);
  }

  #build(actions) {
    this.stage = new Stage(this);
    this.toolbar = new Toolbar(this, actions);
    this.drawingBar = new DrawingBar(this);
    this.properties = new Properties(this);
    this.textPane = new TextPane(this);
    this.elementList = new ElementList(this);
    this.findingList = new FindingList(this);
    this.panel = new SidePanel(this);
    this.status = element("p", { class: "status", role: "status" });
    this.emptyHint = element("p", { class: "empty-hint" });
    this.help = element("details", { class: "help" }, element("summary"), element("p"));
    this.bindText(this.help.firstChild, "help_title");
    this.bindText(this.help.lastChild, "help_keys");
    this.bindText(this.emptyHint, "no_picture");
    this.bindText(this.stage.node, "stage_label", "aria-label");
    const title = this.options.showLanguages === false ? null : element("h1");
    if (title) this.bindText(title, "title");
    const elementsTitle = element("h2");
    this.bindText(elementsTitle, "elements_title");
    this.fileName = element("bdi", { class: "file-name" });
    this.languages = new LanguageSwitch(this);
    const languages = title ? this.languages.node : null;
    this.root.replaceChildren(
      element("div", { class: "bar" }, element("div", { class: "heading" }, title, this.fileName, languages), this.toolbar.node),
      element("div", { class: "work" },
        element("div", { class: "stage-box" }, this.stage.node, this.emptyHint),
        element("div", { class: "side" }, this.drawingBar.node, element("div", { class: "list" }, elementsTitle, this.elementList.node), this.findingList.node, this.panel.node, this.help)),
      this.status,
    );
    for (const tool of drawTools(this)) this.addTool(tool);
    this.addPanel({ id: "element", textKey: "panel_element", mount: (container) => container.append(this.properties.node) });
    this.addPanel({ id: "text", textKey: "panel_text", mount: (container) => container.append(this.textPane.node) });
    this.pointerInput = new PointerInput(this, this.stage);
    this.keyboard = new Keyboard(this, this.root, this.stage);
    if (this.options.canOpenFiles !== false) this.#acceptDrops();
  }

  #acceptDrops() {
    this.root.addEventListener("dragover", (event) => event.preventDefault());
    this.root.addEventListener("drop", (event) => {
      event.preventDefault();
      this.openFiles([...event.dataTransfer.files]);
    });
  }

  destroy() {
    this.stage.destroy();
    this.keyboard.destroy();
    this.#endDocument();
    this.root.replaceChildren();
  }

  // ---- hooks

  addTexts(tables) { this.texts.add(tables); }
  addLayer(layer) { this.layers.push(layer); }
  addPanel(panel) { this.panel.add(panel); }
  addHandles(source) { this.#handleSources.push(source); }
  addFileHandler(handler) { this.fileHandlers.push(handler); }
  addCheck(check) { this.#checks.push(check); }

  addTool(tool) {
    this.#tools.push(tool);
    this.toolbar.addTool(tool, tool);
  }

  /** Calls `listener` at each "change", "select", "picture", "open", "language", "view" or "tool". Returns a function that removes it. */
  on(event, listener) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event).add(listener);
    return () => this.#listeners.get(event).delete(listener);
  }

  #changed(event, isUpdated = event !== "view") {
    if (isUpdated && event !== "select" && event !== "tool") this.#findings = null;
    if (isUpdated) this.#update();
    for (const listener of [...this.#listeners.get(event) ?? []]) listener();
    this.stage?.render();
  }

  #update() {
    for (const part of [this.toolbar, this.drawingBar, this.properties, this.textPane, this.elementList, this.findingList, this.languages]) part.update();
    this.fileName.textContent = `${this.panel.edited.isSaved ? "" : "• "}${this.panel.edited.name}`;
  }

  // ---- texts

  get language() { return this.texts.language; }
  t(key, values) { return this.texts.text(key, values); }
  hasText(key) { return this.t(key) !== key; }

  /** Keep the text of a node, or an attribute of it, in the language of the page. */
  bindText(node, key, attribute = null) {
    const apply = () => {
      if (attribute) node.setAttribute(attribute, this.t(key));
      else node.textContent = this.t(key);
    };
    this.#bound.push(apply);
    apply();
  }

  setLanguage(language) {
    this.texts.language = language;
    this.root.lang = language;
    this.root.dir = this.texts.direction;
    for (const apply of this.#bound) apply();
    this.#changed("language");
  }

  announce(text) { this.status.textContent = text; }

  // ---- the scene

  /** Show another scene, on a picture of its own or on the same. */
  open(scene, picture) {
    this.#endDocument();
    this.document = scene;
    this.selection = null;
    this.activePreview = null;
    this.#endDocument = scene.onChange(() => this.#documentChanged());
    this.#changed("open");
    if (picture !== this.picture || !picture) this.setPicture(picture);
  }

  #documentChanged() {
    this.activePreview = null;
    if (this.selection && !tableAt(this.document.tables, this.selection)) this.selection = null;
    this.#changed("change");
  }

  /** Show another picture of the same view. The place and the zoom are kept if it has the same size. */
  setPicture(picture) {
    const shown = picture ?? NO_PICTURE;
    const isSameSize = this.picture && this.picture.width_px === shown.width_px && this.picture.height_px === shown.height_px;
    this.picture = picture;
    this.stage.setPicture(shown);
    this.emptyHint.hidden = Boolean(picture?.url);
    if (!isSameSize) this.viewport.setPicture(shown.width_px, shown.height_px);
    // Live pictures come five times a second: the lists with the focus in them are not made again.
    this.#changed("picture", !isSameSize);
  }

  /** Mistakes and warnings: `{ path, message, level }`, the check's first. */
  findings() {
    this.#findings ??= [
      ...this.document.errors.map((error) => ({ ...error, level: "error" })),
      ...this.#checks.flatMap((check) => check(this.document.tables)),
    ];
    return this.#findings;
  }

  /** Check and show again: the answer of a panel's check, its document or the shown panel may have changed without the scene. */
  checkAgain() { this.#changed("check"); }

  /** The worst level of the findings of an element, by "list index". */
  findingLevels() {
    const levels = new Map();
    for (const { path: [list, index], level } of this.findings()) {
      if (levels.get(`${list} ${index}`) !== "error") levels.set(`${list} ${index}`, level);
    }
    return levels;
  }

  shownElements() { return this.stage.shownElements(); }
  shownFlows() { return this.stage.shownFlows(); }

  /** Change the table of an element: as a preview, or, if `done`, in the document. */
  changeTable(selection, table, done, merge = null) {
    if (!done) {
      this.activePreview = { ...selection, table };
      this.stage.render();
      return;
    }
    this.activePreview = null;
    this.#edit((draft) => {
      const old = draft[selection.list][selection.index];
      draft[selection.list][selection.index] = table;
      if (isNamed(selection.list)) renameInFlows(draft, old.name, table.name);
    }, merge && `${selection.list} ${selection.index} ${merge}`);
  }

  previewOf({ list, index }) {
    const { activePreview } = this;
    return activePreview?.list === list && activePreview.index === index ? activePreview.table : null;
  }

  endPreview() {
    this.activePreview = null;
    this.stage.render();
  }

  addElement(list, points) {
    this.#addTable(list, newTable(list, points, isNamed(list) ? freeName(this.document.tables, this.t(`new_${list}`)) : null));
  }

  /** Add a flow from one line or zone to another, by their names. */
  addFlow(from, to) {
    const name = freeName(this.document.tables, this.t("new_flow"), this.t("flow_name", { from, to }));
    this.#addTable("flow", { name, from, to });
  }

  #addTable(list, table) {
    const index = this.document.tables[list]?.length ?? 0;
    if (!this.#edit((draft) => { draft[list] = [...draft[list] ?? [], table]; })) return;
    this.setTool(null);
    this.select({ list, index });
    this.announce(this.t("element_added", { name: table.name ?? this.t(`list_${list}`) }));
    // On a touch screen the keyboard would cover the picture.
    if (this.pointerType === "touch" || !this.properties.focusName()) this.stage.node.focus({ preventScroll: true });
  }

  deleteSelected() {
    const { selection } = this;
    if (!selection) return;
    const name = nameOf(tableAt(this.document.tables, selection)) ?? this.t(`list_${selection.list}`);
    this.selection = null;
    this.#edit((draft) => { draft[selection.list].splice(selection.index, 1); });
    this.announce(this.t("element_deleted", { name }));
    this.stage.node.focus({ preventScroll: true });
  }

  moveSelected(dx, dy, done) {
    const { selection } = this;
    const table = tableAt(this.document.tables, selection);
    const points = table && pointsOf(selection.list, table);
    if (points) this.changeTable(selection, withPoints(selection.list, table, movePoints(points, dx, dy)), done);
  }

  /** Returns whether the document could be changed. */
  #edit(change, merge = null) {
    try {
      this.document.edit(change, { merge });
      return true;
    } catch (error) {
      this.announce(this.t("cannot_edit", { reason: error.message }));
      this.endPreview();
      return false;
    }
  }

  // ---- selection and tools

  select(selection) {
    this.selection = selection && { list: selection.list, index: selection.index };
    this.corner = null;
    if (this.selection) this.panel.show("element");
    this.#changed("select");
  }

  /** Note the corner of the selected element that had the focus last, or null. */
  chooseCorner(corner) {
    this.corner = corner;
    this.properties.update();
  }

  isSelected({ list, index }) { return this.selection?.list === list && this.selection.index === index; }

  setTool(tool) {
    if (this.tool !== tool) this.tool?.onCancel?.(this);
    this.tool = tool;
    this.crosshair = null;
    if (tool) this.selection = null;
    this.#changed("tool");
    if (tool) this.stage.node.focus({ preventScroll: true });
  }

  cancelTool() {
    if (this.tool?.isDrawing) this.tool.onCancel?.(this);
    else this.setTool(null);
    this.#changed("tool");
  }

  chooseToolByKey(key) {
    const tool = this.#tools.find((each) => each.key === key);
    if (tool) this.setTool(tool);
    return Boolean(tool);
  }

  toggleSnapping() {
    this.isSnapping = !this.isSnapping;
    this.#changed("tool");
  }

  /** The point of the picture at a place on the stage, snapped unless that is turned off. */
  snapped(place, isTouch, handle = null) {
    const point = roundPoint(this.viewport.toPicture(place.x, place.y));
    if (!this.isSnapping || this.tool?.isExact || handle?.isExact) return point;
    const own = handle ? this.selection : null;
    const corners = drawnElements(this.document.placed).filter((each) => !own || each.list !== own.list || each.index !== own.index).flatMap(({ points }) => points);
    const options = { corners: [...corners, ...this.tool?.snapPoints ?? []], previous: this.tool?.previous ?? null, scale: this.viewport.pxPerPicture, isTouch };
    return snapPoint(point, options);
  }

  /** Move the cross that draws by keys. */
  moveCrosshair([dx, dy]) {
    const { x, y } = this.viewport.pxPerPicture;
    const [oldX, oldY] = this.crosshair ?? [0.5, 0.5];
    this.crosshair = roundPoint([clamp(oldX + dx / x, 0, 1), clamp(oldY + dy / y, 0, 1)]);
    this.announce(this.t("crosshair_at", { x: Math.round(this.crosshair[0] * 100), y: Math.round(this.crosshair[1] * 100) }));
    this.render();
  }

  extraHandles() { return this.#handleSources.flatMap((source) => source.list(this)); }
  focusHandle(id) { this.stage.focusHandle(id); }
  focusFirstHandle() {
    const [first] = this.stage.handles();
    if (first) this.focusHandle(first.id);
  }

  render() {
    this.drawingBar.update();
    this.stage.render();
  }

  // ---- files and actions

  /** Open files that a person chose or dropped. */
  async openFiles(files) {
    for (const file of files) {
      try {
        await openFile(this, file);
      } catch (error) {
        this.announce(error.message);
      }
    }
  }

  async run(action) {
    try {
      await action.run(this);
    } catch (error) {
      this.announce(error.message);
    }
  }

  runMainAction() {
    const [action] = this.options.actions ?? [SAVE];
    if (action) this.run(action);
  }
}
