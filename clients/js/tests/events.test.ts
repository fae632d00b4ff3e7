import { afterEach, expect, test, vi } from "vitest";
import { Emitter } from "../src/events.ts";

class Bell extends Emitter<{ ring: number; stop: undefined }> {
  ring(times: number): boolean {
    return this.emit("ring", times);
  }
}

afterEach(() => vi.unstubAllGlobals());

test("on, once and off", () => {
  const bell = new Bell();
  const heard: string[] = [];
  const first = (times: number) => heard.push(`first ${times}`);
  bell.on("ring", first);
  bell.once("ring", (times) => heard.push(`once ${times}`));
  const end = bell.on("ring", (times) => heard.push(`second ${times}`));
  expect(bell.ring(1)).toBe(true);
  end();
  bell.ring(2);
  bell.off("ring", first);
  expect(bell.ring(3)).toBe(false);
  bell.off("stop", () => {});
  expect(heard).toEqual(["first 1", "once 1", "second 1", "first 2"]);
});

test("a handler for one time may ask for another", () => {
  const bell = new Bell();
  let rung = 0;
  const again = () => {
    rung++;
    bell.once("ring", again);
  };
  bell.once("ring", again);
  bell.ring(1);
  bell.ring(1);
  expect(rung).toBe(2);
});

test("a handler that throws spoils nothing, and its error reaches the page", () => {
  const later: (() => void)[] = [];
  vi.stubGlobal("queueMicrotask", (task: () => void) => later.push(task));
  const bell = new Bell();
  const heard: number[] = [];
  bell.on("ring", () => {
    throw new Error("spoiled");
  });
  bell.on("ring", (times) => heard.push(times));
  bell.ring(1);
  expect(heard).toEqual([1]);
  expect(() => later[0]?.()).toThrow("spoiled");
});
