import { afterEach, expect, test, vi } from "vitest";
import vectors from "../../../vectors/client.json" with { type: "json" };
import { CLOSE_CODES, DELAYS, delayAfter } from "../src/closing.ts";

afterEach(() => vi.restoreAllMocks());

test("the table of close codes is the one of all clients", () => {
  for (const [verdict, codes] of Object.entries(vectors.close_codes)) {
    const told = codes.map((code) => [code, CLOSE_CODES[code] ?? "stay"]);
    expect(told).toEqual(codes.map((code) => [code, verdict]));
  }
});

test("a delay is all luck, and doubles up to half a minute", () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  expect([0, 1, 2, 5, 6, 9, 5_000].map((failures) => delayAfter("soon", failures))).toEqual([
    500, 1_000, 2_000, 16_000, 30_000, 30_000, 30_000,
  ]);
  vi.spyOn(Math, "random").mockReturnValue(0);
  expect(delayAfter("soon", 3)).toBe(0);
});

test("a server without room is left alone for longer", () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  expect(delayAfter("later", 0)).toBe(DELAYS.later.least);
  vi.spyOn(Math, "random").mockReturnValue(1);
  expect([0, 1, 2, 9].map((failures) => delayAfter("later", failures))).toEqual([8_000, 16_000, 30_000, 30_000]);
});
