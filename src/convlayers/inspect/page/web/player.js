// Play, step and a slider over positions; nothing moves by itself, and nothing moves where the reader asks for stillness.

import { make } from "./elements.js";

const SECONDS = [3, 9];

/** Where the window stands; calls back with the position and whether it is playing. */
export class Player {
  constructor(container, onposition) {
    this.onposition = onposition;
    this.count = 0;
    this.position = 0;
    this.playing = false;
    this.paused = false;
    this.still = window.matchMedia("(prefers-reduced-motion: reduce)");
    const button = (text, onclick) => make("button", { type: "button", onclick }, text);
    this.play = button("Play", () => (this.playing ? this.pause() : this.start()));
    this.back = button("Step back", () => this.go(this.position - 1));
    this.step = button("Step", () => this.go(this.position + 1));
    this.range = make("input", { type: "range", min: 0, "aria-label": "Position of the window" });
    this.range.addEventListener("input", () => this.go(Number(this.range.value)));
    this.output = make("output", {});
    this.note = make("span", { class: "hint" }, "Your system asks for less motion: use Step.");
    container.append(this.play, this.back, this.step, this.range, this.output, this.note);
    this.still.addEventListener("change", () => this.allow());
    this.allow();
  }

  allow() {
    if (this.still.matches) this.stop();
    this.play.hidden = this.still.matches;
    this.note.hidden = !this.still.matches;
  }

  /** As many positions as there are; the window stays where it was, as far as it can. */
  of(count) {
    this.count = count;
    this.range.max = Math.max(0, count - 1);
    this.go(Math.min(this.position, count - 1));
  }

  go(position) {
    this.stop();
    this.paused = false;
    this.show(Math.min(this.count - 1, Math.max(0, position)));
  }

  show(position) {
    this.position = Math.max(0, position);
    this.range.value = this.position;
    this.output.textContent = this.count ? `${this.position + 1} of ${this.count}` : "no window";
    if (this.count) this.onposition(this.position, this.playing);
  }

  start() {
    if (!this.count) return;
    this.playing = true;
    this.play.textContent = "Pause";
    const from = this.paused ? this.position : 0;
    const seconds = Math.min(SECONDS[1], Math.max(SECONDS[0], this.count * 0.06));
    const begin = performance.now();
    const frame = (now) => {
      if (!this.playing) return;
      const position = from + Math.floor(((now - begin) / 1000 / seconds) * this.count);
      if (position >= this.count - 1) {
        this.stop();
        return this.show(this.count - 1);
      }
      if (position !== this.position) this.show(position);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  pause() {
    this.paused = true;
    this.stop();
  }

  stop() {
    const was = this.playing;
    this.playing = false;
    this.play.textContent = "Play";
    if (was && this.count) this.onposition(this.position, false);
  }
}
