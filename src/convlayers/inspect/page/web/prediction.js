// The input as the network gets it, and what it says about it.

import { make, oneOf, place } from "./elements.js";
import { numbers, percent } from "./numbers.js";
import { Picture, paintColours } from "./picture.js";

/** Paints a slice of an input: a colour picture, a grey one, a heat strip, or curves. */
export function paintInput(picture, input, slice) {
  const { shape } = input.pixels;
  const [channels, depth, height, width] = shape;
  const bytes = numbers(input.pixels);
  const plane = depth * height * width;
  const offset = slice * height * width;
  if (input.look === "curve") {
    const rows = Array.from({ length: channels }, (_, c) => Float32Array.from(bytes.subarray(c * width, (c + 1) * width)));
    picture.curve(rows, 0, 255);
  } else if (input.look === "colour") {
    paintColours(picture.canvas, bytes, height, width, plane, offset);
    picture.fit(height, width);
  } else {
    picture.draw(bytes.subarray(offset, offset + height * width), height, width, { kind: input.look, low: 0, high: 255 });
  }
}

/** The section of the inputs; calls back with the number of the one that was chosen. */
export function inputs(data, onchoose) {
  const picture = new Picture("");
  const slices = sliceControl(data.inputs[0].pixels.shape[1], (slice) => paintInput(picture, data.inputs[chosen], slice));
  const bars = make("div", {});
  let chosen = 0;
  const buttons = data.inputs.map((input, i) => {
    const small = new Picture("", { alt: input.name });
    paintInput(small, input, Math.floor(input.pixels.shape[1] / 2));
    return make("button", { type: "button", class: "thumb", title: input.name, onclick: () => show(i) }, small.frame);
  });
  const list = make("div", { class: "thumbs", role: "group", "aria-label": "Inputs" }, buttons);
  const press = oneOf(buttons, list);
  const show = (i) => {
    chosen = i;
    press(i);
    redraw();
    onchoose(i);
  };
  const redraw = () => {
    const input = data.inputs[chosen];
    picture.name(`${input.name}: ${input.size}`, `The input ${input.name}`);
    paintInput(picture, input, slices.value);
    bars.replaceChildren(...prediction(input, data));
  };
  place("input").append(
    make("div", { class: "side" }, picture.element, slices.element, data.inputs.length > 1 ? list : null),
    make("div", { "aria-live": "polite" }, bars),
  );
  press(0);
  redraw();
  return { redraw };
}

function prediction(input, data) {
  if (!input.prediction) return [make("p", { class: "hint" }, data.answer)];
  const rows = input.prediction.map(({ name, share }, i) =>
    make("div", { class: i === 0 ? "bar best" : "bar", role: "listitem", "data-share": share },
      make("span", { class: "name" }, name),
      make("span", { class: "track", "aria-hidden": "true" }, make("span", { style: `width:${100 * share}%` })),
      make("span", { class: "share" }, percent(share))));
  const best = input.prediction[0];
  return [
    make("p", { class: "verdict" }, make("strong", {}, best.name), ` with ${percent(best.share)}`),
    make("div", { class: "bars", role: "list", "aria-label": "Probabilities" }, rows),
    make("p", { class: "hint" }, data.answer),
  ];
}

/** A slider through the slices of a volume; nothing where there is one. */
export function sliceControl(depth, onslice, text = "Slice") {
  const control = { value: Math.floor(depth / 2), element: null, set: () => {} };
  if (depth < 2) {
    control.value = 0;
    return control;
  }
  const range = make("input", { type: "range", min: 0, max: depth - 1, value: control.value });
  const output = make("output", {});
  control.set = (value) => {
    control.value = value;
    range.value = value;
    output.textContent = `${value + 1} of ${range.max * 1 + 1}`;
  };
  range.addEventListener("input", () => {
    control.set(Number(range.value));
    onslice(control.value);
  });
  control.set(control.value);
  control.element = make("label", { class: "control slice" }, make("span", {}, text), range, output);
  return control;
}

