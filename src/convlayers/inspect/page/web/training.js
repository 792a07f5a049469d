// How a run went: curves, the gap, the confusion matrix, the worst mistakes.

import { make, makeSvg, place } from "./elements.js";
import { numbers, percent, shown } from "./numbers.js";
import { Picture, paintColours } from "./picture.js";

const WIDTH = 460;
const HEIGHT = 220;
const MARGIN = { left: 44, right: 84, top: 12, bottom: 28 };

/** The section of a run; hidden where there is none. */
export function training({ training: run }) {
  if (!run) return;
  place("training").hidden = false;
  place("training-link").hidden = false;
  place("run-text").textContent = whole(run.text);
  if (run.epochs.length) {
    place("gap").replaceChildren(make("strong", {}, run.gap.title), ` ${whole(run.gap.text)}`);
    place("curves").append(
      chart("Loss", run.epochs, ["train_loss", "test_loss"], (v) => shown(v, 2)),
      chart("Accuracy", run.epochs, ["train_accuracy", "test_accuracy"], (v) => `${Math.round(100 * v)} %`),
    );
    place("epochs").append(epochs(run.epochs));
  }
  place("epochs-panel").hidden = !run.epochs.length;
  if (run.confusion) confusion(run);
  if (run.mistakes) mistakes(run);
}

/** Without a line's end between a number and its sign. */
function whole(text) {
  return text.replaceAll(" %", "\u00a0%");
}

function chart(title, rows, keys, format) {
  const all = rows.flatMap((row) => keys.map((key) => row[key]));
  const [low, high] = title === "Accuracy" ? [Math.floor(10 * Math.min(...all)) / 10, 1] : [0, Math.max(...all)];
  const x = (i) => MARGIN.left + (rows.length < 2 ? 0 : i / (rows.length - 1)) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (v) => MARGIN.top + (1 - (v - low) / (high - low || 1)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const text = (content, attributes) => {
    const element = makeSvg("text", attributes);
    element.textContent = content;
    return element;
  };
  const lines = [0, 0.5, 1].flatMap((share) => {
    const value = low + share * (high - low);
    return [
      makeSvg("line", { x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: y(value), y2: y(value), class: "rule" }),
      text(format(value), { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }),
    ];
  });
  const last = rows.length - 1;
  // Two lines that end close to each other have their names apart.
  const ends = keys.map((key) => y(rows[last][key]));
  const apart = Math.abs(ends[0] - ends[1]) < 14 ? (ends[0] <= ends[1] ? [-7, 7] : [7, -7]) : [0, 0];
  const curves = keys.flatMap((key, k) => [
    makeSvg("path", { d: `M${rows.map((row, i) => `${x(i)},${y(row[key])}`).join("L")}`, class: `line ${k ? "held" : "seen"}` }),
    text(k ? "held out" : "training", { x: x(last) + 8, y: (apart[0] ? (ends[0] + ends[1]) / 2 : ends[k]) + apart[k] + 4,
      class: k ? "held" : "seen" }),
  ]);
  const axis = [
    text("1", { x: x(0), y: HEIGHT - 8, "text-anchor": "middle" }),
    text(`epoch ${rows[last].epoch}`, { x: x(last), y: HEIGHT - 8, "text-anchor": "middle" }),
  ];
  const label = `${title} by epoch. At the end: training ${format(rows[last][keys[0]])}, held out ${format(rows[last][keys[1]])}.`;
  return make("figure", { class: "chart" }, make("figcaption", {}, title),
    makeSvg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, lines, curves, axis));
}

function epochs(rows) {
  const head = ["Epoch", "Training loss", "Held-out loss", "Training accuracy", "Held-out accuracy"];
  const cells = (row) => [row.epoch, shown(row.train_loss), shown(row.test_loss), percent(row.train_accuracy), percent(row.test_accuracy)];
  return make("table", { class: "plain" },
    make("thead", {}, make("tr", {}, head.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, cells(row).map((cell) => make("td", {}, cell))))));
}

/** Rows are what is shown, columns what was said; the diagonal is right. */
function confusion({ confusion: counts, classes }) {
  place("confusion-panel").hidden = false;
  const line = (row, i) => {
    const total = row.reduce((a, b) => a + b, 0) || 1;
    return make("tr", {}, make("th", { scope: "row" }, classes[i]), row.map((count, j) => {
      const kind = i === j ? "right" : "wrong";
      const title = `${classes[i]} taken for ${classes[j]}: ${count} of ${total}`;
      return make("td", { class: count ? kind : "none", style: `--share:${count / total}`, title }, count || "·");
    }));
  };
  const head = make("tr", {}, make("td", {}), classes.map((name) => make("th", { scope: "col" }, name)));
  place("confusion").append(make("table", { class: "confusion" },
    make("caption", {}, "Rows: what it is. Columns: what the network says."),
    make("thead", {}, head), make("tbody", {}, counts.map(line))));
}

function mistakes({ mistakes: list, classes }) {
  place("mistakes-panel").hidden = false;
  const figures = list.map(({ pixels, label, said, share }) => {
    const text = `${classes[label]}, taken for ${classes[said]} (${percent(share)})`;
    const picture = new Picture(text);
    const [channels, height, width] = pixels.shape;
    const bytes = numbers(pixels);
    if (channels === 3) {
      paintColours(picture.canvas, bytes, height, width, height * width, 0);
      picture.fit(height, width);
    } else {
      picture.draw(bytes, height, width, { kind: "grey", low: 0, high: 255 });
    }
    return picture.element;
  });
  place("mistakes").replaceChildren(...figures);
  if (!list.length) place("mistakes").append(make("p", { class: "hint" }, "None: every held-out example is named right."));
}
