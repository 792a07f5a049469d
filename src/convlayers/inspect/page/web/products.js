// Windows as numbers: the window, the weights, their products, side by side, and the sum below.

import { colours } from "./colour.js";
import { make } from "./elements.js";
import { rounded, shown } from "./numbers.js";

/** Rows and columns beyond which numbers are no longer read. */
const LARGEST = 121;

/** A cell with a number, tinted by its value. */
function cell(value, scale) {
  const share = scale.high > scale.low ? (value - scale.low) / (scale.high - scale.low) : 0.5;
  const colour = colours(scale.kind)[Math.min(255, Math.max(0, Math.round(255 * share)))];
  const light = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 140;
  const style = `background:rgb(${colour});color:${light ? "#111" : "#fff"}`;
  return make("td", { "data-value": value, style }, rounded(value));
}

function grid([caption, values, scale], rows, columns) {
  const lines = Array.from({ length: rows }, (_, i) =>
    make("tr", {}, Array.from({ length: columns }, (_, j) => cell(values[i * columns + j], scale))));
  return make("table", { class: columns > 5 ? "numbers many" : "numbers", "data-of": caption }, make("caption", {}, caption), make("tbody", {}, lines));
}

/** Window x weights = products, for one plane; of a signal, in three lines below each other. */
export function products(window, weights, rows, columns, scales) {
  if (rows * columns > LARGEST) {
    return [make("p", { class: "hint" }, `${rows} × ${columns} numbers are too many to read; their sum is below.`)];
  }
  const result = Array.from(window, (value, i) => value * weights[i]);
  const bound = Math.max(...result.map(Math.abs), 1e-12);
  const parts = [
    ["window", window, scales.window],
    ["weights", weights, scales.weights],
    ["products", result, { kind: "diverging", low: -bound, high: bound }],
  ];
  if (rows === 1) {
    const lines = parts.map(([name, values, scale]) => make("tr", { "data-of": name },
      make("th", { scope: "row" }, name), Array.from(values, (value) => cell(value, scale))));
    return [make("table", { class: "numbers lines" }, make("tbody", {}, lines))];
  }
  const sign = (text) => make("span", { class: "sign", "aria-hidden": "true" }, text);
  const [first, second, third] = parts.map((part) => grid(part, rows, columns));
  return [first, sign("×"), second, sign("="), third];
}

/** Lines of a sum, each [text or element, value]; the last stands below the rule. */
export function sum(terms) {
  const rows = terms.map(([text, value, name], i) =>
    make("tr", { class: i === terms.length - 1 ? "total" : "" }, make("th", { scope: "row" }, text),
      make("td", { "data-value": value, "data-term": name }, shown(value, 5))));
  return make("table", { class: "sum" }, make("tbody", {}, rows));
}
