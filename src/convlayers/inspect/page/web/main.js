// Puts the page together.

import { onScheme } from "./colour.js";
import { make, place } from "./elements.js";
import { Layer } from "./layer.js";
import { load } from "./numbers.js";
import { Playground } from "./playground.js";
import { inputs } from "./prediction.js";
import { strip } from "./strip.js";
import { training } from "./training.js";

const data = await load();
let input = 0;
const layer = new Layer(data);
const layers = strip(data, (index) => layer.show(index));
layer.show(data.first);
const playground = new Playground(data);
const redraw = () => {
  layers.redraw(input);
  layer.redraw(input);
  playground.redraw(input);
};
const shownInputs = inputs(data, (index) => {
  input = index;
  redraw();
});
training(data);
place("notes-list").replaceChildren(...data.notes.map((note) => make("li", {}, note)));
onScheme(() => {
  shownInputs.redraw();
  redraw();
});
document.body.dataset.drawn = Math.round(performance.now());
