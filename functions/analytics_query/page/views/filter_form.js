// The form that adds a filter by any property: names and values are completed from what is stored.

import { fetchReport } from "../lib/api.js";
import { element } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { OPERATORS } from "../filters/chosen.js";

const COMPLETE_AFTER_MS = 250;
const PATH = /^(data|extra)(\.[\w-]{1,64}){1,8}$/;
const WITHOUT_VALUE = new Set(["isSet", "isNotSet"]);

/**
 * @param {{id: string, get: (report: string, params: object) => Promise<object>, add: (text: string) => void}} options
 *   `id`: what the ids of its parts begin with; `get` asks within the range and the filters of the page; `add` is told
 *   a filter that the API takes
 */
export function filterForm({ id, get, add }) {
  const names = element("datalist", { id: `${id}-names` });
  const values = element("datalist", { id: `${id}-values` });
  const by = element("input", { id: `${id}-by`, list: names.id, required: true, autocomplete: "off", placeholder: "device", "aria-label": "Property" });
  const operator = element("select", { id: `${id}-operator`, "aria-label": "How it is compared" },
    ...Object.entries(OPERATORS).map(([name, text]) => new Option(text, name)));
  const value = element("input", { id: `${id}-value`, list: values.id, autocomplete: "off", placeholder: "mobile", "aria-label": "Value" });
  const said = element("p", { class: "field-error", role: "alert" });
  let timer = null;
  const complete = () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const known = [...names.children].some((option) => option.value === by.value);
      if (!known && !PATH.test(by.value)) return;
      try {
        const { items } = await get("properties/values", { property: by.value, search: value.value || null, limit: 20, countryOf: null });
        values.replaceChildren(...items.map((item) => element("option", { value: item.value }, format.count(item.events))));
      } catch { values.replaceChildren(); /* no such property yet, or too many events */ }
    }, COMPLETE_AFTER_MS);
  };
  const learn = async () => {
    try {
      const { items } = await get("properties", { countryOf: null });
      names.replaceChildren(...items.map((item) => element("option", { value: item.name }, item.sources.map(format.name).join(", "))));
    } catch { /* what is typed will do */ }
  };
  by.addEventListener("focus", learn, { once: true });
  by.addEventListener("change", complete);
  value.addEventListener("focus", complete);
  value.addEventListener("input", complete);
  operator.addEventListener("change", () => {
    value.hidden = WITHOUT_VALUE.has(operator.value);
  });
  const submit = async (event) => {
    event.preventDefault();
    const text = [by.value.trim(), operator.value, ...(WITHOUT_VALUE.has(operator.value) ? [] : [value.value])].join(":");
    try { // the API knows what may be asked, and says it in words
      await fetchReport("events", { filter: [text], limit: 1, to: "2000-01-02" });
    } catch (error) {
      said.textContent = error.message;
      return;
    }
    document.activeElement?.blur();
    add(text);
  };
  return element("form", { class: "filter-form", onsubmit: submit }, by, operator, value,
    element("button", { id: `${id}-add`, type: "submit", class: "button primary" }, "Add filter"), names, values, said);
}
