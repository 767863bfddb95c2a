import { Plot, chart, d3, message, picture } from "./charts.js";
import { h, table } from "./dom.js";
import { compact, duration, number, percent, whole } from "./format.js";

const KEY_CHARS = 8; // characters of a trial's key to show

// Draws any table. The kind of a column determines the format of its cells; trials become buttons that open them.
export function drawTable(frame, data, { onPick, maxRows = Infinity }) {
  if (!data.rows.length) return message(frame, data.caption);
  const indices = d3.range(data.columns.length).filter((i) => !data.columns[i].detail);
  const shown = indices.map((i) => data.columns[i]);
  const head = shown.map(({ label, unit }) => (unit ? `${label} (${unit})` : label));
  const rows = data.rows.slice(0, maxRows).map((row) => h("tr", {}, indices.map((i, at) =>
    h(at ? "td" : "th", { scope: at ? null : "row" }, cellOf(row[i], data.columns[i], onPick)))));
  const texts = head.filter((_, at) => at && shown[at].kind === "text");
  frame.replaceChildren(table(data.title, head, rows, texts));
  return null;
}

function cellOf(value, column, onPick) {
  if (value === null || value === undefined) return "–";
  if (column.kind === "trial") {
    return h("button", { type: "button", onclick: () => onPick(value), "aria-label": `Show trial ${value.key}` }, value.key.slice(0, KEY_CHARS));
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

// Returns the (phase, cell) whose shares are drawn, as text.
export function sharesOf({ columns, rows: [first] }) {
  const [phase, cell] = ["phase", "cell"].map((name) => first[columns.findIndex((column) => column.name === name)]);
  return cell === "all" ? "the mean over cells, weighted by numbers of trials" : `${phase} ${cell}`;
}

// Draws the shares of a table's first (phase, cell) as bars, most important first.
export function drawShares(frame, data) {
  const at = Object.fromEntries(data.columns.map(({ name }, i) => [name, i]));
  const [first] = data.rows;
  const group = data.rows.filter((row) => row[at.phase] === first[at.phase] && row[at.cell] === first[at.cell]);
  const shown = group.map((row) => ({ name: row[at.parameter], share: row[at.share] })).filter(({ share }) => share >= 0.005).slice(0, 8);
  if (!shown.length) return message(frame, data.caption || "No parameter stands out.");
  const shares = ({ share }) => `${(100 * share).toFixed(0)} %`;
  return picture(frame, `Importance: ${shown.map((row) => `${row.name} ${shares(row)}`).join(", ")}.`, (width) => chart({
    width, height: 26 + 25 * shown.length, marginLeft: 120, marginRight: 44, marginTop: 4, marginBottom: 4,
    x: { axis: null }, y: { label: null, tickSize: 0 },
    marks: [Plot.barX(shown, { x: "share", y: "name", sort: { y: "-x" }, fill: "var(--accent)", rx: 3 }),
      Plot.text(shown, { x: "share", y: "name", text: shares, textAnchor: "start", dx: 6 })],
  }));
}
