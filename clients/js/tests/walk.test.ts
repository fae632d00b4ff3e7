import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Client } from "../src/client.ts";
import { type State, TRANSITIONS } from "../src/machine.ts";
import { connecting, Page, socket, sockets } from "./support/fake.ts";

/**
 * Anything may happen at any time: walks through it, the same ones every time, after which nothing is left over. What one
 * walk has found wrong is a test of its own elsewhere.
 */

const WALKS = 300;
const STEPS = 60;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** Numbers below 1 that look like luck (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Let promises settle. As `settled`, but a thousand times faster. */
async function promised(): Promise<void> {
  for (let round = 0; round < 20; round++) await Promise.resolve();
}

class Walk {
  promises: Promise<unknown>[] = [];
  unsettled = 0;
  leaves: (() => Promise<void>)[] = [];
  client: Client;
  #page: Page;
  #luck: () => number;

  constructor(client: Client, page: Page, luck: () => number) {
    this.client = client;
    this.#page = page;
    this.#luck = luck;
    let before: State = client.state;
    client.on("state", (state) => {
      expect(Object.values(TRANSITIONS[before])).toContain(state);
      before = state;
    });
    client.on("error", () => {});
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#luck() * items.length)] as Item;
  }

  #keep(promise: Promise<unknown>): void {
    this.unsettled++;
    const done = () => void this.unsettled--;
    promise.then(done, done);
  }

  #steps: (() => unknown)[] = [
    () => socket().readyState === 0 && socket().accept(),
    () => socket().readyState === 0 && socket().accept(),
    () => socket().readyState < 3 && socket().lose(this.#pick([1000, 1001, 1006, 1011, 1012, 1013, 4401])),
    () => this.#keep(this.client.request("a", {}, { idempotent: this.#luck() < 0.5, timeout: this.#pick([50, 1e9]) })),
    () => this.#answer(),
    () => this.#answer(),
    () => this.#answer(),
    () => socket().readyState === 1 && socket().receive(this.#pick(["nonsense", "[]", '{"id":"#1"}', '{"error":1}'])),
    () => this.#subscribe(),
    () => this.#leave(),
    () => this.#page.goOffline(),
    () => this.#page.goOnline(),
    () => this.#page.show(this.#luck() < 0.5),
    () => vi.advanceTimersByTimeAsync(this.#pick([10, 600, 40_000])),
    () => this.client.reconnect(),
    () => this.#luck() < 0.2 && this.client.close(),
  ];

  async step(): Promise<void> {
    await this.#pick(this.#steps)();
    await promised();
    const live = sockets.filter(({ readyState }) => readyState < 2);
    expect(live.length).toBeLessThanOrEqual(1);
    if (this.client.state === "open") expect(live).toEqual([socket()]);
  }

  #answer(): void {
    if (socket().readyState !== 1) return;
    const request = this.#pick(socket().sent);
    if (!request) return;
    const { type, id } = request;
    const error = this.#luck() < 0.2 ? { error: "no" } : {};
    socket().receive({ type, id, data: { group: `group-${id}` }, ...error });
  }

  #leave(): void {
    this.leaves
      .pop()?.()
      .catch(() => {});
  }

  #subscribe(): void {
    const subscription = this.client.subscribe({ type: "board", id: this.#pick([1, 2, 3]) }, () => {});
    this.#keep(subscription);
    subscription.then(
      (leave) => this.leaves.push(leave),
      () => {},
    );
  }
}

test("whatever happens, there is one socket, and in the end nothing is left", async () => {
  for (let seed = 0; seed < WALKS; seed++) {
    const luck = numbers(seed);
    vi.spyOn(Math, "random").mockImplementation(luck);
    const page = new Page();
    const walk = new Walk(await connecting({ maxQueue: 5, maxInFlight: 9 }), page, luck);
    for (let step = 0; step < STEPS; step++) await walk.step();
    for (const { sent } of sockets) {
      const ids = sent.map(({ id }) => id);
      expect(new Set(ids).size, `ids of walk ${seed}`).toBe(ids.length);
    }
    walk.client.close();
    await promised();
    expect([walk.unsettled, vi.getTimerCount(), walk.client.state], `walk ${seed}`).toEqual([0, 0, "closed"]);
  }
});
