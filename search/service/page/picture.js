/** The content of the picture of a front, by the rules of tracking/reports/figure.py and spaces/pareto/front.py. */

/**
 * `document` is the front that the service gave for `confirmed` and `axis`, `trials` the document of trials, `methods`
 * the set of those that are wanted.
 */
export function compose({ document, trials, confirmed, axis, methods }) {
  const wanted = (one) => methods.has(one.method);
  // Only one quality and the trainable parameters are known of all trials, so other fronts cannot be computed here.
  const comparable = axis === "trainable" && !confirmed;
  const finished = trials.trials.filter((one) => one.quality !== null);
  const partial = document.front.some((one) => !wanted(one)) || (comparable && finished.some((one) => !wanted(one)));
  const beside = axis === "trainable" ? finished.filter(wanted).map((one) => dot(one, false, axis)) : [];
  const given = document.front.map((one) => dot(one, confirmed, axis));
  const front = partial && comparable ? frontOf(beside, document.objective.mode) : given.filter(wanted);
  // A dot under one of the front is hidden, and would take its clicks.
  const covered = (one) => front.some((best) => best.size === one.size && best.score === one.score);
  const marked = (one) => (one && wanted(one) ? dot(one, confirmed, axis) : null);
  const sizes = [...beside, ...given].map((one) => one.size);
  const budget = axis === "trainable" ? document.budget.parameters : Math.max(1, ...sizes);
  return {
    metric: document.objective.metric,
    mode: document.objective.mode,
    axis,
    confirmed,
    methods,
    partial,
    complete: !partial || comparable,
    beside: beside.filter((one) => !covered(one)),
    front,
    best: marked(document.best),
    knee: marked(document.knee),
    answered: Boolean(document.best),
    budget,
    atLeast: axis === "trainable" ? document.budget.at_least : null,
    reference: document.reference.quality,
    ...bounds([...beside, ...given], document, budget, axis),
  };
}

export function dot(one, confirmed, axis) {
  const score = confirmed ? (one.confirmed_quality ?? one.quality) : one.quality;
  const size = axis === "trainable" ? one.trainable_parameters : one.stored_parameters;
  return {
    trial: one.trial,
    method: one.method,
    config: one.config,
    score,
    size,
    confirmed,
    spread: confirmed ? one.confirmed_std : null,
    whole: one,
  };
}

/** The dots that no other dot beats in both quality and size, ascending in size. */
function frontOf(dots, mode) {
  const sign = mode === "max" ? 1 : -1;
  let best = -Infinity;
  return [...dots]
    .sort((left, right) => left.size - right.size || sign * (right.score - left.score))
    .filter((one) => sign * one.score > best && ((best = sign * one.score), true));
}

/** The ranges of both axes, without trials worse than the head alone: one that diverged would flatten all others. */
export function bounds(dots, document, budget, axis) {
  const reference = document.reference.quality;
  const sign = document.objective.mode === "max" ? 1 : -1;
  const scores = dots
    .filter((one) => reference === null || sign * one.score >= sign * reference)
    .flatMap((one) => [one.score - (one.spread ?? 0), one.score + (one.spread ?? 0)]);
  if (reference !== null) scores.push(reference);
  if (!scores.length) scores.push(0, 1);
  const lowest = Math.min(...scores);
  const highest = Math.max(...scores);
  const margin = 0.08 * (highest - lowest) || 0.05 * Math.max(1, Math.abs(highest));
  const least = axis === "trainable" ? [document.budget.at_least] : [];
  const left = Math.max(1, Math.min(...dots.map((one) => one.size), ...least, budget / 10));
  const air = Math.max(1.05, (budget / left) ** 0.06);
  return { low: [left / air, lowest - margin], high: [budget * air, highest + margin] };
}

/** True if a dot beats the head alone. If no trial does, or the head was not measured, the service names no best. */
export function beatsHead(one, { answered, reference, mode }) {
  return answered && (reference === null || (mode === "max" ? one.score > reference : one.score < reference));
}

/** The best dot with at most `limit` parameters among those that beat the head alone. */
export function bestWithin(picture, limit) {
  if (picture.best && picture.best.size <= limit) return picture.best;
  return picture.front.findLast((one) => one.size <= limit && beatsHead(one, picture)) ?? null;
}
