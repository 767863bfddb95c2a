import { get } from "./api.js";
import { h, svg, table } from "./dom.js";
import { accuracy, number, whole } from "./format.js";
import { phaseName } from "./sections.js";

const WIDTH = 320;
const HEIGHT = 130;
const PAD = { left: 40, right: 8, top: 8, bottom: 20 };

// Opens the dialog on one trial: its numbers, curves, picture and parameters.
export async function showTrial(dialog, { key, study, phase }) {
  const query = new URLSearchParams({ ...(study && { study }), ...(phase && { phase }) });
  const trial = await get(`/v1/trials/${encodeURIComponent(key)}?${query}`);
  dialog.replaceChildren(h("article", {},
    h("div", { class: "heading" },
      h("h2", { id: "trial-title" }, `${trial.cell}, ${trial.start} start, ${whole(trial.steps)} steps`),
      h("button", { type: "button", onclick: () => dialog.close(), autofocus: true }, "Close")),
    h("p", { class: "lead" }, `${phaseName(trial.phase)} · ${trial.state.toLowerCase()}${trial.reused ? ", reused" : ""} · `,
      h("span", { class: "mono" }, trial.key)),
    trial.error ? h("p", { class: "failed" }, `${trial.cause}: ${trial.error}`) : null,
    trial.log.length ? h("details", {}, h("summary", {}, "Last lines of its log"), h("pre", {}, trial.log.join("\n"))) : null,
    numbers(trial), pictures(trial),
    h("div", { class: "pair" }, curves(trial)),
    h("details", {}, h("summary", {}, "Parameters"), pairs(trial.parameters)),
    h("details", {}, h("summary", {}, "All metrics"), pairs(trial.metrics)),
    h("details", {}, h("summary", {}, "How it was computed"), pairs(trial.fingerprint))));
  if (!dialog.open) dialog.showModal();
}

function numbers(trial) {
  const shown = [["Test accuracy", accuracy(trial.test_accuracy)], ["Validation", accuracy(trial.val_accuracy)],
    ["PSNR (dB)", number(trial.metrics.all_psnr)], ["SSIM", number(trial.metrics.all_ssim)], ["NMI", number(trial.metrics.all_nmi)]];
  return h("div", { class: "tiles" }, shown.map(([name, value]) =>
    h("div", { class: "tile" }, h("dl", {}, h("dt", {}, name), h("dd", {}, value)))));
}

function pictures(trial) {
  return trial.artefacts.filter((name) => name.endsWith(".png")).map((name) => h("p", {},
    h("img", { src: `/v1/trials/${trial.key}/artefacts/${name}`, loading: "lazy",
      alt: name === "reconstruction.png" ? "Originals above, reconstructions below" : name })));
}

const pairs = (values) => table("Values", ["Name", "Value"], Object.entries(values).sort().map(([name, value]) =>
  h("tr", {}, h("th", { scope: "row", class: "mono" }, name),
    h("td", { class: "mono" }, typeof value === "number" ? number(value) : String(value ?? "–")))));

function curves(trial) {
  return Object.entries(trial.curves).sort().map(([name, pairs]) => {
    const points = pairs.filter(([, value]) => value !== null);
    return points.length > 1 ? h("div", {}, h("h3", {}, name), line(name, points)) : null;
  });
}

function line(name, points) {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const atX = (x) => PAD.left + ((x - x0) / (x1 - x0 || 1)) * (WIDTH - PAD.left - PAD.right);
  const atY = (y) => PAD.top + (1 - (y - y0) / (y1 - y0 || 1)) * (HEIGHT - PAD.top - PAD.bottom);
  const text = (x, y, anchor, value) => svg("text", { x, y, "text-anchor": anchor }, number(Number(value.toPrecision(3))));
  const last = points[points.length - 1];
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img",
    "aria-label": `${name}: from ${number(ys[0])} to ${number(last[1])} over ${points.length} points` },
  svg("line", { x1: PAD.left, x2: WIDTH - PAD.right, y1: HEIGHT - PAD.bottom, y2: HEIGHT - PAD.bottom }),
  text(PAD.left - 4, PAD.top + 8, "end", y1), text(PAD.left - 4, HEIGHT - PAD.bottom, "end", y0),
  text(PAD.left, HEIGHT - 6, "start", x0), text(WIDTH - PAD.right, HEIGHT - 6, "end", x1),
  svg("path", { d: points.map(([x, y], i) => `${i ? "L" : "M"}${atX(x).toFixed(1)} ${atY(y).toFixed(1)}`).join("") }),
  svg("circle", { cx: atX(last[0]), cy: atY(last[1]), r: 2.5 }));
}
