// The playground: input, convolution, activation, pooling, each as one chooses, while the window slides.

import { activation, amounts, convolve, dot, outputs, pool, reach, refusal, source, taps, windowAt } from "./arithmetic.js";
import { scaleOf } from "./colour.js";
import { make, place } from "./elements.js";
import { numbers, shown } from "./numbers.js";
import { Picture } from "./picture.js";
import { Player } from "./player.js";
import { products, sum } from "./products.js";
import { settings } from "./settings.js";

const ONE = { n: 1, k: 1, s: 1, d: 1, low: 0, high: 0, border: "constant", value: 0 };

/** The four steps. */
export class Playground {
  constructor(data) {
    this.data = data;
    this.input = 0;
    this.flat = data.playground.pictures[0].shape[0] === 1;
    const point = (row, column) => this.player.go(row * this.columns + column);
    this.pictures = {
      input: new Picture("1 Input"),
      convolved: new Picture("2 Convolution", { onpoint: point }),
      active: new Picture("3 Activation", { onpoint: point }),
      pooled: new Picture("4 Pooling"),
    };
    place("steps").classList.toggle("flat", this.flat);
    place("steps").append(...Object.values(this.pictures).map((picture) => picture.element));
    this.player = new Player(place("player"), (position, playing) => this.showPosition(position, playing));
    this.settings = settings(place("settings"), data.playground.kernels, this.flat, () => this.compute());
    this.compute();
    this.player.go(Math.floor(this.rows / 2) * this.columns + Math.floor(this.columns / 2));
  }

  /** Another input, or other colours. */
  redraw(input) {
    this.input = input;
    this.compute();
  }

  /** The axes of the convolution as it is set: depth (one plane), height, width. */
  axes(height, width) {
    const { kernel, rows, columns, stride, padding, border, fill, dilation } = this.settings;
    this.kernel = Float64Array.from(kernel);
    const axis = (n, k) => {
      const [low, high] = amounts(padding, n, k, stride, dilation);
      return { n, k, s: stride, d: dilation, low, high, border, value: border === "constant" ? fill : 0 };
    };
    return [ONE, this.flat ? { ...ONE, n: height } : axis(height, rows), axis(width, columns)];
  }

  compute() {
    const picture = this.data.playground.pictures[this.input];
    const [height, width] = picture.shape;
    this.image = numbers(picture);
    this.convolution = this.axes(height, width);
    this.formula();
    const problem = this.convolution.map(refusal).find(Boolean) ?? "";
    place("playground-problem").textContent = problem;
    place("steps").hidden = Boolean(problem);
    place("playground-numbers").hidden = Boolean(problem);
    if (problem) return this.player.of(0);
    [, this.rows, this.columns] = this.convolution.map(outputs);
    this.convolved = convolve(this.image, this.kernel, this.convolution);
    const { activation: chosen, slope } = this.settings;
    this.active = this.convolved.map(activation(chosen, slope));
    this.pooling = this.poolAxes();
    this.pooled = this.pooling ? pool(this.active, this.pooling, this.settings.pool) : null;
    this.scales = { input: this.inputScale(), convolved: scaleOf(this.convolved), active: scaleOf(this.active) };
    this.drawInput();
    this.player.of(this.rows * this.columns);
  }

  poolAxes() {
    const { pool: kind, poolSize: k, poolStride: s } = this.settings;
    const axis = (n) => ({ ...ONE, n, k, s });
    const axes = [ONE, this.flat ? { ...ONE, n: this.rows } : axis(this.rows), axis(this.columns)];
    return kind === "none" || axes.some((each) => outputs(each) < 1) ? null : axes;
  }

  /** Pictures are grey between 0 and 1, signals coloured about 0; a constant beyond the border may be more. */
  inputScale() {
    const { value } = this.convolution[2];
    const most = Math.max(1, Math.abs(value));
    return this.flat ? { kind: "diverging", low: -most, high: most }
      : { kind: "grey", low: Math.min(0, value), high: Math.max(1, value) };
  }

  /** The input with its border, as the windows see it. */
  drawInput() {
    const [, y, x] = this.convolution;
    const places = (axis) => Array.from({ length: axis.n + axis.low + axis.high }, (_, i) => i - axis.low);
    const [rows, columns] = [places(y), places(x)];
    const values = rows.flatMap((i) => columns.map((j) => {
      const [row, column] = [source(i, y.n, y.border), source(j, x.n, x.border)];
      return row < 0 || column < 0 ? x.value : this.image[row * x.n + column];
    }));
    this.pictures.input.draw(values, rows.length, columns.length, this.scales.input);
  }

  formula() {
    const line = ({ n, k, s, d, low, high }, name) => {
      const axis = { n, k, s, d, low, high };
      return make("p", { class: "formula", "data-axis": name },
        make("span", { class: "axis" }, name),
        `o = ⌊(n + low + high − (d·(k − 1) + 1)) / s⌋ + 1 = ⌊(${n} + ${low} + ${high} − ${reach(k, d)}) / ${s}⌋ + 1 = `,
        make("strong", { "data-output": outputs(axis) }, outputs(axis)));
    };
    const [, y, x] = this.convolution;
    const same = ["n", "k", "low", "high"].every((key) => y[key] === x[key]);
    place("formula").replaceChildren(...(this.flat || same
      ? [line(x, this.flat ? "length" : "height and width")] : [line(y, "height"), line(x, "width")]));
  }

  /** Everything as it is when the window stands at a position; while it plays, what lies ahead is still clear. */
  showPosition(position, playing) {
    const { rows, columns } = this;
    const at = [0, Math.floor(position / columns), position % columns];
    const until = (values, last) => (playing ? values.map((v, i) => (i <= last ? v : NaN)) : values);
    const { input, convolved, active, pooled } = this.pictures;
    for (const name of ["convolved", "active"]) {
      const picture = this.pictures[name];
      picture.draw(until(this[name], position), rows, columns, this.scales[name]);
      picture.mark([{ row: at[1], column: at[2] }]);
      picture.at = [at[1], at[2]];
    }
    const { activation: chosen, pool: kind } = this.settings;
    convolved.name(`2 Convolution: ${size(rows, columns, this.flat)}`);
    active.name(`3 Activation: ${chosen === "identity" ? "none" : ACTIVATIONS[chosen]}`);
    this.markWindow(input, at);
    this.showPool(pooled, active, at, kind, playing);
    this.showNumbers(at, playing);
  }

  markWindow(picture, at) {
    const [, y, x] = this.convolution;
    const [top, left] = [at[1] * y.s, at[2] * x.s];
    const dots = [];
    for (let i = 0; i < y.k; i++) {
      for (let j = 0; j < x.k; j++) dots.push({ row: top + i * y.d, column: left + j * x.d, kind: "tap" });
    }
    picture.mark([
      { row: y.low, column: x.low, height: y.n, width: x.n, kind: "border" },
      ...dots,
      { row: top, column: left, height: reach(y.k, y.d), width: reach(x.k, x.d) },
    ]);
    picture.name(`1 Input: ${size(y.n, x.n, this.flat)}`);
  }

  /** The pooled map, and the window of it that the position is in. */
  showPool(picture, active, at, kind, playing) {
    picture.element.classList.toggle("empty", !this.pooling);
    if (!this.pooling) {
      picture.name(kind === "none" ? "4 Pooling: none" : "4 Pooling: no window fits");
      picture.draw([NaN], 1, 1, { kind: "grey", low: 0, high: 1 });
      return picture.mark([]);
    }
    const [, y, x] = this.pooling;
    const [rows, columns] = [outputs(y), outputs(x)];
    const [row, column] = [Math.min(rows - 1, Math.floor(at[1] / y.s)), Math.min(columns - 1, Math.floor(at[2] / x.s))];
    const ready = (i) => {
      const last = (Math.floor(i / columns) * y.s + y.k - 1) * this.columns + (i % columns) * x.s + x.k - 1;
      return last <= at[1] * this.columns + at[2];
    };
    const values = playing ? this.pooled.map((v, i) => (ready(i) ? v : NaN)) : this.pooled;
    picture.draw(values, rows, columns, this.scales.active);
    picture.name(`4 ${kind === "max" ? "Max" : "Average"} pooling: ${size(rows, columns, this.flat)}`);
    picture.mark([{ row, column }]);
    active.mark([{ row: row * y.s, column: column * x.s, height: y.k, width: x.k, kind: "border" }, { row: at[1], column: at[2] }]);
  }

  showNumbers(at, playing) {
    const window = windowAt(this.image, this.convolution, at);
    const value = dot(window, this.kernel);
    const after = this.active[at[1] * this.columns + at[2]];
    const [, y, x] = this.convolution;
    const beyond = [taps(y, at[1]), taps(x, at[2])].some((axis) => axis.some((i) => i < 0));
    const bound = Math.max(...this.kernel.map(Math.abs), 1e-12);
    place("playground-products").replaceChildren(...products(window, this.kernel, y.k, x.k, {
      window: this.scales.input,
      weights: { kind: "diverging", low: -bound, high: bound },
    }));
    place("playground-sum").replaceChildren(sum([
      ["sum of the products", value, "sum"],
      [`after ${ACTIVATIONS[this.settings.activation]}`, after, "after"],
    ]));
    const live = place("playground-value");
    live.setAttribute("aria-live", playing ? "off" : "polite");
    const where = this.flat ? `Position ${at[2]}` : `Row ${at[1]}, column ${at[2]}`;
    live.textContent = `${where}: ${shown(value)}${beyond ? "; the window reaches beyond the border" : ""}.`;
  }
}

const ACTIVATIONS = { identity: "no activation", relu: "ReLU", tanh: "Tanh", leaky_relu: "Leaky ReLU" };

function size(rows, columns, flat) {
  return flat ? `${columns}` : `${rows} × ${columns}`;
}
