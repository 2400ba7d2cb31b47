// Questions to the API beside this page.

/**
 * A response that is not a report: `status` 0 means that there was none. `retryAfter` is after how
 * many seconds to ask again: the database is away, and every other question will get the same.
 * `faults` are what is wrong one by one, each with its place, where the API tells them so.
 */
export class ApiError extends Error {
  constructor(status, message, retryAfter = null, faults = []) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
    this.faults = faults;
  }
}

const KEY = "universe-api-key";

export function rememberKey(key) {
  try { sessionStorage.setItem(KEY, key); } catch { /* kept for this page only */ }
  rememberedKey = key;
}

let rememberedKey = null;
function key() {
  if (rememberedKey === null) {
    try { rememberedKey = sessionStorage.getItem(KEY); } catch { /* storage may be off */ }
  }
  return rememberedKey;
}

/** The token of the read-only link in an address; null: it has none. */
export function shareOf(hash) {
  return new URLSearchParams(hash.slice(1)).get("share") || null;
}
/** The token of the link that the page was opened with; null: it was with none. */
export const SHARE = shareOf(location.hash);
const credentials = () => (SHARE ? { "X-Share-Token": SHARE } : key() ? { "X-Api-Key": key() } : {});

/** The address of a report; parameters that are empty are left out, a list is repeated. */
export function address(report, params) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") query.append(name, each);
    }
  }
  const text = query.toString();
  return `analytics/${report}${text ? `?${text}` : ""}`;
}

async function request(report, params, signal, how = {}) {
  let response;
  try {
    response = await fetch(address(report, params), { ...how, headers: { ...credentials(), ...how.headers }, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached. Check your connection.");
  }
  if (response.ok) return response;
  let problem = {};
  try { problem = await response.json(); } catch { /* not a problem document */ }
  const after = response.status === 503 ? Number(response.headers.get("Retry-After")) : 0;
  const faults = (problem.errors ?? []).map(({ parameter, message }) => ({ place: parameter, message }));
  throw new ApiError(response.status, problem.detail || `The server answered ${response.status}.`, after || null, faults);
}

const early = new Map();

/** Asks for a report that `fetchReport` will be asked for. */
export function askEarly(report, params) {
  const asked = fetchReport(report, params);
  asked.catch(() => {}); // whoever asks for it is told
  early.set(address(report, params), asked);
  return asked;
}

/** Asks for a report. */
export async function fetchReport(report, params, signal) {
  const key = address(report, params);
  const asked = early.get(key);
  early.delete(key);
  return asked ?? (await request(report, params, signal)).json();
}

/** Writes, and returns what was written. */
export async function send(method, name, params, body) {
  const how = body ? { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } } : { method };
  return (await request(name, params, undefined, how)).json();
}

/** Sends a CSV file, and returns what was taken of it. */
export async function sendCsv(name, params, file) {
  return (await request(name, params, undefined, { method: "PUT", body: file, headers: { "Content-Type": "text/csv" } })).json();
}

/** Fetches an export as a blob. */
export async function fetchExport(params) {
  return (await request("events", params)).blob();
}
