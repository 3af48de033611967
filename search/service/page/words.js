/** Numbers and names in the form in which people read them. */

const SHARES = new Set([
  "accuracy",
  "f1",
  "f1-macro",
  "f1-micro",
  "seqeval-f1",
  "exact-match",
  "numeric-match",
  "token-f1",
]);
const NONE = "–";

export function isShare(metric) {
  return SHARES.has(metric);
}

/** A percentage, 87.3%, for a share of 1, else four digits. */
export function quality(value, metric) {
  if (value === null || value === undefined) return NONE;
  return isShare(metric) ? `${(100 * value).toFixed(1)}%` : String(Number(value.toPrecision(4)));
}

export function count(value) {
  return value === null || value === undefined ? NONE : value.toLocaleString("en-US");
}

export function hypervolume(value) {
  return value === null || value === undefined ? NONE : value.toFixed(3);
}

export function bytes(value) {
  if (value < 1000) return `${value} bytes`;
  const [size, unit] = value < 1e6 ? [value / 1e3, "kB"] : value < 1e9 ? [value / 1e6, "MB"] : [value / 1e9, "GB"];
  return `${Number(size.toPrecision(3))} ${unit}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function moment(text) {
  if (!text) return NONE;
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

export function setting(value) {
  if (typeof value === "number") return String(Number.isInteger(value) ? value : Number(value.toPrecision(3)));
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
}

export function settings(config) {
  return Object.entries(config)
    .map(([knob, value]) => `${knob} ${setting(value)}`)
    .join(", ");
}

export function trials(counts) {
  return ["finished", "stopped", "failed", "rejected"]
    .filter((state) => state === "finished" || counts[state])
    .map((state) => `${counts[state]} ${state}`)
    .join(", ");
}

/** A hub id unchanged; the last two names of a folder. */
export function model(path) {
  return path.startsWith("/") ? path.split("/").slice(-2).join("/") : path;
}

const LIVE = new Set(["queued", "running", "stopping"]);

export function isLive(state) {
  return LIVE.has(state);
}
