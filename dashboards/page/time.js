import { Plot, chart, d3 } from "./charts.js";
import { rowsOf } from "./figures.js";
import { counted, number } from "./format.js";

const LOOK = { height: 190, marginLeft: 44, marginRight: 20, marginBottom: 32, marginTop: 22 };
const MINUTE = 60_000;
const LONG = 3 * 24 * 60 * MINUTE; // longer time axes have a tick per day

const instant = (seconds) => new Date(1000 * seconds);

// Draws one bar per interval; the current interval is pale.
export function bars(figure, width) {
  const rows = rowsOf(figure, "bar").map((row) => ({ ...row, x1: instant(row.x1), x2: instant(row.x2) }));
  const title = ({ x1, x2, ended }) =>
    `${counted(ended, "trial")}, ${d3.timeFormat("%-d %b %H:%M")(x1)} to ${d3.timeFormat("%H:%M")(x2)}`;
  return chart({
    width, ...LOOK, x: axis(figure, width),
    y: { label: figure.y.label, grid: true, ticks: 5, tickFormat: number, nice: true },
    marks: [Plot.rectY(rows, { x1: "x1", x2: "x2", y: "y", fill: "var(--complete)", title, insetLeft: 0.5, insetRight: 0.5,
      fillOpacity: ({ x2 }) => (x2 > Date.now() ? 0.5 : 1) }), Plot.ruleY([0])],
  });
}

// Draws a step line that changes at each new best trial.
export function steps(figure, width) {
  const rows = rowsOf(figure, "step").map((row) => ({ ...row, x: instant(row.x) }));
  const [low, high] = d3.extent(rows, ({ y }) => y);
  const flat = high - low < 0.01; // too small a range for an axis
  return chart({
    width, ...LOOK, x: axis(figure, width),
    y: { label: `↑ ${figure.y.label}`, labelArrow: "none", grid: true, ticks: 5, nice: true, domain: flat ? [low - 0.01, high + 0.01] : [low, high] },
    marks: [Plot.line(rows, { x: "x", y: "y", curve: "step-after", stroke: "var(--accent)", strokeWidth: 2 }),
      Plot.dot(rows.slice(-1), { x: "x", y: "y", r: 3.5, fill: "var(--accent)" })],
  });
}

// Returns a time axis in local time, with ticks at whole minutes and the date below the first tick of each day. A long axis has
// only dates.
function axis(figure, width) {
  const domain = figure.x.domain.map(instant);
  const long = domain[1] - domain[0] >= LONG;
  const unit = long ? d3.timeDay : d3.timeMinute;
  const ticks = d3.scaleTime(domain, [0, width]).ticks(Math.max(2, width / 110)).filter((date) => unit.floor(date) >= date);
  const [day, time] = [d3.timeFormat("%-d %b"), d3.timeFormat("%H:%M")];
  const first = (date, i) => !i || d3.timeDay.floor(date) > ticks[i - 1];
  return { type: "time", label: null, domain, ticks,
    tickFormat: (date, i) => (long ? day(date) : first(date, i) ? `${time(date)}\n${day(date)}` : time(date)) };
}
