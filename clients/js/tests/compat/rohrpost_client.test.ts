import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { RohrpostClient, type RohrpostOptions } from "../../src/compat/rohrpost_client.ts";
import { FakeSocket, outcome, settled, socket, sockets } from "../support/fake.ts";

beforeEach(() => {
  vi.useFakeTimers();
  sockets.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const BOARD = { type: "board", id: 7 };

function make(options: RohrpostOptions = {}): RohrpostClient {
  return new RohrpostClient("ws://test/", { WebSocket: FakeSocket as never, ...options });
}

function opened(options?: RohrpostOptions): RohrpostClient {
  const client = make(options);
  socket().accept();
  return client;
}

/** What was sent, without pings. */
function sent(): unknown[] {
  return socket().sent.filter(({ type }) => type !== "ping");
}

/** Lose the socket, and have the next one. */
async function comeBack(): Promise<void> {
  socket().lose();
  await vi.advanceTimersByTimeAsync(3_000);
  socket().accept();
}

async function subscribed(client: RohrpostClient): Promise<void> {
  const subscription = client.subscribe(BOARD);
  socket().answer("subscribe", { data: { ...BOARD, group: "board-7" } });
  await subscription;
}

test("it connects by itself, with the browser's own sockets", () => {
  vi.stubGlobal("WebSocket", FakeSocket);
  const client = new RohrpostClient("ws://test/");
  expect([client.socketState, socket().url]).toEqual(["connecting", "ws://test/"]);
});

test("a call, and its answer", async () => {
  const client = opened({ token: "secret" });
  const call = client.call("add", { a: 1 });
  expect(sent()).toEqual([{ type: "add", id: 1, auth_jwt: "secret", data: { a: 1 } }]);
  socket().receive({ type: "other", id: 1, data: 2 });
  expect(await call).toBe(2);
  expect(vi.getTimerCount()).toBe(1); // of the pings
});

test("a call that fails, or takes too long", async () => {
  const client = opened();
  const failing = outcome(client.call("a"));
  socket().answer("a", { error: "no" });
  expect(await failing).toBe("no");
  const slow = outcome(client.call("b"));
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await slow).toEqual(new Error("call timed out"));
  const slower = outcome(client.call("c", null, { timeout: 10 }));
  await vi.advanceTimersByTimeAsync(10);
  expect(await slower).toEqual(new Error("call timed out"));
});

test("what comes while connecting waits", async () => {
  const client = make();
  const subscription = client.subscribe(BOARD);
  const call = client.call("a");
  const slow = outcome(client.call("b", {}, { timeout: 100 }));
  expect(client._pendingSubscribes.length).toBe(1);
  await vi.advanceTimersByTimeAsync(100);
  expect(await slow).toEqual(new Error("call timed out"));
  socket().accept();
  expect([client._pendingSubscribes, sent().length]).toEqual([[], 2]);
  socket().answer("subscribe", { data: { group: "board-7" } });
  socket().answer("a");
  expect([await subscription, await call]).toEqual([{ group: "board-7" }, undefined]);
});

test("it is open when it says so", () => {
  const client = make();
  const states: string[] = [];
  client.once("open", () => {
    states.push(client.socketState);
    client.subscribe(BOARD);
  });
  socket().accept();
  expect(states).toEqual(["open"]);
  expect(sent().length).toBe(1);
});

test("a subscription, its updates, and the end of it", async () => {
  const client = opened();
  const told: unknown[] = [];
  client.on("board-7", (error, data) => told.push([error, data]));
  await subscribed(client);
  expect(client._subscriptions).toEqual({ "board-7": BOARD });
  const data = { group: "board-7", type: "update", object: { id: 7 } };
  socket().receive({ type: "subscription-update", id: 900, data });
  expect(told).toEqual([[null, data]]);
  const ending = client.unsubscribe({ ...BOARD });
  socket().answer("unsubscribe", { data: { group: "board-7" } });
  expect(await ending).toEqual({ group: "board-7" });
  expect(client._subscriptions).toEqual({});
});

test("without a connection, leaving is forgetting", async () => {
  const client = opened();
  await subscribed(client);
  socket().lose();
  expect(await client.unsubscribe(BOARD)).toBeUndefined();
  await vi.advanceTimersByTimeAsync(3_000);
  socket().accept();
  expect([client._subscriptions, sent()]).toEqual([{}, []]);
});

test("it comes back after three seconds, for ever, with its subscriptions", async () => {
  const client = opened();
  const told: string[] = [];
  for (const event of ["open", "closed", "reconnecting"]) client.on(event, () => told.push(event));
  await subscribed(client);
  for (let round = 0; round < 3; round++) await comeBack();
  expect(told.join(" ")).toBe(Array(3).fill("closed reconnecting open").join(" "));
  expect(sent()).toEqual([{ type: "subscribe", id: 1, auth_jwt: "", data: BOARD }]);
});

test("what was under way when the socket broke", async () => {
  const client = opened();
  await subscribed(client);
  const subscription = client.subscribe({ type: "other" });
  const [call, leaving] = [outcome(client.call("a", {}, { timeout: 60_000 })), client.unsubscribe(BOARD)];
  socket().lose();
  expect(client._pendingSubscribes.length).toBe(1);
  await vi.advanceTimersByTimeAsync(3_000);
  expect([await call, await leaving, client._subscriptions]).toEqual(["Socket was closed", undefined, {}]);
  socket().accept();
  socket().answer("subscribe", { data: { group: "others" } });
  expect(await subscription).toEqual({ group: "others" });
});

test("a close is for good, and rejects what waits", async () => {
  const client = opened();
  await subscribed(client);
  const [call, leaving] = [outcome(client.call("a")), client.unsubscribe(BOARD)];
  client.close();
  const late = [outcome(client.call("a")), outcome(client.subscribe(BOARD))];
  expect([await call, await leaving, ...(await Promise.all(late))]).toEqual([
    "Socket was closed",
    undefined,
    "Socket was closed",
    "Socket was closed",
  ]);
  socket().lose();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([client.socketState, sockets.length, vi.getTimerCount()]).toEqual(["closed", 1, 0]);
});

test("a close before the socket is open, between two of them, and while the next begins", async () => {
  const connecting = make();
  connecting.close();
  socket().accept();
  expect(sent()).toEqual([]);
  const waiting = opened();
  socket().lose();
  waiting.close();
  const beginning = opened();
  socket().lose();
  beginning.on("reconnecting", () => beginning.close());
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sockets.length).toBe(3);
});

test("pings: at once, then at each look, but never two without an answer", async () => {
  const client = opened({ pingInterval: 1_000 });
  const told: string[] = [];
  for (const event of ["ping", "pong"]) client.on(event, () => told.push(event));
  const pings = () => socket().sent.length;
  expect(socket().sent).toEqual([{ type: "ping", id: Date.now() }]);
  socket().answer("ping");
  socket().receive({ type: "pong", id: 1 });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(pings()).toBe(2);
  socket().receive({ type: "subscription-update", id: 1, data: { group: "any" } });
  await vi.advanceTimersByTimeAsync(1_000);
  expect([pings(), told]).toEqual([2, ["pong", "ping"]]); // unanswered, and other traffic keeps it alive
  expect(socket().closedWith).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(socket().closedWith).toEqual([]);
});

test("a ping of a socket that was replaced is no reason to wait", async () => {
  opened();
  await comeBack();
  expect(socket().sent.map(({ type }) => type)).toEqual(["ping"]);
});

test("every frame is a message; an answer that nobody waits for is an error", () => {
  const client = opened();
  const told: unknown[] = [];
  client.on("message", (frame) => told.push(frame));
  client.on("error", (error) => told.push(error));
  socket().receive({ type: "a", id: 7 });
  socket().receive({ error: "what" });
  socket().receive("nonsense");
  socket().receive("17");
  expect(told).toEqual([
    { type: "a", id: 7 },
    "no saved request with id: 7",
    { error: "what" },
    "no saved request with id: undefined",
    expect.stringContaining("SyntaxError"),
    "no object: 17",
  ]);
});

test("a log of the traffic, but for errors", () => {
  const client = opened();
  const told: unknown[] = [];
  client.on("log", (entry) => told.push(entry));
  outcome(client.call("a"));
  socket().answer("a", { error: "no" });
  socket().receive({ type: "pong" });
  expect(told).toEqual([
    { direction: "send", data: '{"type":"a","id":1,"auth_jwt":""}' },
    { direction: "receive", data: '{"type":"pong"}' },
  ]);
});

test("a refusal of what was subscribed before is an error", async () => {
  const client = opened();
  const errors: unknown[] = [];
  client.on("error", (error) => errors.push(error));
  await subscribed(client);
  await comeBack();
  socket().answer("subscribe", { error: "not any more" });
  await settled();
  expect(errors).toEqual(["not any more"]);
});

test("on, once and off, as in Node", () => {
  const client = make();
  const told: unknown[] = [];
  const listener = (...details: unknown[]) => told.push(details);
  client
    .on("a", listener)
    .once("a", listener)
    .off("b", listener)
    .off("a", () => {});
  expect([client.emit("a", 1, 2), client.emit("a", 3), client.off("a", listener).emit("a")]).toEqual([
    true,
    true,
    false,
  ]);
  expect(told).toEqual([[1, 2], [1, 2], [3]]);
});
