// The time range: presets, a calendar, and times of day, in a panel.

import { Calendar, dayOf, isoDay } from "./calendar.js";
import { byId, element } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { instant, PRESETS, resolve } from "../lib/ranges.js";
import { moment, wall, WORKSPACE_ZONE, zoneName } from "../lib/zone.js";

export class RangePicker {
  /**
   * @param {(range: object) => void} choose told what was chosen
   * @param {(zone: string) => void} chooseZone told in which time zone days begin
   */
  constructor(choose, chooseZone) {
    this.choose = choose;
    this.button = byId("range");
    this.panel = byId("range-panel");
    this.from = byId("custom-from");
    this.to = byId("custom-to");
    byId("presets").append(...Object.entries(PRESETS).map(([key, { name }]) =>
      element("button", {
        type: "button", class: "preset", "data-preset": key, onclick: () => this.chosen({ preset: key }),
      }, name)));
    this.calendar = new Calendar((first, last) => this.chosen({ from: isoDay(first), to: isoDay(last + 1) }));
    this.button.addEventListener("click", () => (this.panel.hidden ? this.open() : this.close()));
    byId("custom").addEventListener("submit", (event) => {
      event.preventDefault();
      this.custom();
    });
    this.zone = byId("zone");
    this.zone.addEventListener("change", () => {
      this.close(true);
      chooseZone(this.zone.value);
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
    byId("custom-title").textContent = `Custom range (${zoneName()})`;
    byId("foot-zone").textContent = zoneName();
    for (const button of this.panel.querySelectorAll("[data-preset]")) {
      button.setAttribute("aria-pressed", String(button.dataset.preset === range.preset));
    }
  }

  open() {
    const { from, to } = resolve(this.range.preset === "all" ? { preset: "30d" } : this.range);
    const shown = (text) => new Date(wall(Date.parse(text))).toISOString().slice(0, 16);
    this.from.value = shown(from);
    this.to.value = shown(to);
    this.calendar.show(dayOf(Date.parse(from)), dayOf(Date.parse(to) - 1));
    byId("exact-times").open = !this.range.preset && [from, to].some((text) => format.sinceMidnight(text));
    this.offerZones();
    byId("custom-error").textContent = "";
    this.panel.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    (this.panel.querySelector("[aria-pressed=true]") ?? this.panel.querySelector("button")).focus();
  }

  offerZones() {
    if (!this.zone.options.length) {
      const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
      const all = new Set([WORKSPACE_ZONE, here, "UTC", zoneName(), ...Intl.supportedValuesOf("timeZone")]);
      this.zone.append(...[...all].map((name) => new Option(name, name)));
    }
    this.zone.value = zoneName();
  }

  close(refocus = false) {
    this.panel.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    if (refocus) this.button.focus();
  }

  custom() {
    const [from, to] = [this.from, this.to].map(({ value }) => moment(Date.parse(`${value}:00Z`)));
    if (!(from < to)) {
      byId("custom-error").textContent = "The end must be after the start.";
      return;
    }
    this.chosen({ from: instant(from), to: instant(to) });
  }

  chosen(range) {
    this.close(true);
    this.choose(range);
  }
}
