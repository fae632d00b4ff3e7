/** The bar: a ship that sails from nothing done to all done. */

import { byId } from "./dom.js";

const SETTLED = 1_000; // milliseconds to look before a guess

export class Bar {
  #element = byId("bar");
  #began = null; // the first report that this page saw: { at, done }

  /** Show how far it is. */
  show({ done, total, percent }) {
    byId("percent").textContent = percent;
    byId("done").textContent = done;
    byId("total").textContent = total;
    byId("left").textContent = this.#left(done, total);
    this.#element.style.setProperty("--done", total ? done / total : 1);
    this.#element.ariaValueMax = total;
    this.#element.ariaValueNow = done;
    this.#element.ariaValueText = `${done} of ${total} rows`;
  }

  /** Guess how long it will take, from how fast it went since this page looks. */
  #left(done, total) {
    const now = performance.now();
    if (!this.#began || done < this.#began.done) this.#began = { at: now, done };
    const passed = now - this.#began.at;
    if (done >= total || done === this.#began.done || passed < SETTLED) return "";
    const seconds = Math.ceil(((total - done) * passed) / (done - this.#began.done) / 1000);
    return seconds < 100 ? `${seconds} s left` : `${Math.ceil(seconds / 60)} min left`;
  }
}
