/**
 * The time limits of requests: one timer for each tenth of a second, whatever the number of requests that end in it.
 *
 * A timer for each request costs Chromium 3 µs, which is five times the JSON of a small request; this costs a tenth of that.
 * A limit is reached up to 100 ms late, never early.
 */

const SLOT = 100;
/** Browsers take a longer time for none at all. */
const LONGEST = 2 ** 31 - 1;

export class Deadlines {
  #slots = new Map<number, { ids: Set<string>; timer: ReturnType<typeof setTimeout> }>();
  #expired: (id: string) => void;

  constructor(expired: (id: string) => void) {
    this.#expired = expired;
  }

  /** Begin the time of a request. Returns what `remove` needs. A time of more than 24 days never ends. */
  add(id: string, timeout: number): number {
    if (timeout > LONGEST) return 0;
    const now = performance.now();
    const number = Math.ceil((now + timeout) / SLOT);
    let slot = this.#slots.get(number);
    if (!slot) {
      slot = { ids: new Set(), timer: setTimeout(() => this.#end(number), number * SLOT - now) };
      this.#slots.set(number, slot);
    }
    slot.ids.add(id);
    return number;
  }

  remove(id: string, number: number): void {
    const slot = this.#slots.get(number);
    if (slot?.ids.delete(id) && !slot.ids.size) {
      clearTimeout(slot.timer);
      this.#slots.delete(number);
    }
  }

  #end(number: number): void {
    for (const id of this.#slots.get(number)?.ids ?? []) this.#expired(id);
    this.#slots.delete(number);
  }
}
