// The page's data: a description in JSON, and one block of numbers, deflated, that it points into.

let block = null;

/** Reads the description and unpacks the block; everything else waits for it. */
export async function load() {
  const text = atob(document.getElementById("block").textContent.trim());
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  block = await new Response(stream).arrayBuffer();
  return JSON.parse(document.getElementById("description").textContent);
}

/** The numbers that a reference {at, shape, type} points to. */
export function numbers({ at, shape, type, table }) {
  const count = shape.reduce((a, b) => a * b, 1);
  const values = new { u8: Uint8Array, i32: Int32Array, f32: Float32Array }[type](block, at, count);
  if (!table) return values;
  const levels = numbers(table);
  const [plane, row] = [count / shape[0], table.shape[1]];
  return Float32Array.from(values, (place, i) => levels[Math.floor(i / plane) * row + place]);
}

/** One channel of maps that were kept as bytes between a low and a high value each. */
export function channel(maps, index) {
  const size = maps.shape.slice(1).reduce((a, b) => a * b, 1);
  const bytes = numbers(maps).subarray(index * size, (index + 1) * size);
  const [low, high] = [maps.low[index], maps.high[index]];
  return Float32Array.from(bytes, (byte) => low + (byte / 255) * (high - low));
}

/** A number as people read it: four digits that count, a true minus sign. */
export function shown(value, digits = 4) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  const text = size !== 0 && (size >= 1e6 || size < 1e-4) ? value.toExponential(2) : plain(value, digits);
  return text.replace("-", "\u2212");
}

function plain(value, digits) {
  const before = Math.max(0, Math.floor(Math.log10(Math.abs(value) || 1)));
  return value.toFixed(Math.max(0, digits - before));
}

/** A number with two decimals, for tables. */
export function rounded(value) {
  return (Math.abs(value) < 0.005 ? "0.00" : value.toFixed(2)).replace("-", "\u2212");
}

/** A share as a percentage. */
export function percent(share) {
  return `${(100 * share).toFixed(1)}\u00a0%`;
}
