const NONE = "–";
const missing = (value) => value === null || value === undefined || Number.isNaN(value);

export const accuracy = (value) => (missing(value) ? NONE : value.toFixed(3));
export const whole = (value) => (missing(value) ? NONE : value.toLocaleString("en"));
export const compact = (value) => (missing(value) ? NONE : value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 }));
export const percent = (value) => (missing(value) ? NONE : `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(0)} %`);

export function number(value) {
  if (missing(value)) return NONE;
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e6)) return value.toExponential(2);
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
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
