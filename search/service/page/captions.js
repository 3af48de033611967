/** Sentences about a picture of a front, for the text beside it and for screen readers. */

import { count, quality } from "./words.js";

export function scored(dot, picture) {
  return quality(dot.score, picture.metric);
}

export function summary(picture) {
  const { best, front } = picture;
  if (!front.length) return "Front without points.";
  const points = `Front of ${count(front.length)} points`;
  if (!best) return `${points}.`;
  return `${points}, best quality ${scored(best, picture)} with ${count(best.size)} parameters.`;
}

/** The reason why no point is chosen. */
export function absence({ front, partial, answered }) {
  if (front.length) return answered ? "No point this small beats the head alone" : "No trial beats the head alone";
  return partial ? "No point is of the chosen methods" : "No point was confirmed";
}

export function caption({ confirmed, axis, partial, complete }) {
  if (complete && partial) return "Front of the chosen methods alone.";
  if (partial) return "Those points of the whole front that belong to the chosen methods.";
  if (!confirmed) return "Every point was trained once, so it is partly luck.";
  const points = "Points trained again on fresh seeds: mean and standard deviation.";
  return axis === "trainable" ? `${points} Faint: all trials, by one training.` : points;
}
