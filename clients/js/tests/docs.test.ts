import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Client, connect } from "../src/client.ts";
import { CLOSE_CODES } from "../src/closing.ts";
import { TRANSITIONS } from "../src/machine.ts";
import type { Options } from "../src/options.ts";
import { DEFAULTS } from "../src/options.ts";
import { FakeWebSocket, settled, socket, sockets } from "./support/fake.ts";

/** The page of the documentation: its code runs as it stands, its tables hold. */

const page = await readFile(new URL("../../../docs/reference/browser-client.md", import.meta.url), "utf8");
const ANSWERS: Record<string, unknown> = { "todo.add": { pk: 7 }, subscribe: { group: "board-7" } };

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("location", new URL("http://test/"));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function make(url: string, options: Options = {}): Client {
  return connect(url, { ...options, WebSocket: FakeWebSocket });
}

/** Answer all requests of a socket that were not answered yet. */
async function answerAll(): Promise<void> {
  const answered = new Set<unknown>();
  for (let round = 0; round < 20; round++) {
    await settled();
    for (const { id, type } of [...(sockets[0]?.sent ?? [])]) {
      if (!id || answered.has(id)) continue;
      answered.add(id);
      sockets[0]?.receive({ id, type, data: ANSWERS[String(type)] });
    }
  }
}

test("its code runs", async () => {
  const blocks = [...page.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);
  expect(blocks.length).toBe(6);
  sockets.length = 0;
  const client = make("/ws/rohrpost/");
  await settled();
  socket().accept();
  const shown: unknown[][] = [];
  const tell = (...what: unknown[]) => shown.push(what);
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  const run = new AsyncFunction("client", "connect", "show", blocks.join("\n"));
  const done = run(client, make, tell) as unknown as Promise<void>;
  await answerAll();
  await done;
  expect(socket().url).toBe("ws://test/ws/rohrpost/");
  expect(sockets[0]?.sent.map(({ type, stream }) => type ?? stream)).toEqual([
    "todo.add",
    "search",
    "subscribe",
    "unsubscribe",
    "chat",
  ]);
});

/** The texts in backquotes of the first column of the table under a heading. */
function named(heading: string): string[] {
  const section = page.split(`## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  return [...section.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => String(name));
}

test("its tables name what there is", () => {
  const errors = named("Requests").filter((name) => /^[A-Z]/.test(name));
  expect(errors).toEqual([
    "RequestFailed",
    "TimedOut",
    "ConnectionLost",
    "ClientClosed",
    "QueueFull",
    "MessageTooLarge",
  ]);
  expect(named("Events and the state").slice(-5)).toEqual(Object.keys(TRANSITIONS));
  expect(named("Options of `connect`")).toEqual(expect.arrayContaining(Object.keys(DEFAULTS)));
  for (const code of [1001, 1006, 1011, 1012]) expect(CLOSE_CODES[code]).toBe("soon");
  expect(Object.values(CLOSE_CODES).filter((verdict) => verdict !== "stay").length).toBe(5);
});

test("its numbers are the defaults", () => {
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (value !== "") expect(page).toMatch(new RegExp(`\\| \`${name}\` \\|.*\\| ${value.toLocaleString("en")} \\|`));
  }
});
