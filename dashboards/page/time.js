import { Plot, chart, picture } from "./charts.js";
import { byId } from "./dom.js";
import { accuracy, duration, whole } from "./format.js";

const HEIGHT = 190;
const LOOK = { height: HEIGHT, marginLeft: 44, marginBottom: 32, marginTop: 22 };

// How many trials ended when, and the best validation accuracy by then.
export function overTime(found) {
  const bins = found.ended.map((ended, i) => ({
    from: new Date(1000 * (found.from_s + i * found.width_s)), to: new Date(1000 * (found.from_s + (i + 1) * found.width_s)),
    rate: (60 * ended) / found.width_s, best: found.best[i],
  }));
  byId("time-part").hidden = !bins.length;
  if (!bins.length) return;
  const span = duration(found.width_s * bins.length);
  picture(byId("pace"), `Trials ended a minute over ${span}; the highest is ${whole(Math.round(Math.max(...bins.map(({ rate }) => rate))))}.`, (width) => chart({
    width, ...LOOK, x: axis(width), y: { label: "trials a minute", grid: true, ticks: 5 },
    marks: [Plot.rectY(bins, { x1: "from", x2: "to", y: "rate", fill: "var(--complete)", insetLeft: 0.5, insetRight: 0.5 }), Plot.ruleY([0])],
  }));
  const reached = bins.filter(({ best }) => best !== null);
  const [low, high] = [reached[0]?.best ?? 0, reached.at(-1)?.best ?? 1];
  const domain = high - low < 0.01 ? [Math.max(0, high - 0.01), Math.min(1, high + 0.01)] : [low, high]; // a flat line has no range
  picture(byId("climb"), `Best validation accuracy so far over ${span}: now ${accuracy(reached.at(-1)?.best)}.`, (width) => chart({
    width, ...LOOK, x: axis(width), y: { label: "↑ best validation accuracy", labelArrow: "none", grid: true, ticks: 5, nice: true, domain },
    marks: [Plot.line(reached, { x: "to", y: "best", curve: "step-before", stroke: "var(--accent)", strokeWidth: 2 }),
      Plot.dot(reached.slice(-1), { x: "to", y: "best", r: 3.5, fill: "var(--accent)" })],
  }));
}

const axis = (width) => ({ type: "time", label: null, ticks: Math.max(2, width / 110) });
