// One layer: its cost, its feature maps, its filters; which map and which pixel of it are looked at.

import { scale, scaleOf } from "./colour.js";
import { make, oneOf, place } from "./elements.js";
import { numbers, shown } from "./numbers.js";
import { paint } from "./picture.js";
import { Pixel } from "./pixel.js";
import { paintMap } from "./strip.js";

/** The panel of the chosen layer. */
export class Layer {
  constructor(data) {
    this.data = data;
    this.pixel = new Pixel(data);
    this.input = 0;
    this.map = 0;
    this.layer = null;
  }

  show(index) {
    this.layer = this.data.layers[index];
    this.map = 0;
    place("layer-name").textContent = this.layer.name;
    place("layer-text").textContent = this.layer.text;
    place("cost").replaceChildren(...this.layer.cost.map(([term, value, note]) =>
      make("div", {}, make("dt", {}, term), make("dd", {}, value, note ? make("small", {}, note) : null))));
    this.buildMaps();
    this.filters();
    this.choose(0);
  }

  /** A button a map. */
  buildMaps() {
    const { layer } = this;
    const grid = place("maps");
    grid.className = layer.size[1] === 1 ? "maps flat" : "maps";
    this.canvases = layer.shown.map(() => make("canvas", { "aria-hidden": "true" }));
    const buttons = layer.shown.map((number, k) =>
      make("button", { type: "button", "data-map": number, "aria-label": `Map ${number}`, onclick: () => this.choose(k) },
        this.canvases[k], make("span", { "aria-hidden": "true" }, number)));
    grid.replaceChildren(...buttons);
    this.press = oneOf(buttons, grid);
    place("maps-text").textContent = layer.mapsText;
    this.redrawMaps();
  }

  redrawMaps() {
    this.canvases.forEach((canvas, k) =>
      paintMap(canvas, this.layer, this.input, k, Math.floor(this.layer.size[0] / 2)));
  }

  choose(map) {
    this.map = map;
    this.press(map);
    this.filters();
    this.pixel.show(this.layer, map, this.input);
  }

  /** The filter of the chosen map: a tile an input channel that it sees. */
  filters() {
    const { conv, shown: numbersOfMaps } = this.layer;
    const kept = this.map < (conv?.sees.length ?? 0);
    place("filters-panel").hidden = !kept;
    if (!kept) return;
    const [, seen, depth, height, width] = conv.weights.shape;
    const size = depth * height * width;
    const all = numbers(conv.weights).subarray(this.map * seen * size, (this.map + 1) * seen * size);
    const bound = scaleOf(all);
    const range = Math.max(Math.abs(bound.low), Math.abs(bound.high));
    const tiles = Array.from({ length: seen }, (_, c) => {
      const canvas = make("canvas", { role: "img", "aria-label": `Weights for input channel ${conv.kept[conv.sees[this.map][c]]}` });
      // The slices of a volume's filter stand below each other.
      paint(canvas, all.subarray(c * size, (c + 1) * size), depth * height, width, scale(-range, range));
      return make("div", { class: height === 1 ? "tile flat" : "tile" }, canvas,
        make("span", {}, conv.kept[conv.sees[this.map][c]]));
    });
    place("filters").className = height === 1 ? "tiles flat" : "tiles";
    place("filters").replaceChildren(...tiles);
    place("filters-text").textContent =
      `Filter ${numbersOfMaps[this.map]}, a tile an input channel: blue is negative, red positive, the page's ground zero; ` +
      `the strongest colour is ${shown(range)}. ${conv.text}`;
  }

  /** Another input, or other colours. */
  redraw(input) {
    this.input = input;
    this.redrawMaps();
    this.filters();
    this.pixel.show(this.layer, this.map, input);
  }
}
