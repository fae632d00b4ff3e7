import { expect, test } from "vitest";
import { type State, TRANSITIONS } from "../src/machine.ts";

const STATES = Object.keys(TRANSITIONS) as State[];

test("every state is left for a state that there is, and leads to the end and back", () => {
  for (const state of STATES) {
    const next = Object.values(TRANSITIONS[state]);
    expect(STATES).toEqual(expect.arrayContaining(next));
    expect(next).toContain(state === "closed" ? "connecting" : "closed");
  }
});

test("only the application leads out of the end", () => {
  expect(TRANSITIONS.closed).toEqual({ retry: "connecting" });
});

test("an open connection stays when the browser comes online or the page is shown", () => {
  const { online, visible, retry } = TRANSITIONS.open;
  expect([online, visible, retry]).toEqual([undefined, undefined, undefined]);
});

test("a page that is shown does not shorten a wait, since a server without room asked for it", () => {
  expect(TRANSITIONS.waiting.visible).toBeUndefined();
});
