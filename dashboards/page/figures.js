import { get, studyPath } from "./api.js";
import { d3, keysOf, legend } from "./charts.js";
import { byId } from "./dom.js";
import { accuracy, number, whole } from "./format.js";
import { scatter } from "./scatter.js";

const MOST = { quality: 10_000, nmi: 4000, ratio: 4000 }; // the rest is thinned out by the service
const ACROSS = { all_psnr: "PSNR (dB)", all_iou: "IoU", all_ssim: "SSIM", steps: "fitting steps" };
const drawn = {};
const asked = {}; // the latest question of each figure: an answer to an older one comes too late

// The three pictures of accuracy: against quality (`first`), then against structure of the weights and smoothness.
export function figures({ onPick }) {
  const [quality, nmi, ratio] = ["quality", "nmi", "ratio"].map((id) => scatter(byId(`${id}-plot`), { onPick }));
  return {
    first(study, chosen) {
      const across = byId("across").value;
      return figure("quality", quality,
        { study, chosen, x: across, xLabel: ACROSS[across], log: across === "steps", ladders: true, facet: "field", symbol: "signals" });
    },
    then: (study, chosen) => Promise.all([
      figure("nmi", nmi, { study, chosen, x: "all_nmi", xLabel: "NMI of the weights", symbol: "field" }),
      figure("ratio", ratio, { study, chosen, x: "all_off_grid_ratio", xLabel: "off-grid / in-grid PSNR", symbol: "field", rank: true }),
    ]),
  };
}

async function figure(id, show, { study, chosen, x, rank, ...look }) {
  const query = new URLSearchParams({ x, y: "test_accuracy", limit: MOST[id], ...chosen });
  const path = `${studyPath(study)}/points?${query}`;
  asked[id] = path;
  const found = await get(path);
  if (asked[id] !== path || drawn[id] === found) return;
  const points = pointsOf(found, look.xLabel);
  show({ points, yLabel: "test accuracy", label: `Test accuracy against ${look.xLabel} of ${points.length} trials.`, ...look });
  const thinned = found.of > points.length ? ` of ${whole(found.of)}, thinned evenly` : "";
  const said = [`${whole(points.length)} complete trials${thinned}.`, rank && !thinned ? rankWords(points) : ""]; // what thinning leaves has another rank correlation
  byId(`${id}-caption`).replaceChildren(legend(keysOf(points, look.symbol)), said.join(" "));
  drawn[id] = found;
}

function pointsOf(found, xLabel) {
  return found.key.map((key, i) => {
    const [signals, field] = found.cell[i].split("/");
    return {
      key, signals, field, phase: found.phase[i], start: found.start[i], steps: found.steps[i], x: found.x[i], y: found.y[i],
      ladder: `${found.phase[i]} ${found.dataset[i]}`,
      text: `${found.cell[i]}, ${found.start[i]} start\n${whole(found.steps[i])} steps, hidden ${number(found.hidden[i])}\n`
        + `${xLabel} ${number(found.x[i])}\ntest accuracy ${accuracy(found.y[i])}`,
    };
  });
}

// Spearman's rank correlation, start by start: the shared one is what the paper speaks of.
function rankWords(points) {
  const found = d3.groups(points, (point) => point.start).filter(([, group]) => group.length > 3);
  const words = found.map(([start, group]) => {
    const rank = correlation(...["x", "y"].map((name) => Array.from(d3.rank(group, (point) => point[name]))));
    return `${start} ${number(Number(rank.toFixed(2)))} (n\u00a0=\u00a0${whole(group.length)})`;
  });
  return words.length ? `Rank correlation: ${words.join(", ")}.` : "";
}

function correlation(a, b) {
  const [meanA, meanB] = [d3.mean(a), d3.mean(b)];
  const covariance = d3.sum(a, (value, i) => (value - meanA) * (b[i] - meanB));
  const spread = Math.sqrt(d3.sum(a, (value) => (value - meanA) ** 2) * d3.sum(b, (value) => (value - meanB) ** 2));
  return spread ? covariance / spread : NaN;
}
