// Asks for the totals and shows them, and has the rest of the page run then: on a slow processor it takes as long as all before it.

import { loadingTotals, showTotals } from "./cards/totals.js";
import { questionOf } from "./filters/question.js";
import { askEarly, SHARE } from "./lib/api.js";
import { byId } from "./lib/dom.js";
import { prepare } from "./lib/format.js";
import { chosenInterval, intervalOf } from "./lib/intervals.js";
import { resolve } from "./lib/ranges.js";
import { read } from "./state.js";

/** The rest of the page waits no longer than this for the totals: it says what is slow or away. */
const PATIENCE_MS = 400;

/** The state that the page begins with. */
export const firstState = read();
/** Its range: of a moment, so that the same is asked for later. */
export const firstRange = resolve(firstState.range, firstState.compare);

let takenOver = false;
/** From now on totals are shown by whoever calls this, maybe those of another question. */
export function takeOver() { takenOver = true; }

/** Asks for what `dashboard.js` will ask for as well, and then gets. */
async function showFirst() {
  const question = questionOf(firstState, firstRange);
  const { previous } = firstRange;
  const interval = chosenInterval(firstState.interval, firstRange, intervalOf(firstRange));
  const asked = [
    askEarly("overview", question),
    previous && askEarly("overview", { ...question, from: previous.from, to: previous.to }),
    askEarly("timeseries", { ...question, split: "source", interval }),
  ];
  if (byId("totals")) loadingTotals(byId("totals"));
  prepare();
  const [overview, before, split] = await Promise.all(asked);
  if (!takenOver && byId("totals")) showTotals(byId("totals"), overview, before, split, previous?.name);
}

const patience = (ms) => new Promise((go) => { setTimeout(go, ms); });
// a link may change what is asked
const first = firstState.view === "overview" && !SHARE ? showFirst().catch(() => {}) : null; // `dashboard.js` says what went wrong
Promise.race([first, patience(PATIENCE_MS)]).then(() => import("./dashboard.js"));
