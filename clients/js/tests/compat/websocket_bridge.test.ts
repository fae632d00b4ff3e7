import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WebSocketBridge } from "../../src/compat/websocket_bridge.ts";
import { FakeSocket, socket } from "../support/fake.ts";

beforeEach(() => vi.stubGlobal("WebSocket", FakeSocket));
afterEach(() => vi.unstubAllGlobals());

test("the address: the page's host with a path, or any", () => {
  const bridge = new WebSocketBridge();
  const found: string[] = [];
  for (const page of ["https://example.org/page/", "http://example.org:8000/"]) {
    vi.stubGlobal("location", new URL(page));
    for (const url of [undefined, "/ws/", "ws://other.org/"]) {
      bridge.connect(url);
      found.push(socket().url);
      bridge.socket?.close(1000, "", { keepClosed: true });
    }
  }
  expect(found).toEqual([
    "wss://example.org",
    "wss://example.org/ws/",
    "ws://other.org/",
    "ws://example.org:8000",
    "ws://example.org:8000/ws/",
    "ws://other.org/",
  ]);
});

test("protocols and options go to the socket", () => {
  const bridge = new WebSocketBridge({ any: 1 });
  class Other extends FakeSocket {}
  bridge.connect("ws://test/", ["a"], { constructor: Other });
  expect([socket() instanceof Other, socket().protocols, bridge.options]).toEqual([true, ["a"], { any: 1 }]);
  bridge.socket?.close(1000, "", { keepClosed: true });
});

test("frames of a stream go to its callback, others to the one that listens", () => {
  const bridge = new WebSocketBridge();
  const told: unknown[] = [];
  expect(() => bridge.listen()).toThrow("connect()");
  bridge.connect("ws://test/");
  bridge.demultiplex("chat", (...what) => told.push(what));
  bridge.listen((...what) => told.push(what));
  socket().accept();
  socket().receive({ stream: "chat", payload: { text: "Ahoy" } });
  socket().receive({ stream: "other", payload: {} });
  socket().receive({ text: "plain" });
  socket().receive("null");
  bridge.listen();
  socket().receive({ text: "nobody" });
  expect(told).toEqual([
    [{ text: "Ahoy" }, "chat"],
    [{ text: "plain" }, null],
    [null, null],
  ]);
  bridge.socket?.close(1000, "", { keepClosed: true });
});

test("it sends frames, and payloads on streams", () => {
  const bridge = new WebSocketBridge();
  bridge.send("nobody hears");
  bridge.connect("ws://test/");
  bridge.send({ a: 1 });
  bridge.stream("chat").send({ text: "Ahoy" });
  expect(socket().sent).toEqual([{ a: 1 }, { stream: "chat", payload: { text: "Ahoy" } }]);
  bridge.socket?.close(1000, "", { keepClosed: true });
});
