// A picture of numbers: a canvas with one pixel a number, and above it an overlay with frames, in the same coordinates.

import { colours } from "./colour.js";
import { make, makeSvg } from "./elements.js";

/** Paints a plane of numbers: one pixel each; what is NaN is left clear. */
export function paint(canvas, values, height, width, scale) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  const palette = colours(scale.kind);
  const factor = scale.high > scale.low ? 255 / (scale.high - scale.low) : 0;
  for (let i = 0; i < width * height; i++) {
    const value = values[i];
    if (Number.isNaN(value)) continue;
    const colour = palette[Math.min(255, Math.max(0, Math.round((value - scale.low) * factor)))];
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = colour[c];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Paints bytes of three channels as a colour picture. */
export function paintColours(canvas, bytes, height, width, plane, offset) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[c * plane + offset + i];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** A figure with a caption, a canvas and an overlay. */
export class Picture {
  /**
   * @param {string} caption what it shows
   * @param {object} options alt: what a screen reader is told; onpoint(row, column): hovered, tapped, or moved to by arrows
   */
  constructor(caption, { alt = caption, onpoint = null } = {}) {
    this.canvas = make("canvas", { role: "img", "aria-label": alt });
    this.overlay = makeSvg("svg", { class: "overlay", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.frame = make("div", { class: "picture" }, this.canvas, this.overlay);
    this.caption = make("figcaption", {}, caption);
    this.element = make("figure", {}, this.caption, this.frame);
    this.at = [0, 0];
    if (onpoint) this.listen(onpoint);
  }

  listen(onpoint) {
    this.frame.tabIndex = 0;
    this.frame.setAttribute("role", "group");
    this.frame.classList.add("pointable");
    const point = (event) => {
      const box = this.frame.getBoundingClientRect();
      const row = Math.floor(((event.clientY - box.top) / box.height) * this.canvas.height);
      const column = Math.floor(((event.clientX - box.left) / box.width) * this.canvas.width);
      const inside = row >= 0 && column >= 0 && row < this.canvas.height && column < this.canvas.width;
      if (inside && (row !== this.at[0] || column !== this.at[1])) onpoint(row, column);
    };
    this.frame.addEventListener("pointermove", point);
    this.frame.addEventListener("pointerdown", point);
    this.frame.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const clamp = (value, size) => Math.min(size - 1, Math.max(0, value));
      onpoint(clamp(this.at[0] + step[0], this.canvas.height), clamp(this.at[1] + step[1], this.canvas.width));
    });
  }

  /** Says anew what it shows. */
  name(caption, alt = caption) {
    this.caption.textContent = caption;
    this.canvas.setAttribute("aria-label", alt);
    if (this.frame.tabIndex === 0) this.frame.setAttribute("aria-label", `${alt}. Arrow keys move the pixel.`);
  }

  fit(height, width) {
    this.overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.frame.classList.toggle("strip", height === 1);
    this.frame.classList.toggle("fine", Math.min(height, width) > 96 || width > 320);
    this.frame.style.setProperty("--ratio", `${width} / ${height}`);
  }

  draw(values, height, width, scale) {
    paint(this.canvas, values, height, width, scale);
    this.fit(height, width);
  }

  /** Frames over the picture, each {row, column, height, width, class}; the others go. */
  mark(frames) {
    const shapes = frames.flatMap(({ row, column, height = 1, width = 1, kind = "mark" }) => {
      const where = { x: column, y: row, width, height };
      return kind === "tap" ? [makeSvg("rect", { ...where, class: kind })]
        : [makeSvg("rect", { ...where, class: `${kind} halo` }), makeSvg("rect", { ...where, class: kind })];
    });
    this.overlay.querySelectorAll("rect").forEach((shape) => shape.remove());
    this.overlay.append(...shapes);
  }

  /** A curve instead of pixels, for signals; between each pixel's least and most where samples are many. */
  curve(rows, low, high) {
    const width = rows[0].length;
    this.canvas.width = width;
    this.canvas.height = 1;
    this.fit(1, width);
    this.frame.classList.add("wave");
    this.overlay.querySelectorAll("path").forEach((path) => path.remove());
    const y = (value) => (0.95 - 0.9 * ((value - low) / (high - low || 1))).toFixed(4);
    const stride = Math.max(1, Math.floor(width / 1200));
    for (const row of rows) {
      const points = [];
      for (let i = 0; i < width; i += stride) {
        const part = row.subarray(i, i + stride);
        points.push(`${i + stride / 2},${y(Math.min(...part))}`);
        if (stride > 1) points.push(`${i + stride / 2},${y(Math.max(...part))}`);
      }
      this.overlay.prepend(makeSvg("path", { d: `M${points.join("L")}`, class: "curve" }));
    }
  }
}
