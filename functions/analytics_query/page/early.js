// Asks for the totals while most of the page is still on its way. `dashboard.js` asks for the same, and gets these.

import { questionOf } from "./filters/question.js";
import { askEarly, SHARE } from "./lib/api.js";
import { chosenInterval, intervalOf } from "./lib/intervals.js";
import { resolve } from "./lib/ranges.js";
import { read } from "./state.js";

/** The state that the page begins with. */
export const firstState = read();
/** Its range: of a moment, so that the same is asked for later. */
export const firstRange = resolve(firstState.range, firstState.compare);

if (firstState.view === "overview" && !SHARE) { // a link may change what is asked
  const question = questionOf(firstState, firstRange);
  const { previous } = firstRange;
  askEarly("overview", question);
  askEarly("timeseries", { ...question, split: "source", interval: chosenInterval(firstState.interval, firstRange, intervalOf(firstRange)) });
  if (previous) askEarly("overview", { ...question, from: previous.from, to: previous.to });
}
