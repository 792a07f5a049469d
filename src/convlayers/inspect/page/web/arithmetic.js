// Convolution, activation and pooling as plain arithmetic on numbers; nothing here knows of the page.
// An axis is {n, k, s, d, low, high, border, value}: n elements, windows of k taps that lie d apart, one every s
// elements, low and high elements of padding. The rules are those of convlayers.geometry.

/** Elements from a window's first tap to its last, both included. */
export function reach(k, d) {
  return d * (k - 1) + 1;
}

/** Padding below and above: none; enough for ceil(n / s) windows, an odd element above; every window that touches. */
export function amounts(padding, n, k, s, d) {
  const r = reach(k, d);
  if (padding === "full") return [r - 1, r - 1];
  if (padding === "valid") return [0, 0];
  let total = s === 1 ? r - 1 : (Math.ceil(n / s) - 1) * s + r - n;
  if (r < s) total = Math.max(total, 0);
  const half = Math.floor(total / 2);
  return [half, total - half];
}

/** How many windows fit an axis; below 1 where the first does not. */
export function outputs({ n, k, s, d, low, high }) {
  return Math.floor((n + low + high - reach(k, d)) / s) + 1;
}

/** Which element stands at place i of an axis that goes on beyond its border; -1 for the border's constant. */
export function source(i, n, border) {
  if (i >= 0 && i < n) return i;
  if (border === "replicate") return i < 0 ? 0 : n - 1;
  if (border === "circular") return ((i % n) + n) % n;
  if (border === "reflect") return i < 0 ? -i : 2 * (n - 1) - i;
  return -1;
}

/** The elements that the window at an output's place reads along an axis, one a tap. */
export function taps(axis, place) {
  const first = place * axis.s - axis.low;
  return Array.from({ length: axis.k }, (_, t) => source(first + t * axis.d, axis.n, axis.border));
}

/** Why a border cannot be filled, or an axis has no output; an empty string where all is well. */
export function refusal(axis) {
  const widest = Math.max(axis.low, axis.high);
  if (axis.border === "reflect" && widest >= axis.n) {
    return `Reflection needs padding smaller than the input: ${widest} on ${axis.n} pixels. Use replicate, or pad less.`;
  }
  if (axis.border === "circular" && widest > axis.n) {
    return `Wrapping around needs padding no larger than the input: ${widest} on ${axis.n} pixels.`;
  }
  if (outputs(axis) < 1) {
    return `No window fits: its taps reach ${reach(axis.k, axis.d)} pixels, the padded input has ` +
      `${axis.n + axis.low + axis.high}. Pad more, or use a smaller kernel or dilation.`;
  }
  return "";
}

/** The window at one place of a volume (depth, height, width): its numbers, in the order of the kernel's. */
export function windowAt(values, axes, place) {
  const [z, y, x] = axes.map((axis, i) => taps(axis, place[i]));
  const [, { n: height }, { n: width }] = axes;
  const found = new Float64Array(z.length * y.length * x.length);
  let at = 0;
  for (const k of z) {
    for (const i of y) {
      for (const j of x) {
        // Outside along any axis that has a constant: the constant of that axis.
        const out = k < 0 ? axes[0] : i < 0 ? axes[1] : j < 0 ? axes[2] : null;
        found[at++] = out ? out.value : values[(k * height + i) * width + j];
      }
    }
  }
  return found;
}

/** Sum of products, in double precision, in order. */
export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** What a function makes of the window at every place, in order. */
function slide(values, axes, reduce) {
  const [depth, height, width] = axes.map(outputs);
  const result = new Float64Array(depth * height * width);
  let at = 0;
  for (let k = 0; k < depth; k++) {
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) result[at++] = reduce(windowAt(values, axes, [k, i, j]));
    }
  }
  return result;
}

/** A whole convolution (without turning the kernel round, as networks have it). */
export function convolve(values, kernel, axes) {
  return slide(values, axes, (window) => dot(window, kernel));
}

/** The largest ("max") or the mean ("avg") of every window. */
export function pool(values, axes, kind) {
  const mean = (window) => window.reduce((a, b) => a + b, 0) / window.length;
  return slide(values, axes, kind === "max" ? (window) => Math.max(...window) : mean);
}

/** Activations by the names of convlayers.activations; null for one that is not written here. */
export function activation(name, alpha = 0, beta = 0) {
  const known = {
    identity: (x) => x,
    relu: (x) => Math.max(x, 0),
    leaky_relu: (x) => (x > 0 ? x : alpha * x),
    hardtanh: (x) => Math.min(Math.max(x, alpha), beta),
    tanh: Math.tanh,
    sigmoid: (x) => 1 / (1 + Math.exp(-x)),
    silu: (x) => x / (1 + Math.exp(-x)),
    elu: (x) => (x > 0 ? x : alpha * Math.expm1(x)),
  };
  return known[name] ?? null;
}
