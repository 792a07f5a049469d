// Colour maps, computed in OKLab so that equal steps of a value are equal steps to the eye (Ottosson 2020).

/** Lightness, chroma and hue (degrees) as red, green and blue bytes. */
function rgb(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return linear.map((v) => {
    const c = Math.min(1, Math.max(0, v));
    return Math.round(255 * (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055));
  });
}

function table(colourAt) {
  return Array.from({ length: 256 }, (_, i) => colourAt(i / 255));
}

/** From nothing (dark violet) to much (pale yellow); lightness is linear. */
const sequential = table((t) => rgb(0.14 + 0.82 * t, 0.04 + 0.14 * Math.sin(Math.PI * Math.min(1, t * 1.05)), 290 + 175 * t));

/** Negative blue, positive red; zero is the page's own paper, light or dark. */
const diverging = (dark) =>
  table((t) => {
    const side = Math.abs(2 * t - 1);
    const lightness = dark ? 0.24 + 0.5 * side : 0.97 - 0.45 * side;
    return rgb(lightness, 0.17 * side ** 0.9, t < 0.5 ? 255 : 28);
  });

const grey = table((t) => [t, t, t].map((v) => Math.round(255 * v)));

const scheme = window.matchMedia("(prefers-color-scheme: dark)");
const both = { false: diverging(false), true: diverging(true) };

/** The colours of a kind of values: "grey", "sequential" or "diverging". */
export function colours(kind) {
  if (kind === "grey") return grey;
  return kind === "diverging" ? both[scheme.matches] : sequential;
}

/** A scale for some values: diverging about zero where they have both signs, else from least to most. */
export function scaleOf(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return scale(low, high);
}

/** The same from the least and the most. */
export function scale(low, high) {
  if (!(low <= high)) return { kind: "sequential", low: 0, high: 1 };
  if (low >= 0) return { kind: "sequential", low, high };
  const bound = Math.max(-low, high);
  return { kind: "diverging", low: -bound, high: bound };
}

/** Calls back when the reader's colour scheme changes: canvases do not follow by themselves. */
export function onScheme(redraw) {
  scheme.addEventListener("change", redraw);
}
