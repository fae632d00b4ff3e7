import { afterEach, beforeEach, expect, test, vi } from "vitest";
import vectors from "../../../vectors/client.json" with { type: "json" };
import {
  ClientClosed,
  ConnectionLost,
  FairwayError,
  MessageTooLarge,
  QueueFull,
  RequestFailed,
  TimedOut,
} from "../src/errors.ts";
import { comeBack, connecting, opened, outcome, socket } from "./support/fake.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("the frames of all clients", async () => {
  let token = "";
  const client = await opened({ token: () => token });
  const first = socket();
  client.ping();
  client.request("todo.add", { title: "Sail" });
  first.answer("ping");
  first.answer("todo.add");
  token = "secret";
  first.lose();
  const second = await comeBack();
  client.request("todo.add", null);
  expect([...first.sent, ...second.sent]).toEqual(vectors.sent.slice(0, 3));
});

test("an answer resolves its request, whatever its type", async () => {
  const client = await opened();
  const requests = [client.request("a", [1]), client.request("b"), client.request("c", null)];
  expect(socket().sent).toEqual([
    { type: "a", id: "#1", data: [1] },
    { type: "b", id: "#2" },
    { type: "c", id: "#3", data: null },
  ]);
  socket().receive({ type: "other", id: "#2", data: "B" });
  socket().receive({ type: "c", id: "#3", error: null });
  socket().receive({ type: "a", id: "#1", data: 0 });
  expect(await Promise.all(requests)).toEqual([0, "B", undefined]);
});

test("an error answer rejects with what the server said", async () => {
  const client = await opened();
  for (const [error, message] of [
    ["no such board", "no such board"],
    [{ title: ["is empty"] }, '{"title":["is empty"]}'],
    ["", ""],
  ]) {
    const request = outcome(client.request("a"));
    socket().answer("a", { error, data: { pk: 1 } });
    const failure = (await request) as RequestFailed;
    expect(failure).toBeInstanceOf(RequestFailed);
    expect([failure.name, failure.message, failure.frame.error]).toEqual(["RequestFailed", message, error]);
    expect(failure.frame.data).toEqual({ pk: 1 });
  }
});

test("a slow answer comes too late, and disturbs nobody", async () => {
  const client = await opened({ timeout: 1_000 });
  const told: unknown[] = [];
  client.on("message", (frame) => told.push(frame));
  client.on("error", (error) => told.push(error));
  const slow = outcome(client.request("slow"));
  const patient = client.request("patient", {}, { timeout: 5_000 });
  await vi.advanceTimersByTimeAsync(1_100);
  expect(await slow).toBeInstanceOf(TimedOut);
  socket().answer("slow", { data: 1 });
  socket().answer("slow", { error: "too late" });
  socket().answer("patient", { data: 2 });
  socket().answer("patient", { data: 3 });
  expect([await patient, told]).toEqual([2, []]);
});

test("the time runs from the call, also while there is no connection", async () => {
  const client = await connecting({ timeout: 1_000 });
  const request = outcome(client.request("a"));
  await vi.advanceTimersByTimeAsync(1_100);
  expect(await request).toBeInstanceOf(TimedOut);
  socket().accept();
  expect(socket().sent).toEqual([]);
});

test("a signal ends the waiting, before the sending or after it", async () => {
  const client = await connecting();
  const [stop, other] = [new AbortController(), new AbortController()];
  const queued = outcome(client.request("queued", {}, { signal: stop.signal }));
  stop.abort("enough");
  expect(await queued).toBe("enough");
  expect(await outcome(client.request("never", {}, { signal: stop.signal }))).toBe("enough");
  socket().accept();
  const sent = outcome(client.request("sent", {}, { signal: other.signal }));
  other.abort();
  expect(await sent).toMatchObject({ name: "AbortError" });
  expect(socket().sent.map(({ type }) => type)).toEqual(["sent"]);
});

test("what is asked without a connection is sent in order when there is one", async () => {
  const client = await connecting({ token: "secret" });
  client.request("a", { n: 1 });
  client.stream("s").send({ n: 2 });
  client.request("b", { n: 3 });
  socket().accept();
  client.request("c");
  expect(socket().sent).toEqual([
    { type: "a", id: "#1", auth_jwt: "secret", data: { n: 1 } },
    { stream: "s", payload: { n: 2 } },
    { type: "b", id: "#3", auth_jwt: "secret", data: { n: 3 } },
    { type: "c", id: "#4", auth_jwt: "secret" },
  ]);
});

test("what is sent is what was there at the call", async () => {
  const client = await connecting();
  const data = { n: 1 };
  client.request("a", data);
  data.n = 2;
  socket().accept();
  expect(socket().sent[0]?.data).toEqual({ n: 1 });
});

test("only so many wait for a connection", async () => {
  const client = await connecting({ maxQueue: 2 });
  client.request("a");
  client.request("b");
  const third = await outcome(client.request("c"));
  expect(third).toBeInstanceOf(QueueFull);
  expect((third as Error).message).toContain("maxQueue (2)");
  expect(() => client.stream("s").send({})).toThrow(QueueFull);
  socket().accept();
  expect(socket().sent.length).toBe(2);
});

test("only so many wait for their answers", async () => {
  const client = await opened({ maxInFlight: 2 });
  client.request("a");
  client.request("b");
  const third = await outcome(client.request("c"));
  expect(third).toBeInstanceOf(QueueFull);
  expect((third as Error).message).toContain("maxInFlight (2)");
  socket().answer("a");
  client.request("d");
  expect(socket().sent.map(({ type }) => type)).toEqual(["a", "b", "d"]);
});

test("a message that would cost the connection is not sent", async () => {
  const client = await opened({ maxMessage: 100 });
  const large = await outcome(client.request("a", "x".repeat(100)));
  expect(large).toBeInstanceOf(MessageTooLarge);
  expect((large as Error).message).toContain("maxMessage is 100");
  expect(await outcome(client.request("a", "ü".repeat(50)))).toBeInstanceOf(MessageTooLarge);
  const circle: unknown[] = [];
  circle.push(circle);
  expect(await outcome(client.request("a", circle))).toBeInstanceOf(TypeError);
  expect(socket().sent).toEqual([]);
  expect(vi.getTimerCount()).toBe(1); // the heart
});

test("a request under way when the connection breaks is lost, one not sent yet is not", async () => {
  const client = await opened();
  const sent = outcome(client.request("sent"));
  socket().lose(1012, "restart");
  const lost = (await sent) as Error;
  expect(lost).toBeInstanceOf(ConnectionLost);
  expect(lost).toBeInstanceOf(FairwayError);
  expect(lost.message).toBe("1012 restart");
  const waiting = client.request("waiting", {}, { timeout: 60_000 });
  await comeBack();
  socket().answer("waiting", { data: 1 });
  expect(await waiting).toBe(1);
});

test("one that may come twice is sent again with its own id, before what was asked later", async () => {
  const client = await opened();
  const twice = client.request("twice", { n: 1 }, { idempotent: true, timeout: 60_000 });
  socket().lose();
  client.request("later", {}, { timeout: 60_000 });
  await comeBack();
  expect(socket().sent).toEqual([
    { type: "twice", id: "#1", data: { n: 1 } },
    { type: "later", id: "#2", data: {} },
  ]);
  socket().answer("twice", { data: "done" });
  expect(await twice).toBe("done");
});

test("the end rejects all: under way, waiting, to come", async () => {
  const client = await opened();
  const all = [outcome(client.request("a", {}, { idempotent: true })), outcome(client.request("b"))];
  socket().lose();
  all.push(outcome(client.request("c")));
  client.stream("s").send({});
  client.close();
  all.push(outcome(client.request("d")));
  expect((await Promise.all(all)).map((error) => (error as Error).name)).toEqual([
    "ClientClosed",
    "ConnectionLost",
    "ClientClosed",
    "ClientClosed",
  ]);
  expect(() => client.stream("s").send({})).toThrow(ClientClosed);
  expect(vi.getTimerCount()).toBe(0);
});

test("a code that ends it rejects what is under way, even what may come twice", async () => {
  const client = await opened();
  const request = outcome(client.request("a", {}, { idempotent: true }));
  socket().lose(4401, "log in");
  expect((await request) as Error).toMatchObject({ name: "ClientClosed", message: "4401 log in" });
});

test("10,000 under way, answered backwards", async () => {
  const client = await opened();
  const requests = Array.from({ length: 10_000 }, (_, n) => client.request("a", n));
  for (const { id, data } of socket().sent.reverse()) socket().receive({ type: "a", id, data });
  expect(await Promise.all(requests)).toEqual(Array.from({ length: 10_000 }, (_, n) => n));
});

test("a ping tells how long its answer took", async () => {
  const client = await opened();
  const ping = client.ping();
  await vi.advanceTimersByTimeAsync(40);
  socket().answer("ping");
  expect(await ping).toBe(40);
});
