/** Requests to the HTTP service, its problem documents, the token, and polling. */

const KEY = "paretune-token";

/** Events: `token` (a new one was given), `refused` (one is needed), `lost` and `found` (the connection). */
export const session = new EventTarget();

/** A refusal of the service, or no answer; its message is one line for the reader. */
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function hasToken() {
  return sessionStorage.getItem(KEY) !== null;
}

export function setToken(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
  session.dispatchEvent(new Event("token"));
}

/** Send a request; `path` is relative to the page, so that a proxy may add any prefix. */
async function request(path, { method = "GET", body, signal } = {}) {
  const headers = {};
  if (hasToken()) headers.Authorization = `Bearer ${sessionStorage.getItem(KEY)}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    session.dispatchEvent(new Event("lost"));
    throw new Problem(0, "The service does not answer.");
  }
  session.dispatchEvent(new Event("found"));
  if (response.ok) return response;
  const problem = await explained(response);
  if (response.status === 401) session.dispatchEvent(new CustomEvent("refused", { detail: problem.message }));
  throw problem;
}

async function explained(response) {
  // A proxy may answer with a page of its own.
  const said = await response.json().catch(() => ({}));
  const title = said.title ?? `The service answered ${response.status}`;
  return new Problem(response.status, typeof said.detail === "string" ? `${title}: ${said.detail}` : title);
}

export async function get(path, signal) {
  return (await request(path, { signal })).json();
}

/** As `get`, but null if the document does not exist (yet). */
export async function find(path, signal) {
  try {
    return await get(path, signal);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Send a request that goes on even when the reader leaves the page. */
export async function post(path, body) {
  return (await request(path, { method: "POST", body })).json();
}

/** Save a file; a plain link could not carry the token. */
export async function download(path, name) {
  const response = await request(path);
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser reads the address after the click has returned.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export function searchPath(name, ...rest) {
  return ["v1/searches", ...[name, ...rest].map(encodeURIComponent)].join("/");
}

const SECONDS = 4;
const SECONDS_HIDDEN = 40;

/**
 * Call `work` at once and every few seconds until it returns false or `signal` is aborted. Problems go to `report`, and
 * `work` is tried again; after a refused token, with the next token. Returns a function that calls `work` at once, even
 * after the end.
 */
export function repeat(work, report, signal) {
  let timer;
  let busy = false;
  let again = false;
  async function now() {
    clearTimeout(timer);
    if (signal.aborted) return;
    again = busy;
    if (busy) return;
    busy = true;
    let more = true;
    try {
      more = await work();
      report(null);
    } catch (problem) {
      if (signal.aborted) return;
      // With the same token the answer would be the same.
      more = problem.status !== 401;
      // A lost connection is shown once for the whole page.
      report(problem.status === 0 ? null : problem);
    } finally {
      busy = false;
    }
    if (again) await now();
    else if (more && !signal.aborted) timer = setTimeout(now, 1000 * (document.hidden ? SECONDS_HIDDEN : SECONDS));
    else timer = undefined;
  }
  document.addEventListener("visibilitychange", () => !document.hidden && timer && now(), { signal });
  session.addEventListener("token", now, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  now();
  return now;
}
