// What the filters leave out, or count by another rule: said above the figures.

import { element } from "../lib/dom.js";
import * as format from "../lib/format.js";

const much = ({ events, purchases, revenue }) => format.counted(events, "event")
  + (purchases ? ` (${format.counted(purchases, "purchase")}, ${format.money(revenue)})` : "");

/**
 * @param {HTMLElement} root
 * @param {object | null} left `leftOut` of a report
 * @param {(countryOf: string) => void} choose told whose country shall count
 */
export function showLeftOut(root, left, choose) {
  const words = [];
  if (left?.byUser?.events) words.push(`${much(left.byUser)} without a country, counted by their user's own.`);
  if (left?.noCountry?.events) {
    words.push(`Left out: ${much(left.noCountry)} ${left.countryOf === "user" ? "of users whose country nobody told" : "without a country"}.`);
  }
  for (const each of left?.noProperty ?? []) {
    if (each.events) words.push(`Left out: ${much(each)} without ${format.property(each.property).toLowerCase()}.`);
  }
  if (left?.noCampaign?.events) words.push(`Left out: ${much(left.noCampaign)} without a campaign.`);
  root.hidden = words.length === 0 && left?.countryOf !== "event";
  const other = { user: "event", event: "user" }[left?.countryOf];
  root.replaceChildren(...words.flatMap((text) => [element("span", {}, text), " "]), other ? element("button", {
    type: "button", class: "link", "data-country-of": other, onclick: () => choose(other),
  }, other === "event" ? "Count only events that tell their country" : "Count by users' countries too") : "");
}
