import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Deadlines } from "../src/deadlines.ts";

let expired: string[];
let deadlines: Deadlines;

beforeEach(() => {
  vi.useFakeTimers();
  expired = [];
  deadlines = new Deadlines((id) => expired.push(id));
});
afterEach(() => vi.useRealTimers());

test("a time limit is reached a little late, never early", () => {
  deadlines.add("a", 1_000);
  vi.advanceTimersByTime(999);
  expect(expired).toEqual([]);
  vi.advanceTimersByTime(101);
  expect(expired).toEqual(["a"]);
});

test("10,000 limits are a handful of timers", () => {
  for (let count = 0; count < 10_000; count++) deadlines.add(`${count}`, 1_000);
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(1_100);
  expect(expired.length).toBe(10_000);
  expect(vi.getTimerCount()).toBe(0);
});

test("what is removed does not expire, and leaves no timer", () => {
  const [first, second] = [deadlines.add("a", 1_000), deadlines.add("b", 1_000)];
  deadlines.remove("a", first);
  expect(vi.getTimerCount()).toBe(1);
  deadlines.remove("b", second);
  deadlines.remove("b", second);
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(2_000);
  expect(expired).toEqual([]);
});

test("a limit may be none", () => {
  deadlines.remove("a", deadlines.add("a", Number.POSITIVE_INFINITY));
  deadlines.add("b", 2 ** 31);
  expect(vi.getTimerCount()).toBe(0);
});
