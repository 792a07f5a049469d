// The network as a strip of layers: a button a layer, with a few of its maps.

import { scale } from "./colour.js";
import { make, oneOf, place } from "./elements.js";
import { channel } from "./numbers.js";
import { paint } from "./picture.js";

/** Paints one map of a layer: a slice of it, on its own scale. */
export function paintMap(canvas, layer, input, index, slice = 0) {
  const [, , height, width] = layer.maps[input].shape;
  const values = channel(layer.maps[input], index).subarray(slice * height * width, (slice + 1) * height * width);
  paint(canvas, values, height, width, scale(layer.maps[input].low[index], layer.maps[input].high[index]));
}

/** The strip; calls back with the number of the layer that was chosen. */
export function strip(data, onchoose) {
  const redraws = [];
  const buttons = data.layers.map((layer, i) => {
    const flat = layer.size[1] === 1;
    const count = Math.min(flat ? 8 : 4, layer.shown.length);
    const canvases = Array.from({ length: count }, () => make("canvas", { "aria-hidden": "true" }));
    redraws.push((input) => canvases.forEach((c, k) => paintMap(c, layer, input, k, Math.floor(layer.size[0] / 2))));
    const look = flat ? "mosaic flat" : count === 1 ? "mosaic single" : "mosaic";
    return make("button", { type: "button", class: "layer", "data-layer": layer.name, title: layer.name, onclick: () => choose(i) },
      make("span", { class: look }, canvases),
      make("span", { class: "title" }, layer.name),
      make("span", { class: "kind" }, layer.kind),
      make("span", { class: "kind" }, layer.shape));
  });
  const container = place("strip");
  container.append(...buttons);
  const press = oneOf(buttons, container);
  const choose = (i) => {
    press(i);
    onchoose(i);
  };
  const redraw = (input) => redraws.forEach((paintAll) => paintAll(input));
  redraw(0);
  press(data.first);
  return { redraw };
}
