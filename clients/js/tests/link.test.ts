import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Client } from "../src/client.ts";
import { connect } from "../src/client.ts";
import { comeBack, connecting, FakeWebSocket, opened, Page, settled, socket, sockets } from "./support/fake.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

function story(client: Client): unknown[] {
  const told: unknown[] = [];
  client.on("state", (state) => told.push(state));
  client.on("close", ({ code, reason, willReconnect }) => told.push([code, reason, willReconnect]));
  client.on("reconnecting", (next) => told.push(next));
  client.on("error", (error) => told.push(error));
  return told;
}

test("an address: a path of the page's host, or any that names a host", async () => {
  vi.stubGlobal("location", new URL("https://example.org/page/"));
  const addresses = ["/ws/", "wss://other.org/x?y=1", "http://other.org/", "ws://other.org/"];
  for (const address of addresses) connect(address, { WebSocket: FakeWebSocket, protocols: ["a", "b"] });
  await settled();
  const urls = sockets.slice(-4).map(({ url }) => url);
  expect(urls).toEqual(["wss://example.org/ws/", "wss://other.org/x?y=1", "ws://other.org/", "ws://other.org/"]);
  expect(socket().protocols).toEqual(["a", "b"]);
});

test("a wrong address is told at once", () => {
  expect(() => connect("/ws/", { WebSocket: FakeWebSocket })).toThrow("Invalid URL");
});

test("it connects, and tells", async () => {
  const client = await connecting();
  const told = story(client);
  client.on("open", () => told.push("open"));
  expect(client.state).toBe("connecting");
  socket().accept();
  expect(client.state).toBe("open");
  expect(told).toEqual(["open", "open"]); // the event, and the state
});

test("after a lost connection it comes back, each time later", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const told = story(await opened());
  socket().lose(1006);
  await vi.advanceTimersByTimeAsync(499);
  expect(sockets.length).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(sockets.length).toBe(2);
  socket().lose(1006);
  await vi.advanceTimersByTimeAsync(1_000);
  socket().accept();
  const lost = [1006, "", true];
  expect(told.slice(0, 4)).toEqual([lost, "waiting", { attempt: 1, delay: 500 }, "connecting"]);
  expect(told.slice(4)).toEqual([lost, "waiting", { attempt: 2, delay: 1_000 }, "connecting", "open"]);
});

test("a connection that has lasted makes the delays short again, a short one does not", async () => {
  const client = await opened();
  const attempts: number[] = [];
  client.on("reconnecting", ({ attempt }) => attempts.push(attempt));
  for (const lasted of [1_000, 1_000, 6_000, 0]) {
    await vi.advanceTimersByTimeAsync(lasted);
    socket().lose(1012, "restart");
    await comeBack();
  }
  expect(attempts).toEqual([1, 2, 1, 2]);
});

test.each([1000, 1005, 1008, 1009, 3000, 4000, 4401, 4999])("after %i it stays away", async (code) => {
  const client = await opened();
  const told = story(client);
  socket().lose(code, "why");
  await vi.advanceTimersByTimeAsync(120_000);
  expect(told).toEqual([[code, "why", false], "closed"]);
  expect([client.state, sockets.length]).toEqual(["closed", 1]);
});

test("an application may give its codes a meaning, and the known ones another", async () => {
  const client = await opened({ codes: { 4503: "later", 1012: "stay" } });
  const told = story(client);
  socket().lose(4503);
  await comeBack();
  socket().lose(1012);
  expect(told.filter(Array.isArray)).toEqual([
    [4503, "", true],
    [1012, "", false],
  ]);
});

test("it is told to connect now: in a wait, after the end, and in vain while open", async () => {
  const client = await opened({ heartbeat: 0 });
  client.reconnect();
  await settled();
  expect(sockets.length).toBe(1);
  socket().lose();
  client.reconnect();
  await settled();
  expect(sockets.length).toBe(2);
  socket().accept();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sockets.length).toBe(2); // nothing is left of the wait
  socket().lose(4401, "log in");
  client.reconnect();
  await settled();
  socket().accept();
  expect([client.state, sockets.length]).toEqual(["open", 3]);
});

test.each(["open", "connecting", "waiting"])("a close ends it while %s, and no timer is left", async (state) => {
  const client = await (state === "connecting" ? connecting : opened)();
  if (state === "waiting") socket().lose();
  expect(client.state).toBe(state);
  const told = story(client);
  client.close();
  client.close();
  expect(told).toEqual([[1000, "", false], "closed"]);
  expect(socket().closedWith).toEqual([1000]);
  expect(vi.getTimerCount()).toBe(0);
  socket().accept();
  socket().receive({ type: "late" });
  socket().lose();
  expect(client.state).toBe("closed");
});

test("who is told of an end may decide otherwise", async () => {
  const client = await opened();
  client.on("close", () => client.close());
  socket().lose();
  expect(client.state).toBe("closed");
  const other = await opened();
  other.once("close", () => other.reconnect());
  socket().lose();
  await settled();
  expect([other.state, sockets.length]).toEqual(["connecting", 2]);
});

test("a handshake that nobody answers is given up", async () => {
  const told = story(await connecting({ connectTimeout: 7_000 }));
  await vi.advanceTimersByTimeAsync(7_000);
  expect(told[0]).toEqual([1006, "no connection within connectTimeout", true]);
  expect(sockets[0]?.closedWith).toEqual([1000]);
  await comeBack();
});

test("a socket that cannot be made is an error, and tried again", async () => {
  class Refusing {
    constructor() {
      throw new Error("insecure");
    }
  }
  const told = story(connect("ws://test/", { WebSocket: Refusing as never }));
  await settled();
  expect(told.slice(0, 2)).toEqual([new Error("insecure"), [1006, "Error: insecure", true]]);
});

test("a token is asked for before each connection; without one there is none", async () => {
  const answers = ["one", new Error("no token"), "two"];
  const token = async () => {
    const answer = answers.shift();
    if (typeof answer === "string") return answer;
    throw answer;
  };
  const client = await opened({ token });
  const told = story(client);
  client.request("first").catch(() => {});
  expect(socket().sent.at(-1)?.auth_jwt).toBe("one");
  socket().lose();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(told).toContainEqual(new Error("no token"));
  socket().accept();
  client.request("second").catch(() => {});
  expect(socket().sent.at(-1)?.auth_jwt).toBe("two");
});

test("a token that comes after the end opens nothing", async () => {
  for (const settle of ["resolve", "reject"]) {
    let done = () => {};
    const token = () =>
      new Promise<string>((resolve, reject) => {
        done = () => (settle === "resolve" ? resolve("late") : reject(new Error("late")));
      });
    const client = await connecting({ token });
    const told = story(client);
    client.close();
    done();
    await settled();
    expect([sockets.length, told]).toEqual([0, [[1000, "", false], "closed"]]);
  }
});

test("offline there is no try; online there is one at once", async () => {
  const page = new Page();
  const client = await opened();
  const told = story(client);
  page.goOffline();
  socket().lose();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([client.state, sockets.length]).toEqual(["paused", 1]);
  page.goOnline();
  await settled();
  expect(sockets.length).toBe(2);
  expect(told.at(-1)).toBe("connecting");
});

test("offline in a wait ends it at once", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const page = new Page();
  const client = await opened();
  socket().lose();
  page.goOffline();
  expect(client.state).toBe("paused");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sockets.length).toBe(1);
});

test("an open connection is doubted when the browser goes offline: one to the same machine stays", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const page = new Page();
  const client = await opened();
  page.goOffline();
  socket().answer("ping");
  await vi.advanceTimersByTimeAsync(6_000);
  expect(client.state).toBe("open");
  page.goOffline();
  await vi.advanceTimersByTimeAsync(5_100);
  expect(client.state).toBe("waiting");
  await vi.advanceTimersByTimeAsync(500);
  expect([client.state, sockets.length]).toEqual(["paused", 1]);
});

test("online in a wait ends it", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const page = new Page();
  await opened();
  socket().lose();
  page.show(true); // this does not
  await settled();
  expect(sockets.length).toBe(1);
  page.goOnline();
  await settled();
  expect(sockets.length).toBe(2);
});

test("a hidden page does not come back before it is shown, unless it asks for that", async () => {
  const page = new Page();
  const client = await opened();
  page.show(false);
  socket().lose();
  await vi.advanceTimersByTimeAsync(60_000);
  page.goOnline(); // still hidden
  expect([client.state, sockets.length]).toEqual(["paused", 1]);
  page.show(true);
  await settled();
  expect(sockets.length).toBe(2);
  client.close();
  const other = await opened({ background: true });
  page.show(false);
  socket().lose();
  await comeBack();
  expect(other.state).toBe("open");
});

test("a closed client listens to the page no longer", async () => {
  const page = new Page();
  const client = await opened();
  client.close();
  page.goOnline();
  page.show(true);
  await settled();
  expect(sockets.length).toBe(1);
});

test("an open connection is doubted when the browser comes online, and given up without an answer", async () => {
  const page = new Page();
  const client = await opened();
  page.goOnline();
  socket().answer("ping");
  await vi.advanceTimersByTimeAsync(6_000);
  expect(client.state).toBe("open");
  page.show(true);
  await vi.advanceTimersByTimeAsync(5_100);
  expect(sockets[0]?.closedWith).toEqual([1000]);
});

test("a server that is at work is not doubted so soon: answers come in order", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const page = new Page();
  const client = await opened();
  const slow = client.request("slow", null, { timeout: 60_000 });
  for (const isVisible of [false, true]) page.show(isVisible);
  await vi.advanceTimersByTimeAsync(20_000);
  socket().answer("slow", { data: { done: true } });
  expect(await slow).toEqual({ done: true });
  socket().answer("ping");
  page.show(true);
  page.show(true); // its own questions are no work
  await vi.advanceTimersByTimeAsync(5_100);
  expect(client.state).toBe("waiting");
});

test("a connection that is doubted twice is lost once", async () => {
  const page = new Page();
  const told = story(await opened());
  page.goOnline();
  page.show(true);
  await vi.advanceTimersByTimeAsync(5_100);
  const lost = [1006, "no sign of life", true];
  expect(told.filter((item) => Array.isArray(item))).toEqual([lost]);
});

test("without a heart nothing is doubted", async () => {
  const page = new Page();
  await opened({ heartbeat: 0 });
  page.goOnline();
  expect(socket().sent).toEqual([]);
});
