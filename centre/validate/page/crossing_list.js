// The list of crossings, and the crossing that is selected: its changes, and the claims of two people that differ.

import { element } from "../dom.js";

/** A busy street has a thousand crossings: those around the time that is shown are laid out. */
const MAX_ROWS = 120;

export class CrossingList {
  list = element("ol", { class: "count-crossings" });
  detail = element("div", { class: "count-detail" });
  #shownRows = "";

  /** `act` has what a person does: select, change, settle, setTime, remove, deselect. */
  constructor({ t, directionName, act }) {
    this.t = t;
    this.directionName = directionName;
    this.act = act;
    this.rows = new Map();
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("button");
      if (row) act.select(this.rows.get(row));
    });
  }

  describe(one) {
    const { t } = this;
    const parts = [formatTime(one.t), t(`user_${one.class}`), this.directionName(one.dir)];
    if (!one.sure) parts.push(t(one.claims?.length ? "count_differs" : "count_unsure"));
    if (one.class_sure === false) parts.push(t("count_class_unsure"));
    return parts.join(" · ");
  }

  render(state, selected, shown_s) {
    const { crossings } = state;
    const anchor = selected?.t ?? shown_s;
    const after = crossings.findIndex((one) => one.t > anchor);
    const middle = after < 0 ? crossings.length : after;
    const from = Math.max(0, Math.min(middle - MAX_ROWS / 2, crossings.length - MAX_ROWS));
    const shown = crossings.slice(from, from + MAX_ROWS);
    const words = shown.map((one) => this.describe(one));
    const key = JSON.stringify([from, words, selected === null ? -1 : shown.indexOf(selected)]);
    if (key === this.#shownRows) return;
    this.#shownRows = key;
    this.rows.clear();
    this.list.start = from + 1;
    this.list.replaceChildren(...shown.map((one, index) => {
      const row = element("button", { type: "button", "aria-current": one === selected ? "true" : null, "data-t": one.t }, element("bdi", {}, words[index]));
      this.rows.set(row, one);
      return element("li", {}, row);
    }));
    const last = this.list.querySelector("[aria-current]") ?? this.list.children[Math.min(middle, crossings.length) - from - 1];
    if (last) this.list.scrollTop = last.offsetTop - this.list.offsetTop - this.list.clientHeight / 2;
  }

  renderDetail(one) {
    const { t, act } = this;
    this.detail.hidden = one === null;
    if (one === null) {
      this.detail.replaceChildren();
      return;
    }
    const button = (name, key, onClick, pressed = null) => element("button", { type: "button", class: "small", "data-action": name, "aria-pressed": pressed === null ? null : String(pressed), click: onClick }, t(key));
    this.detail.replaceChildren(
      element("h3", {}, element("bdi", {}, this.describe(one))),
      element("p", { class: "hint" }, t("count_selected_hint")),
      ...(one.claims?.length ? [this.#claims(one)] : []),
      element("div", { class: "buttons" },
        button("set-time", "count_set_time", () => act.setTime(one)),
        ...(one.claims?.length ? [] : [
          button("unsure", "count_unsure", () => act.change(one, { sure: !one.sure }), !one.sure),
          button("class-unsure", "count_class_unsure", () => act.change(one, { class_sure: one.class_sure === false ? undefined : false }), one.class_sure === false),
          button("remove", "count_remove", () => act.remove(one)),
        ]),
        button("done", "count_done", () => act.deselect())),
    );
  }

  #claimed(claim) {
    return claim.class ? `${this.t(`user_${claim.class}`)}, ${this.directionName(claim.dir)}` : this.t("count_none");
  }

  /** A button for each claim: the crossing is so, or there is none. */
  #claims(one) {
    const { t, act } = this;
    const buttons = one.claims.map((claim, index) => element(
      "button", {
        type: "button", "data-claim": index,
        click: () => (claim.class ? act.settle(one, { dir: claim.dir, class: claim.class, sure: true }) : act.remove(one)),
      },
      element("span", {}, element("bdi", {}, claim.by), ": ", element("bdi", {}, this.#claimed(claim))),
    ));
    buttons.push(element("button", { type: "button", "data-claim": "unsure", click: () => act.settle(one, { sure: false }) }, t("count_cannot_tell")));
    return element("div", { class: "buttons count-claims", role: "group", "aria-label": t("count_claims") }, ...buttons);
  }
}

/** Minutes and seconds of a film. */
export function formatTime(t_s) {
  const minutes = Math.floor(t_s / 60);
  return `${minutes}:${(t_s - minutes * 60).toFixed(2).padStart(5, "0")}`;
}
