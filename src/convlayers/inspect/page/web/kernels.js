// Kernels that do something to a picture that one can see, for the playground.

const SMALL = {
  "Identity": [0, 0, 0, 0, 1, 0, 0, 0, 0],
  "Edges, left to right (Sobel x)": [-1, 0, 1, -2, 0, 2, -1, 0, 1],
  "Edges, top to bottom (Sobel y)": [-1, -2, -1, 0, 0, 0, 1, 2, 1],
  "Edges, every way (Laplacian)": [0, 1, 0, 1, -4, 1, 0, 1, 0],
  "Sharpen": [0, -1, 0, -1, 5, -1, 0, -1, 0],
  "Emboss": [-2, -1, 0, -1, 1, 1, 0, 1, 2],
};

const LINE = {
  "Identity": [0, 1, 0],
  "Difference (edges)": [-1, 0, 1],
  "Second difference": [1, -2, 1],
  "Sharpen": [-1, 3, -1],
};

const BOX = "Blur (box)";
const GAUSSIAN = "Blur (Gaussian)";

/** The names, for pictures or for signals. */
export function kernelNames(flat) {
  return [...Object.keys(flat ? LINE : SMALL), BOX, GAUSSIAN];
}

/** A kernel of a size: a blur fills it, others stand in its middle. Flat ones, for signals, have one row. */
export function kernelNamed(name, size, flat) {
  const rows = flat ? 1 : size;
  if (name === BOX) return new Array(rows * size).fill(1 / (rows * size));
  if (name === GAUSSIAN) {
    const line = gaussian(size);
    const column = flat ? [1] : line;
    return column.flatMap((a) => line.map((b) => a * b));
  }
  return centred((flat ? LINE : SMALL)[name], flat ? 1 : 3, 3, rows, size);
}

/** A kernel put into the middle of a larger or smaller one. */
export function centred(values, height, width, rows, columns) {
  const result = new Array(rows * columns).fill(0);
  const [top, left] = [Math.floor((rows - height) / 2), Math.floor((columns - width) / 2)];
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      const [y, x] = [i + top, j + left];
      if (y >= 0 && y < rows && x >= 0 && x < columns) result[y * columns + x] = values[i * width + j];
    }
  }
  return result;
}

function gaussian(size) {
  const sigma = size / 4 + 0.1;
  const line = Array.from({ length: size }, (_, i) => Math.exp(-0.5 * ((i - (size - 1) / 2) / sigma) ** 2));
  const sum = line.reduce((a, b) => a + b, 0);
  return line.map((v) => v / sum);
}
