// Making elements.

/** element("button", {class: "x", onclick: f}, "text", child) */
export const element = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);

/** The same of an SVG. */
export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) made.style.setProperty(key, text);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Text in a table that does something: mostly filters by what it says. */
export const link = (text, onclick, title = "Filter by this") => element("button", { type: "button", class: "link", title, onclick }, text);

export const byId = (id) => document.getElementById(id);

/** A table in a box of its own, which says when there is more beside. */
export function scrolling(label, table) {
  const box = element("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": label }, table);
  const hint = element("p", { class: "scroll-hint", hidden: true, "aria-hidden": "true" }, "More beside: scroll sideways →");
  new ResizeObserver(() => { hint.hidden = box.scrollWidth <= box.clientWidth + 1; }).observe(box);
  return element("div", { class: "scrolling" }, hint, box);
}
