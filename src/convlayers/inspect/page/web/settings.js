// What the playground's steps are set to, and the controls that set it.

import { labelled, make, select } from "./elements.js";
import { centred, kernelNamed, kernelNames } from "./kernels.js";
import { numbers } from "./numbers.js";

const OWN = "own:";
const TYPED = "typed";

const counts = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => [from + i, from + i]);
const PADDING = [["valid", "valid (none)"], ["same", "same"], ["full", "full"]];
const BORDER = [["zeros", "zeros"], ["constant", "constant"], ["reflect", "reflect"], ["replicate", "replicate"], ["circular", "circular"]];
const ACTIVATION = [["identity", "none"], ["relu", "ReLU"], ["tanh", "Tanh"], ["leaky_relu", "Leaky ReLU"]];
const POOL = [["none", "none"], ["max", "max"], ["avg", "average"]];

/** Builds the controls in a container; returns what they are set to, which changes before each call back. */
export function settings(container, own, flat, onchange) {
  const names = kernelNames(flat);
  const state = {
    name: names[1], rows: flat ? 1 : 3, columns: 3, kernel: kernelNamed(names[1], 3, flat),
    stride: 1, padding: "same", border: "zeros", fill: 0.5, dilation: 1,
    activation: "relu", slope: 0.1, pool: "max", poolSize: 2, poolStride: 2,
  };
  const grid = make("div", { class: "kernel", role: "group", "aria-label": "Weights of the kernel" });
  const choices = [
    ...names.map((name) => [name, name]),
    ...own.map(({ name }, i) => [OWN + i, name]),
    [TYPED, "your own: type below"],
  ];
  const kernelChoice = select(choices, state.name, (name) => chooseKernel(name), { id: "kernel" });
  const sizeChoice = select([1, 3, 5, 7, 9].map((k) => [k, k]), 3, (size) => resize(Number(size)), { id: "kernel-size" });
  const fill = make("input", { type: "number", step: 0.1, value: state.fill, id: "fill" });
  fill.addEventListener("input", () => {
    state.fill = Number(fill.value) || 0;
    onchange();
  });
  const fillLabel = labelled("Constant", fill);

  const choose = (id, key, text, list, read = String) =>
    labelled(text, select(list, state[key], (value) => {
      state[key] = read(value);
      showFill();
      onchange();
    }, { id }));

  function showFill() {
    fillLabel.hidden = state.border !== "constant";
  }

  function chooseKernel(name) {
    state.name = name;
    if (name.startsWith(OWN)) {
      const weights = own[Number(name.slice(OWN.length))].weights;
      [state.rows, state.columns] = weights.shape;
      state.kernel = Array.from(numbers(weights));
    } else if (name !== TYPED) {
      resetSize();
      state.kernel = kernelNamed(name, state.columns, flat);
    }
    sizeChoice.value = String(state.columns);
    buildGrid();
    onchange();
  }

  /** A network's kernel may have a shape that the others cannot: they go back to a square one. */
  function resetSize() {
    const size = Math.max(1, Math.min(9, state.columns - ((state.columns + 1) % 2)));
    [state.rows, state.columns] = [flat ? 1 : size, size];
  }

  function resize(size) {
    const rows = flat ? 1 : size;
    const fixed = state.name === TYPED || state.name.startsWith(OWN);
    state.kernel = fixed ? centred(state.kernel, state.rows, state.columns, rows, size) : kernelNamed(state.name, size, flat);
    [state.rows, state.columns] = [rows, size];
    if (fixed) typed();
    buildGrid();
    onchange();
  }

  function typed() {
    state.name = TYPED;
    kernelChoice.value = TYPED;
  }

  function buildGrid() {
    grid.style.setProperty("--columns", state.columns);
    grid.replaceChildren(...state.kernel.map((value, i) => {
      const [row, column] = [Math.floor(i / state.columns), i % state.columns];
      const cell = make("input", {
        type: "number", step: "any", value: Math.round(value * 1000) / 1000, "aria-label": `Weight, row ${row}, column ${column}`,
      });
      cell.addEventListener("input", () => {
        typed();
        state.kernel[i] = Number(cell.value) || 0;
        onchange();
      });
      return cell;
    }));
  }

  const group = (legend, ...parts) => make("fieldset", {}, make("legend", {}, legend), parts);
  container.append(
    group("Kernel", labelled("Weights", kernelChoice), labelled("Size", sizeChoice), grid),
    group("Convolution",
      choose("stride", "stride", "Stride", counts(1, 4), Number),
      choose("padding", "padding", "Padding", PADDING),
      choose("border", "border", "Border", BORDER), fillLabel,
      choose("dilation", "dilation", "Dilation", counts(1, 4), Number)),
    group("Activation", choose("activation", "activation", "Function", ACTIVATION)),
    group("Pooling",
      choose("pool", "pool", "Of each window", POOL),
      choose("pool-size", "poolSize", "Size", counts(2, 4), Number),
      choose("pool-stride", "poolStride", "Stride", counts(1, 4), Number)),
  );
  showFill();
  buildGrid();
  return state;
}
