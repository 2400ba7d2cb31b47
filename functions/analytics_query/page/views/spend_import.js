// The import of what was spent, on the view of costs: a CSV file is checked first, and taken as a whole by a second click.

import { sendCsv } from "../lib/api.js";
import { byId, element } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { sayProblem } from "./writing.js";

const EXAMPLE = "date,source,campaignId,amount\n2026-11-30,facebook,campaign-7,120.50";
/** The API tells so many faults of a file. */
const MOST_FAULTS = 20;
const PARTS = { added: "new", changed: "changed", unchanged: "as it was", removed: "taken away" };

/** Shows the form; `changed` is called when something was taken. */
export function showImport(changed) {
  const root = byId("spend-import");
  if (root.childElementCount) return; // a file may be chosen
  const input = element("input", { id: "spend-file", type: "file", accept: ".csv,text/csv", onchange: () => check(input.files[0], changed) });
  root.replaceChildren(
    element("p", { class: "muted" }, "What was spent by day, source and campaign. Of each day, source and campaign the last import wins;"
      + " all others stay. A file is taken as a whole or not at all."),
    element("pre", { tabindex: "0", "aria-label": "Example of a file" }, EXAMPLE),
    element("label", { id: "spend-drop", class: "drop", ...dropping(input) }, element("span", {}, "Choose a CSV file, or drop it here"), input),
    element("div", { id: "spend-said", role: "status" }));
}

/** What makes a place take a file that is dropped on it. */
function dropping(input) {
  const over = (on) => (event) => {
    event.preventDefault();
    event.currentTarget.classList.toggle("over", on);
  };
  return {
    ondragover: over(true), ondragleave: over(false), ondrop: (event) => {
      over(false)(event);
      if (!event.dataTransfer.files.length) return;
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change"));
    },
  };
}

const inWords = (done) => Object.entries(PARTS).filter(([name]) => done[name])
  .map(([name, words]) => `${format.count(done[name])} ${words}`).join(", ") || "nothing";

/** Says what an import of a file would do, and offers it. */
async function check(file, changed) {
  const said = byId("spend-said");
  if (!file) return;
  said.replaceChildren(`Checking ${file.name} …`);
  try {
    const would = await sendCsv("spend", { dryRun: true }, file);
    said.replaceChildren(element("p", {}, `${file.name} is right. It would bring: ${inWords(would)}.`),
      element("button", { id: "spend-take", type: "button", class: "button primary", onclick: () => take(file, changed) }, "Import"));
    byId("spend-take").focus();
  } catch (error) {
    refuse(file, error, changed);
  }
}

async function take(file, changed) {
  const said = byId("spend-said");
  byId("spend-take").disabled = true;
  try {
    const done = await sendCsv("spend", {}, file);
    said.replaceChildren(element("p", { class: "done" }, `Imported ${file.name}: ${inWords(done)}.`));
    byId("spend-file").value = ""; // the same file may be chosen again
    byId("spend-file").focus();
    await changed();
  } catch (error) {
    refuse(file, error, changed);
  }
}

/** Says why nothing was taken, line by line where the file is the reason. */
function refuse(file, error, changed) {
  const said = byId("spend-said");
  const problem = element("div", { class: "field-error" });
  said.replaceChildren(problem);
  byId("spend-file").value = "";
  if (!error.faults?.length) {
    sayProblem(problem, error);
    problem.querySelector("button")?.addEventListener("click", () => { // with the other key
      byId("key-dialog").addEventListener("close", () => check(file, changed), { once: true });
    });
    return;
  }
  problem.append(element("p", {}, `Nothing of ${file.name} was taken:`),
    element("ul", {}, ...error.faults.map(({ place, message }) => element("li", {}, element("strong", {}, place), `: ${message}`))),
    error.faults.length >= MOST_FAULTS ? element("p", {}, "There may be more.") : "");
}
