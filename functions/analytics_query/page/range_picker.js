// The time range: presets and a custom range, in a panel.

import { byId, element } from "./dom.js";
import * as format from "./format.js";
import { PRESETS, resolve } from "./ranges.js";

export class RangePicker {
  /** @param {(range: object) => void} choose told what was chosen */
  constructor(choose) {
    this.choose = choose;
    this.button = byId("range");
    this.panel = byId("range-panel");
    this.from = byId("custom-from");
    this.to = byId("custom-to");
    byId("presets").append(...Object.entries(PRESETS).map(([key, { name }]) =>
      element("button", {
        type: "button", class: "preset", "data-preset": key, onclick: () => this.chosen({ preset: key }),
      }, name)));
    this.button.addEventListener("click", () => (this.panel.hidden ? this.open() : this.close()));
    byId("custom").addEventListener("submit", (event) => {
      event.preventDefault();
      this.custom();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!this.panel.hidden && !event.target.closest(".range-field")) this.close();
    });
    this.panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close(true);
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step && event.target.matches("[data-preset]")) {
        event.preventDefault();
        const all = [...this.panel.querySelectorAll("[data-preset]")];
        all.at((all.indexOf(event.target) + step) % all.length).focus();
      }
    });
    this.panel.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !event.relatedTarget.closest(".range-field")) this.close();
    });
  }

  show(range) {
    this.range = range;
    const { name, from, to } = resolve(range);
    byId("range-name").textContent = name;
    byId("range-dates").textContent = format.range(from, to);
    for (const button of this.panel.querySelectorAll("[data-preset]")) {
      button.setAttribute("aria-pressed", String(button.dataset.preset === range.preset));
    }
  }

  open() {
    const { from, to } = resolve(this.range.preset === "all" ? { preset: "30d" } : this.range);
    this.from.value = from.slice(0, 16);
    this.to.value = to.slice(0, 16);
    byId("custom-error").textContent = "";
    this.panel.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    (this.panel.querySelector("[aria-pressed=true]") ?? this.panel.querySelector("button")).focus();
  }

  close(refocus = false) {
    this.panel.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    if (refocus) this.button.focus();
  }

  custom() {
    const [from, to] = [`${this.from.value}:00Z`, `${this.to.value}:00Z`];
    if (!(Date.parse(from) < Date.parse(to))) {
      byId("custom-error").textContent = "The end must be after the start.";
      return;
    }
    this.chosen({ from, to });
  }

  chosen(range) {
    this.close(true);
    this.choose(range);
  }
}
