// What dialogs and forms that write have in common.

import { ApiError } from "../lib/api.js";
import { byId, element } from "../lib/dom.js";

/** Says what went wrong; where the key is not enough, another may be given. */
export function sayProblem(root, error) {
  if (!(error instanceof ApiError)) console.error(error);
  root.replaceChildren(error.message, [401, 403].includes(error.status) ? element("button", {
    type: "button", class: "button", onclick: () => byId("key-dialog").showModal(),
  }, "Use another key") : "");
}
