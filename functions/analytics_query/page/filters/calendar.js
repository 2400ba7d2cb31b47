// A month of days, of which two clicks choose a range. Days are numbers since 1970, of the page's clocks.

import { byId, element } from "../lib/dom.js";
import { DAY, wall } from "../lib/zone.js";

/** Formats a moment of no zone; made when it is first used, which takes milliseconds. */
function dates(style) {
  let made = null;
  return (ms) => (made ??= new Intl.DateTimeFormat("en", { timeZone: "UTC", ...style })).format(ms);
}
const inWords = dates({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const inShort = dates({ day: "numeric", month: "short", year: "numeric" });
const monthName = dates({ month: "long", year: "numeric" });
const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/** The day of a moment (ms). */
export const dayOf = (ms) => Math.floor(wall(ms) / DAY);
/** A day as the state and the API take it. */
export const isoDay = (day) => new Date(day * DAY).toISOString().slice(0, 10);

const weekday = (day) => (((day + 3) % 7) + 7) % 7; // 1970 began on a Thursday
const partsOf = (day) => { const date = new Date(day * DAY); return [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]; };
const firstOfMonth = (day, months = 0) => { const [year, month] = partsOf(day); return Date.UTC(year, month + months, 1) / DAY; };
/** The same day so many months on; the last one of a month that has not as many. */
const otherMonth = (day, months) => Math.min(firstOfMonth(day, months) + partsOf(day)[2] - 1, firstOfMonth(day, months + 1) - 1);

/** Where keys lead from a day. */
const KEYS = {
  ArrowLeft: (day) => day - 1, ArrowRight: (day) => day + 1, ArrowUp: (day) => day - 7, ArrowDown: (day) => day + 7,
  Home: (day) => day - weekday(day), End: (day) => day + 6 - weekday(day),
  PageUp: (day, more) => otherMonth(day, more ? -12 : -1), PageDown: (day, more) => otherMonth(day, more ? 12 : 1),
};

export class Calendar {
  /** @param {(first: number, last: number) => void} choose told the first and the last day of the range */
  constructor(choose) {
    this.choose = choose;
    this.root = byId("calendar");
    this.title = element("p", { id: "calendar-month", class: "calendar-month", "aria-live": "polite" });
    this.grid = element("table", { role: "grid", "aria-labelledby": "calendar-month", "aria-describedby": "calendar-hint" });
    this.hint = element("p", { id: "calendar-hint", class: "calendar-hint", role: "status" });
    const turn = (sign, months, label) => element("button", {
      type: "button", class: "button quiet icon-only", "aria-label": label, title: label, onclick: () => this.turn(months),
    }, sign);
    this.root.append(
      element("div", { class: "calendar-head" }, turn("«", -12, "Year before"), turn("‹", -1, "Month before"), this.title,
        turn("›", 1, "Next month"), turn("»", 12, "Next year")), this.grid, this.hint);
    this.grid.addEventListener("keydown", (event) => this.key(event));
    this.grid.addEventListener("pointerover", (event) => this.preview(event.target.closest("[data-day]")));
    this.grid.addEventListener("focusin", (event) => this.preview(event.target.closest("[data-day]")));
  }

  /** Shows a range that is chosen. */
  show(first, last) {
    [this.first, this.last, this.begun] = [first, last, null];
    this.today = dayOf(Date.now());
    this.at = last;
    this.draw();
  }

  turn(months) {
    this.at = otherMonth(this.at, months);
    this.draw();
  }

  key(event) {
    const move = KEYS[event.key];
    if (!move) return;
    event.preventDefault();
    this.at = move(Number(event.target.dataset.day), event.shiftKey);
    this.draw();
    this.grid.querySelector(`[data-day="${this.at}"]`).focus();
  }

  pick(day) {
    if (this.begun !== null) {
      const begun = this.begun;
      this.begun = null;
      this.choose(Math.min(begun, day), Math.max(begun, day));
      return;
    }
    [this.begun, this.at] = [day, day];
    this.draw();
    this.grid.querySelector(`[data-day="${day}"]`).focus();
  }

  draw() {
    const month = firstOfMonth(this.at);
    const next = firstOfMonth(this.at, 1);
    this.title.textContent = monthName(month * DAY);
    const weeks = [];
    for (let monday = month - weekday(month); monday < next; monday += 7) weeks.push([...WEEKDAYS.keys()].map((place) => monday + place));
    this.grid.replaceChildren(
      element("thead", {}, element("tr", {}, ...WEEKDAYS.map((name) => element("th", { scope: "col", abbr: name }, name.slice(0, 2))))),
      element("tbody", {}, ...weeks.map((week) => element("tr", {}, ...week.map((day) => this.cell(day, day >= month && day < next))))));
    this.hint.textContent = this.begun === null ? "Choose the first day." : `From ${inShort(this.begun * DAY)}: choose the last day.`;
    this.preview(null);
  }

  cell(day, inside) {
    return element("td", { role: "gridcell" }, element("button", {
      type: "button", "data-day": day, "aria-label": inWords(day * DAY), tabindex: day === this.at ? 0 : -1,
      class: inside ? null : "outside", "aria-current": day === this.today ? "date" : null, onclick: () => this.pick(day),
    }, String(partsOf(day)[2])));
  }

  /** Marks the days of the range; while one end is chosen, up to a day. */
  preview(button) {
    const other = button ? Number(button.dataset.day) : this.begun;
    const [first, last] = this.begun === null ? [this.first, this.last] : [Math.min(this.begun, other), Math.max(this.begun, other)];
    for (const each of this.grid.querySelectorAll("[data-day]")) {
      const day = Number(each.dataset.day);
      each.parentElement.setAttribute("aria-selected", String(day >= first && day <= last));
      each.classList.toggle("end", day === first || day === last);
    }
  }
}
