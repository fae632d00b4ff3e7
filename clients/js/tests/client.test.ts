import { afterEach, beforeEach, expect, test, vi } from "vitest";
import vectors from "../../../vectors/client.json" with { type: "json" };
import { type BadFrame, RequestFailed } from "../src/errors.ts";
import { comeBack, connecting, opened, outcome, socket, sockets } from "./support/fake.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test.each(vectors.received)("$text is: $is", async ({ text, is }) => {
  const client = await opened();
  const told: string[] = [];
  const requests = [outcome(client.ping()), outcome(client.request("todo.add"))];
  Promise.race(requests).then(() => told.push("answered"));
  for (const event of ["push", "message", "error"] as const) client.on(event, () => told.push(event));
  client.stream("chat").on(() => told.push("stream"));
  socket().receive(text);
  await vi.advanceTimersByTimeAsync(0);
  const isLate = text.includes("#999");
  expect(told).toEqual(is === "answer" ? (isLate ? [] : ["answered"]) : [is]);
  expect(client.state).toBe("open");
});

test("what the server sends unasked is a message", async () => {
  const client = await opened();
  const told: unknown[] = [];
  client.on("message", (frame) => told.push(frame));
  const request = client.request("a");
  socket().receive({ id: 1, type: "a", data: "a number is none of our ids" });
  socket().answer("a", { data: "the answer" });
  expect(await request).toBe("the answer");
  expect(told).toEqual([{ id: 1, type: "a", data: "a number is none of our ids" }]);
});

test("nonsense is an error, with what came, and the client lives on", async () => {
  const client = await opened();
  const errors: unknown[] = [];
  client.on("error", (error) => errors.push(error));
  socket().receive("<html>");
  socket().receive("[1]");
  socket().receive({ error: { code: 7 } });
  socket().onmessage?.({ data: new ArrayBuffer(3) });
  expect(errors.map((error) => [(error as Error).name, (error as Error).message])).toEqual([
    ["BadFrame", "bad frame: <html>"],
    ["BadFrame", "bad frame: [1]"],
    ["RequestFailed", '{"code":7}'],
    ["BadFrame", "bad frame: {}"],
  ]);
  expect((errors[0] as BadFrame).frame).toBe("<html>");
  const request = client.request("a");
  socket().answer("a", { data: 1 });
  expect(await request).toBe(1);
});

test("an error that nobody listens to is in the console", async () => {
  const warn = vi.spyOn(console, "warn").mockReturnValue(undefined);
  await opened();
  socket().receive({ error: "told to nobody" });
  expect(warn).toHaveBeenCalledExactlyOnceWith(new RequestFailed({ error: "told to nobody" }));
});

test("a stream sends and hears its own payloads", async () => {
  const client = await opened();
  const chat = client.stream<{ text: string }, { text: string }>("chat");
  const told: unknown[] = [];
  const end = chat.on(({ text }) => told.push(text));
  chat.on(({ text }) => told.push(text.length));
  chat.send({ text: "Ahoy" });
  expect(socket().sent).toEqual(vectors.sent.slice(4));
  socket().receive({ stream: "chat", payload: { text: "Ahoy" } });
  socket().receive({ stream: "other", payload: { text: "nobody hears" } });
  end();
  socket().receive({ stream: "chat", payload: { text: "again" } });
  expect(told).toEqual(["Ahoy", 4, 5]);
});

test("what was wrong with a frame of a stream is an error that names the stream", async () => {
  const client = await opened();
  const errors: RequestFailed[] = [];
  client.on("error", (error) => errors.push(error as RequestFailed));
  socket().receive({ stream: "chat", error: "there is no stream 'chat'" });
  expect(errors.map(({ message, frame }) => [message, frame.stream])).toEqual([["there is no stream 'chat'", "chat"]]);
});

test("a silent server is asked for a sign of life, and given up without one", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const client = await opened({ heartbeat: 10_000 });
  await vi.advanceTimersByTimeAsync(20_000);
  expect(socket().sent).toEqual([{ type: "ping", id: "#1" }]);
  expect(client.state).toBe("open");
  await vi.advanceTimersByTimeAsync(10_100);
  expect(client.state).toBe("waiting");
  expect(sockets[0]?.closedWith).toEqual([1000]);
  await comeBack();
  expect(client.state).toBe("open");
});

test("any frame is a sign of life, a complaint too", async () => {
  const client = await opened({ heartbeat: 10_000 });
  client.on("error", () => {});
  for (let round = 0; round < 5; round++) {
    await vi.advanceTimersByTimeAsync(20_000);
    socket().receive({ stream: null, error: "a frame has a stream" });
  }
  expect([client.state, sockets.length]).toEqual(["open", 1]);
});

test("a server that speaks is asked nothing", async () => {
  await opened({ heartbeat: 10_000 });
  for (let round = 0; round < 8; round++) {
    socket().receive({ type: "news" });
    await vi.advanceTimersByTimeAsync(5_000);
  }
  expect(socket().sent).toEqual([]);
});

test("there need be no heart", async () => {
  const client = await opened({ heartbeat: 0 });
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect([client.state, socket().sent, vi.getTimerCount()]).toEqual(["open", [], 0]);
});

test("the events of a whole life", async () => {
  const client = await connecting();
  const told: string[] = [];
  for (const event of ["open", "close", "reconnecting", "state"] as const) {
    client.on(event, () => told.push(event === "state" ? client.state : `(${event})`));
  }
  socket().accept();
  socket().lose();
  await comeBack();
  client.close();
  expect(told.join(" ")).toBe("(open) open (close) waiting (reconnecting) connecting (open) open (close) closed");
});
