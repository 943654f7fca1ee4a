// A small sound to listen to: a button, its waveform, and the playhead on it. Drawn when it comes near.

import { button } from "./dom.js";
import { summary } from "./peaks.js";
import { load, player } from "./sound.js";
import { Wave } from "./wave.js";

const nearing = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) target.sound.draw();
}, { rootMargin: "200px" });

export class Sound {
  #node = null;

  constructor(url, name, grid) {
    Object.assign(this, { url, name, grid });
    this.button = button("▶", `Play ${name}`, () => (player.owner === this ? player.stop() : this.play()), "play");
    this.wave = new Wave({ selectable: false, numbered: false, label: `waveform of ${name}` });
    this.wave.show(null, grid);
    this.wave.onseek = (time_s) => this.play(time_s);
    const follow = () => (this.wave.canvas.isConnected ? this.#follow() : player.removeEventListener("change", follow));
    player.addEventListener("change", follow);
  }

  // What holds it in the page; it is drawn when that comes near.
  set node(node) {
    this.#node = node;
    node.sound = this;
    nearing.observe(node);
  }

  get node() {
    return this.#node;
  }

  async draw() {
    nearing.unobserve(this.#node);
    try {
      this.wave.show(await summary(this.url), this.grid);
      this.#node.dataset.drawn = "";
    } catch (error) {
      this.button.disabled = true;
      this.button.title = error.message;
    }
  }

  async play(from_s = null) {
    const buffer = await load(this.url);
    await player.play(this, { buffer, grid: this.grid, range: null, name: this.name }, from_s);
  }

  #follow() {
    const playing = player.owner === this;
    this.button.textContent = playing ? "■" : "▶";
    this.#node?.classList.toggle("playing", playing);
    const step = () => {
      this.wave.moveHead(player.owner === this ? player.position() : null);
      if (player.owner === this) requestAnimationFrame(step);
    };
    step();
  }
}
