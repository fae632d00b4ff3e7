import { readFile } from "node:fs/promises";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { beforeAll, expect, test } from "vitest";
import { built, STATIC } from "../build.mjs";

let files: Record<string, string>;

beforeAll(async () => {
  files = await built();
});

test("what staticfiles serves is what the source builds to: npm run build", async () => {
  for (const [name, text] of Object.entries(files)) expect(await readFile(STATIC + name, "utf8")).toBe(text);
});

test.each(["fairway.js", "fairway.browser.js"])("%s is under 4 KiB gzipped", (name) => {
  expect(gzipSync(files[name] ?? "", { level: 9 }).length).toBeLessThan(4_096);
});

test("a plain script defines its globals, and nothing else", async () => {
  const page: Record<string, unknown> = {};
  for (const name of ["fairway.browser.js", "compat.browser.js"]) runInNewContext(files[name] ?? "", page);
  expect(Object.keys(page).sort()).toEqual(["Fairway", "RohrpostClient", "channels"]);
  const module = await import("../src/index.ts");
  expect(Object.keys(page.Fairway as object).sort()).toEqual(Object.keys(module).sort());
  expect(Object.keys(page.channels as object)).toEqual(["WebSocketBridge"]);
});

test("a module exports what its types say", async () => {
  const modules: Record<string, Record<string, unknown>> = {};
  for (const name of ["fairway.js", "compat.js"]) {
    modules[name] = await import(`data:text/javascript,${encodeURIComponent(files[name] ?? "")}`);
  }
  const [client, compat] = [await import("../src/index.ts"), await import("../src/compat.ts")];
  expect(Object.keys(modules["fairway.js"] ?? {})).toEqual(Object.keys(client).sort());
  expect(Object.keys(modules["compat.js"] ?? {})).toEqual(Object.keys(compat).sort());
});
