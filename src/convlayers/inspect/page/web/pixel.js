// One output pixel: what it sees of the input, the window it was computed from, and the numbers that add up to it.

import { activation, dot, taps, windowAt } from "./arithmetic.js";
import { scale, scaleOf } from "./colour.js";
import { labelled, make, place, select } from "./elements.js";
import { channel, numbers, shown } from "./numbers.js";
import { Picture } from "./picture.js";
import { paintInput, sliceControl } from "./prediction.js";
import { products, sum } from "./products.js";

const AXES = ["slice", "row", "column"];
const FLAT_AXES = ["", "", "position"];

/** The panel; its place is (slice, row, column) in the chosen map. */
export class Pixel {
  constructor(data) {
    this.data = data;
    this.axes = data.rank === 1 ? FLAT_AXES : AXES;
    place("pixel-pictures").classList.toggle("flat", data.rank === 1);
    this.seen = new Picture("", { alt: "Input" });
    this.window = new Picture("", { alt: "Layer's input" });
    this.output = new Picture("", { alt: "Feature map", onpoint: (row, column) => this.move([this.at[0], row, column]) });
    this.controls = make("div", { class: "controls" });
    place("pixel-pictures").append(this.seen.element, this.window.element, this.output.element);
    place("pixel-controls").append(this.controls);
  }

  /** A map of a layer; the place stays where it was, as a share of the map. */
  show(layer, map, input) {
    const before = this.layer === layer ? this.at : null;
    this.painted = "";
    // There may be sums for the first maps only.
    const conv = map < (layer.conv?.sees.length ?? 0) ? layer.conv : null;
    Object.assign(this, { layer, map, input, conv, channel: 0 });
    this.at = before ?? layer.size.map((n) => Math.floor(n / 2));
    this.values = channel(layer.maps[input], map);
    if (conv) this.strongest();
    this.buildControls();
    this.move(this.at);
  }

  /** The input channel with the largest weights: the one to look at first. */
  strongest() {
    const { conv } = this;
    const size = conv.weights.shape.slice(2).reduce((a, b) => a * b, 1);
    const sizes = conv.sees[this.map].map((_, c) => {
      const weights = this.weights(c, size);
      return dot(weights, weights);
    });
    this.channel = sizes.indexOf(Math.max(...sizes));
  }

  weights(c, size) {
    const seen = this.conv.weights.shape[1];
    const start = (this.map * seen + c) * size;
    return numbers(this.conv.weights).subarray(start, start + size);
  }

  /** An input channel that the layer kept, as a volume. */
  plane(c) {
    const { conv } = this;
    const kept = conv.inputs[this.input];
    const size = kept.shape.slice(1).reduce((a, b) => a * b, 1);
    const index = conv.sees[this.map][c];
    return numbers(kept).subarray(index * size, (index + 1) * size);
  }

  buildControls() {
    const { layer } = this;
    this.fields = this.axes.map((name, i) => {
      const field = make("input", { type: "number", min: 0, max: layer.size[i] - 1, value: this.at[i], id: `at-${AXES[i]}` });
      field.addEventListener("change", () => {
        const at = [...this.at];
        at[i] = Math.min(layer.size[i] - 1, Math.max(0, Math.round(Number(field.value)) || 0));
        this.move(at);
      });
      return field;
    });
    const used = this.axes.filter((_, i) => layer.size[i] > 1);
    const slices = sliceControl(layer.size[0], (slice) => this.move([slice, this.at[1], this.at[2]]));
    this.slices = slices;
    const choices = this.conv?.sees[this.map].map((kept, c) => [c, `channel ${this.conv.kept[kept]}`]) ?? [];
    const chooser = choices.length < 2 ? null : labelled("Window in", select(choices, this.channel, (c) => {
      this.channel = Number(c);
      this.move(this.at);
    }, { id: "at-channel" }));
    this.controls.replaceChildren(...[
      slices.element,
      ...used.filter((name) => name !== "slice").map((name) => labelled(capital(name), this.fields[this.axes.indexOf(name)])),
      chooser,
    ].filter(Boolean));
  }

  move(at) {
    this.at = at;
    const { layer } = this;
    this.fields.forEach((field, i) => (field.value = at[i]));
    this.slices.set(at[0]);
    this.output.at = [at[1], at[2]];
    this.drawInput();
    this.drawOutput();
    place("pixel-sum").replaceChildren();
    place("pixel-products").replaceChildren();
    this.window.element.hidden = !this.conv;
    let value = this.values[(at[0] * layer.size[1] + at[1]) * layer.size[2] + at[2]];
    if (this.conv) value = this.drawSum();
    const where = this.axes.map((name, i) => (layer.size[i] > 1 ? `${name} ${at[i]}` : "")).filter(Boolean).join(", ");
    const text = `Map ${layer.shown[this.map]}${where ? `, ${where}` : ""}: `;
    place("pixel-value").replaceChildren(text, make("strong", { "data-value": value }, this.conv ? "" : "about ", shown(value)),
      `. ${this.sees()}`);
  }

  /** The first and the last input that the pixel sees along each axis. */
  field() {
    return this.layer.field?.map(({ low, high }, i) => {
      const place = low.shape[0] > 1 ? this.at[i] : 0;
      return [numbers(low)[place], numbers(high)[place]];
    });
  }

  sees() {
    const field = this.field();
    if (!field) return "It sees the whole input.";
    const sizes = this.data.inputs[this.input].pixels.shape.slice(1);
    const parts = field.map(([low, high], i) => (sizes[i] > 1 ? `${this.axes[i]}s ${low} to ${high}` : "")).filter(Boolean);
    const share = field.reduce((all, [low, high], i) => (all * (high - low + 1)) / sizes[i], 1);
    return `It sees ${parts.join(" and ")} of the input: ${(100 * share).toFixed(share < 0.1 ? 1 : 0)}\u00a0% of it.`;
  }

  drawInput() {
    const input = this.data.inputs[this.input];
    const [, depth, height, width] = input.pixels.shape;
    const field = this.field() ?? [[0, depth - 1], [0, height - 1], [0, width - 1]];
    const slice = Math.floor((field[0][0] + field[0][1]) / 2);
    this.seen.mark([frame(field[1], field[2])]);
    if (this.painted === `${this.input} ${slice}`) return;
    this.painted = `${this.input} ${slice}`;
    this.seen.name(`Input${depth > 1 ? `, slice ${slice}` : ""}: the receptive field`);
    paintInput(this.seen, input, slice);
  }

  drawOutput() {
    const { layer, at } = this;
    const [, height, width] = layer.size;
    const maps = layer.maps[this.input];
    const values = this.values.subarray(at[0] * height * width, (at[0] + 1) * height * width);
    this.output.name(`Output, map ${layer.shown[this.map]}: the pixel`);
    this.output.draw(values, height, width, scale(maps.low[this.map], maps.high[this.map]));
    this.output.mark([{ row: at[1], column: at[2] }]);
  }

  /** The window in one input channel, the products, and the sum over all; returns the value. */
  drawSum() {
    const { conv } = this;
    const [, , depth, rows, columns] = conv.weights.shape;
    const size = depth * rows * columns;
    const windows = conv.sees[this.map].map((_, c) => windowAt(this.plane(c), conv.axes, this.at));
    const sums = windows.map((window, c) => dot(window, this.weights(c, size)));
    const slices = taps(conv.axes[0], this.at[0]);
    const middle = Math.floor(depth / 2);
    this.drawWindow(slices[middle]);
    const scales = { window: scaleOf(this.plane(this.channel)), weights: symmetric(this.weights(this.channel, size)) };
    const groups = Array.from({ length: depth }, (_, k) => {
      const part = [k * rows * columns, (k + 1) * rows * columns];
      const tables = products(windows[this.channel].subarray(...part), this.weights(this.channel, size).subarray(...part),
        rows, columns, scales);
      const title = depth > 1 ? make("p", { class: "hint" }, `slice ${slices[k] < 0 ? "beyond the border" : slices[k]}`) : null;
      return make("div", {}, title, make("div", { class: "products" }, tables));
    });
    place("pixel-products").replaceChildren(...groups);
    return this.drawTerms(sums);
  }

  drawTerms(sums) {
    const { conv } = this;
    const own = sums[this.channel];
    const rest = conv.rest ? this.rest() : 0;
    const others = sums.reduce((a, b) => a + b, 0) - own + rest;
    const bias = numbers(conv.bias)[this.map];
    const total = own + others + bias;
    const count = conv.channels - 1;
    const terms = [[`sum of the products in channel ${conv.kept[conv.sees[this.map][this.channel]]}`, own, "own"]];
    if (count) terms.push([`+ the same in ${count} other ${count === 1 ? "channel" : "channels"}`, others, "others"]);
    if (conv.biased) terms.push(["+ bias", bias, "bias"]);
    terms.push(["= value", total, "total"]);
    if (conv.activation) {
      const after = activation(...conv.activation);
      terms.push([`after ${conv.activation[0]}`, after(total), "after"]);
    }
    place("pixel-sum").replaceChildren(sum(terms));
    return terms.at(-1)[1];
  }

  /** What the channels that the page does not keep add, computed when it was written. */
  rest() {
    const { conv } = this;
    const { size } = this.layer;
    const all = numbers(conv.rest[this.input]);
    const [, height, width] = size;
    return all[((this.map * size[0] + this.at[0]) * height + this.at[1]) * width + this.at[2]];
  }

  drawWindow(slice) {
    const { conv } = this;
    const [, { n: height }, { n: width }] = conv.axes;
    const inside = Math.max(0, slice);
    const values = this.plane(this.channel);
    this.window.name(`Layer's input, channel ${conv.kept[conv.sees[this.map][this.channel]]}: the window`);
    this.window.draw(values.subarray(inside * height * width, (inside + 1) * height * width), height, width, scaleOf(values));
    const [, y, x] = conv.axes.map((axis, i) => this.extent(axis, this.at[i]));
    this.window.mark([frame(y, x)]);
  }

  /** First and last place inside that a window reaches along an axis. */
  extent(axis, place) {
    const first = place * axis.s - axis.low;
    const last = first + axis.d * (axis.k - 1);
    return [Math.max(0, first), Math.min(axis.n - 1, last)];
  }
}

function frame([top, bottom], [left, right]) {
  return { row: top, column: left, height: bottom - top + 1, width: right - left + 1 };
}

function symmetric(values) {
  const bound = values.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-12);
  return { kind: "diverging", low: -bound, high: bound };
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}
