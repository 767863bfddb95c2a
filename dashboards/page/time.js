import { Plot, chart, d3, picture } from "./charts.js";
import { byId } from "./dom.js";
import { accuracy, number, whole } from "./format.js";

const LOOK = { height: 190, marginLeft: 44, marginRight: 20, marginBottom: 32, marginTop: 22 };
const MINUTE = 60_000;
const LONG = 3 * 24 * 60 * MINUTE; // from here on a tick is a day

const span = (seconds) => (seconds < 3600 ? `${seconds / 60} min` : seconds < 86_400 ? `${seconds / 3600} h` : `${seconds / 86_400} d`);
const instant = (seconds) => new Date(1000 * seconds);

// How many trials ended when, and the best validation accuracy by then.
export function overTime(found) {
  byId("time-part").hidden = !found.ended.length;
  if (!found.ended.length) return;
  const bins = found.ended.map((ended, i) => ({
    from: instant(found.from_s + i * found.width_s), to: instant(found.from_s + (i + 1) * found.width_s),
    rate: (60 * ended) / found.width_s, ended,
  }));
  const domain = [bins[0].from, bins.at(-1).to];
  pace(bins, domain, span(found.width_s));
  climb(found, domain);
}

function pace(bins, domain, each) {
  const most = d3.greatest(bins, ({ rate }) => rate);
  const title = ({ from, ended }) => `${whole(ended)} trials in ${each} from ${d3.timeFormat("%-d %b %H:%M")(from)}`;
  const said = `Trials ended a minute, a bar for each ${each}; the highest is ${number(most.rate)}.`;
  const unfinished = ({ to }) => (to > Date.now() ? 0.5 : 1); // its trials are still being counted
  picture(byId("pace"), said, (width) => chart({
    width, ...LOOK, x: axis(domain, width), y: { label: "trials a minute", grid: true, ticks: 5, tickFormat: number, nice: true },
    marks: [Plot.rectY(bins, { x1: "from", x2: "to", y: "rate", fill: "var(--complete)", fillOpacity: unfinished, title, insetLeft: 0.5, insetRight: 0.5 }),
      Plot.ruleY([0])],
  }));
}

function climb(found, domain) {
  const rises = found.rose_s.map((at, i) => ({ at: instant(at), best: found.rose_to[i] }));
  const reached = rises.length ? [...rises, { at: instant(found.last_s), best: rises.at(-1).best }] : [];
  const [low, high] = [reached[0]?.best ?? 0, reached.at(-1)?.best ?? 1];
  const flat = high - low < 0.01; // has no range of its own
  picture(byId("climb"), `Best validation accuracy so far: now ${accuracy(reached.at(-1)?.best)}.`, (width) => chart({
    width, ...LOOK, x: axis(domain, width),
    y: { label: "↑ best validation accuracy", labelArrow: "none", grid: true, ticks: 5, nice: true,
      domain: flat ? [Math.max(0, high - 0.01), Math.min(1, high + 0.01)] : [low, high] },
    marks: [Plot.line(reached, { x: "at", y: "best", curve: "step-after", stroke: "var(--accent)", strokeWidth: 2 }),
      Plot.dot(reached.slice(-1), { x: "at", y: "best", r: 3.5, fill: "var(--accent)" }),
      reached.length ? null : Plot.text(["no trial has a validation accuracy yet"], { frameAnchor: "middle" })],
  }));
}

// Whole minutes of the reader's clock, with the date below the first of a day; days where the time is long.
function axis(domain, width) {
  const long = domain[1] - domain[0] >= LONG;
  const unit = long ? d3.timeDay : d3.timeMinute;
  const ticks = d3.scaleTime(domain, [0, width]).ticks(Math.max(2, width / 110)).filter((date) => unit.floor(date) >= date);
  const [day, time] = [d3.timeFormat("%-d %b"), d3.timeFormat("%H:%M")];
  const first = (date, i) => !i || d3.timeDay.floor(date) > ticks[i - 1];
  return { type: "time", label: null, domain, ticks,
    tickFormat: (date, i) => (long ? day(date) : first(date, i) ? `${time(date)}\n${day(date)}` : time(date)) };
}
