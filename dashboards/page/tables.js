import { Plot, chart, d3, picture, words } from "./charts.js";
import { h, table } from "./dom.js";
import { compact, duration, number, percent, whole } from "./format.js";

const KEY = 8; // characters of a trial's key that are shown

// A table of any kind: cells by the kind of their column, trials as buttons that open them.
export function drawTable(frame, found, { onPick, most = Infinity }) {
  if (!found.rows.length) return words(frame, found.caption);
  const places = d3.range(found.columns.length).filter((i) => !found.columns[i].detail);
  const shown = places.map((i) => found.columns[i]);
  const head = shown.map(({ label, unit }) => (unit ? `${label} (${unit})` : label));
  const rows = found.rows.slice(0, most).map((row) => h("tr", {}, places.map((i, at) =>
    h(at ? "td" : "th", { scope: at ? null : "row" }, cellOf(row[i], found.columns[i], onPick)))));
  const texts = head.filter((_, at) => at && shown[at].kind === "text");
  frame.replaceChildren(table(found.title, head, rows, texts));
  return null;
}

function cellOf(value, column, onPick) {
  if (value === null || value === undefined) return "–";
  if (column.kind === "trial") {
    return h("button", { type: "button", onclick: () => onPick(value), "aria-label": `Show trial ${value.key}` }, value.key.slice(0, KEY));
  }
  if (column.kind === "mean" || column.kind === "difference") return meanOf(value, column);
  return textOf(value, column);
}

function meanOf({ mean, sd, half }, { kind, digits, sure }) {
  const spread = sure ? half : sd;
  const sign = kind === "difference" && mean > 0 ? "+" : "";
  const shown = `${sign}${mean.toFixed(digits)}`.replace("-", "−");
  return [shown, spread === null ? "" : h("span", { class: "sd" }, ` ± ${spread.toFixed(digits)}`)];
}

export function textOf(value, { kind, digits }) {
  if (typeof value === "string") return value;
  switch (kind) {
    case "count": return compact(value);
    case "percent": return percent(value);
    case "share": return `${(100 * value).toFixed(0)} %`;
    case "seconds": return duration(value);
    case "number": return Number.isInteger(value) ? whole(value) : value.toFixed(digits).replace("-", "−");
    default: return number(value);
  }
}

// Shares as bars: of a table with one row for each name, its first group, most important first.
export function drawShares(frame, found) {
  const at = Object.fromEntries(found.columns.map(({ name }, i) => [name, i]));
  const [first] = found.rows;
  const group = found.rows.filter((row) => row[at.phase] === first[at.phase] && row[at.cell] === first[at.cell]);
  const shown = group.map((row) => ({ name: row[at.parameter], share: row[at.share] })).filter(({ share }) => share >= 0.005).slice(0, 8);
  if (!shown.length) return words(frame, found.caption || "No parameter stands out.");
  const shares = ({ share }) => `${(100 * share).toFixed(0)} %`;
  return picture(frame, `Importance: ${shown.map((row) => `${row.name} ${shares(row)}`).join(", ")}.`, (width) => chart({
    width, height: 26 + 25 * shown.length, marginLeft: 120, marginRight: 44, marginTop: 4, marginBottom: 4,
    x: { axis: null }, y: { label: null, tickSize: 0 },
    marks: [Plot.barX(shown, { x: "share", y: "name", sort: { y: "-x" }, fill: "var(--accent)", rx: 3 }),
      Plot.text(shown, { x: "share", y: "name", text: shares, textAnchor: "start", dx: 6 })],
  }));
}
