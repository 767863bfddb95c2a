import { d3, legend, message, picture, scalesOf } from "./charts.js";
import { counted, number, whole } from "./format.js";
import { scatter } from "./scatter.js";
import { bars, steps } from "./time.js";

const drawers = new WeakMap();

// Returns the marks of one kind as rows; each column of the marks is a field of a row.
export function rowsOf(figure, kind) {
  return figure.marks.filter((mark) => mark.kind === kind).flatMap(({ columns }) => {
    const names = Object.keys(columns);
    const length = columns[names[0]]?.length ?? 0;
    return d3.range(length).map((i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
  });
}

export const titleOf = ({ label, unit }) => (unit ? `${label} (${unit})` : label);

// Draws any figure into a frame, as its axes and marks specify.
export function drawFigure(frame, figure, { caption, onPick }) {
  if (figure.x.scale === "time") {
    caption?.replaceChildren(figure.caption);
    if (!figure.of) return message(frame, figure.caption);
    const draw = rowsOf(figure, "bar").length ? bars : steps;
    return picture(frame, `${figure.title}. ${figure.caption}`, (width) => draw(figure, width));
  }
  if (!drawers.has(frame)) drawers.set(frame, scatter(frame, { onPick }));
  const points = rowsOf(figure, "dot").map((point) => ({ ...point, text: textOf(figure, point) }));
  drawers.get(frame)({
    figure, points, lines: rowsOf(figure, "line"), rings: rowsOf(figure, "ring"), intervals: rowsOf(figure, "interval"),
    rules: figure.marks.filter(({ kind }) => kind === "rule").flatMap(({ columns, label }) => columns.y.map((y) => ({ y, label }))),
    label: `${figure.title}: ${counted(points.length, "trial")}.`,
  });
  caption?.replaceChildren(legend(scalesOf(points, figure)), figure.caption);
  return null;
}

function textOf({ names, x, y }, point) {
  const known = Object.entries(names).filter(([name]) => point[name] !== null && point[name] !== undefined);
  const lines = known.map(([name, label]) => (name === "cell" ? point[name] : `${label} ${valueOf(point[name])}`));
  return [...lines, `${titleOf(x)} ${number(point.x)}`, `${titleOf(y)} ${number(point.y)}`].join("\n");
}

const valueOf = (value) => (typeof value === "number" ? whole(value) : String(value));
