import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ReconnectingSocket, type ReconnectingSocketOptions } from "../../src/compat/reconnecting_socket.ts";
import { FakeSocket, socket, sockets } from "../support/fake.ts";

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(1);
  sockets.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

function make(options: ReconnectingSocketOptions = {}): ReconnectingSocket {
  return new ReconnectingSocket("ws://test/", ["a"], { constructor: FakeSocket, ...options });
}

/** The delays of the next sockets, each lost at once. */
async function delays(count: number): Promise<number[]> {
  const found: number[] = [];
  while (found.length < count) {
    const [before, began] = [sockets.length, Date.now()];
    socket().lose();
    while (sockets.length === before && Date.now() - began < 60_000) await vi.advanceTimersByTimeAsync(1);
    found.push(Date.now() - began);
  }
  return found;
}

test("it looks like a socket", () => {
  vi.stubGlobal("WebSocket", FakeSocket);
  const like = new ReconnectingSocket("ws://test/", "a");
  socket().accept();
  expect(like.url).toBe("ws://test/");
  expect([like.readyState, like.protocol, like.extensions, like.bufferedAmount]).toEqual([1, "chosen", "", 0]);
  expect(socket().protocols).toBe("a");
  like.send('{"a":1}');
  expect(socket().sent).toEqual([{ a: 1 }]);
});

test("listeners, handlers and the binary type hold for each new socket", async () => {
  const like = make();
  const told: string[] = [];
  const listener = (event: Event) => told.push(event.type);
  for (const name of ["open", "message", "close"] as const) like.addEventListener(name, listener);
  like.onopen = like.onclose = () => told.push("handler");
  like.binaryType = "arraybuffer";
  socket().accept();
  socket().receive({});
  socket().lose();
  await vi.advanceTimersByTimeAsync(3_000);
  like.removeEventListener("open", listener);
  socket().accept();
  expect(told.join(" ")).toBe("open handler message close handler handler");
  expect([like.binaryType, socket().binaryType]).toEqual(["arraybuffer", "arraybuffer"]);
});

test("each delay is longer, up to the longest; success makes it short again", async () => {
  make();
  expect(await delays(6)).toEqual([3_000, 3_900, 5_070, 6_591, 8_568, 10_000]);
  socket().accept();
  expect(await delays(1)).toEqual([3_000]);
});

test("after so many tries it is down", async () => {
  const like = make({ maxRetries: 1 });
  const codes: unknown[] = [];
  like.onerror = (error) => codes.push((error as unknown as { code: string }).code);
  expect(await delays(2)).toEqual([3_000, 60_000]);
  expect(codes).toEqual(["EHOSTDOWN"]);
});

test("a handshake that takes too long", async () => {
  const like = make();
  const codes: unknown[] = [];
  like.addEventListener("error", (error) => codes.push((error as unknown as { code: string }).code));
  await vi.advanceTimersByTimeAsync(4_000);
  expect([codes, socket().closedWith]).toEqual([["ETIMEDOUT"], []]);
});

test("a close is told at once, and another socket follows", async () => {
  const like = make();
  const told: unknown[] = [];
  like.onclose = ({ code, reason, wasClean }) => told.push([code, reason, wasClean]);
  socket().accept();
  const old = socket();
  like.close(4000, "again", { delay: 70 });
  expect([told, old.closedWith]).toEqual([[[4000, "again", true]], [4000, "again"]]);
  await vi.advanceTimersByTimeAsync(69);
  expect(sockets.length).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  old.lose(4000);
  expect([sockets.length, told.length]).toEqual([2, 1]);
});

test("a close may wait for the server's, or be for good", async () => {
  const like = make();
  const told: unknown[] = [];
  like.onclose = ({ code }) => told.push(code);
  socket().accept();
  like.close(1000, "", { fastClose: false, keepClosed: true });
  expect(told).toEqual([]);
  socket().lose(1000);
  like.close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([told, sockets.length]).toEqual([[1000], 1]);
});

test("a close between two sockets ends the waiting, if it is for good", async () => {
  const like = make();
  socket().lose();
  like.close();
  like.close(1000, "", { keepClosed: true });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sockets.length).toBe(1);
});

test("it tells what it does, if asked", () => {
  const log = vi.spyOn(console, "log").mockReturnValue(undefined);
  make({ debug: true });
  expect(log).toHaveBeenCalledWith("RWS:", "connect");
});
