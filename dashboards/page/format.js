export const NONE = "–";
const missing = (value) => value === null || value === undefined || Number.isNaN(value);

const minus = (text) => text.replace("-", "−");

export const fixed = (value, digits = 3) => (missing(value) ? NONE : minus(value.toFixed(digits)));
export const whole = (value) => (missing(value) ? NONE : value.toLocaleString("en"));
export const counted = (n, noun) => `${whole(n)} ${noun}${n === 1 ? "" : "s"}`;
export const compact = (value) => (missing(value) ? NONE
  : value < 1e6 ? whole(Math.round(value)) : value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 4 }));

export function percent(value) {
  if (missing(value)) return NONE;
  const rounded = Math.round(value);
  return `${rounded > 0 ? "+" : ""}${minus(String(rounded || 0))} %`;
}

export function number(value) {
  if (missing(value)) return NONE;
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e6)) return minus(value.toExponential(2));
  return minus(Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4))));
}

export function rate(perMinute) {
  if (missing(perMinute)) return NONE;
  if (perMinute >= 1) return `${perMinute.toFixed(perMinute >= 10 ? 0 : 1)} / min`;
  return `${(perMinute * 60).toFixed(1)} / h`;
}

export function duration(seconds) {
  if (missing(seconds)) return NONE;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86400).toFixed(1)} d`;
}
