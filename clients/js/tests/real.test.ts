import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import WebSocketOfNode, { type WebSocket, WebSocketServer } from "ws";
import { type Client, connect, type Events } from "../src/client.ts";
import { ConnectionLost } from "../src/errors.ts";
import type { SocketClass } from "../src/options.ts";
import { outcome } from "./support/fake.ts";

/** Real sockets of `ws` on both sides. */

let server: WebSocketServer;
let live: WebSocket[];
let client: Client;

function listen(port = 0): Promise<void> {
  live = [];
  server = new WebSocketServer({ port, host: "127.0.0.1" });
  server.on("connection", (socket) => {
    live.push(socket);
    socket.on("message", (data) => {
      const { type, id, data: payload } = JSON.parse(String(data));
      if (type !== "silence") socket.send(JSON.stringify({ type, id, data: payload }));
    });
  });
  return new Promise((resolve) => server.once("listening", resolve));
}

async function stopServer(): Promise<void> {
  for (const socket of server.clients) socket.terminate();
  await new Promise((resolve) => server.close(resolve));
}

/** Wait for an event of the client. */
function next<Name extends keyof Events>(name: Name): Promise<Events[Name]> {
  return new Promise((resolve) => client.once(name, resolve));
}

beforeEach(async () => {
  await listen();
  const { port } = server.address() as AddressInfo;
  client = connect(`http://127.0.0.1:${port}/`, { WebSocket: WebSocketOfNode as unknown as SocketClass });
});
afterEach(async () => {
  client.close();
  await stopServer();
});

test("an answer", async () => {
  expect(await client.request("echo", { text: "Grüße" })).toEqual({ text: "Grüße" });
  expect(await client.ping()).toBeGreaterThan(0);
});

test("10,000 requests under way at once", async () => {
  await next("open");
  const numbers = Array.from({ length: 10_000 }, (_, n) => n);
  expect(await Promise.all(numbers.map((n) => client.request("echo", n)))).toEqual(numbers);
});

test("a server that restarts: what was under way is told, what waited is answered", async () => {
  await next("open");
  const { port } = server.address() as AddressInfo;
  const silent = outcome(client.request("silence"));
  const closed = next("close");
  await stopServer();
  expect(await closed).toEqual({ code: 1006, reason: "", willReconnect: true });
  expect(await silent).toBeInstanceOf(ConnectionLost);
  const waiting = client.request("echo", 1);
  await listen(port);
  expect(await waiting).toBe(1);
});

test("a code that ends it, and the reason", async () => {
  await next("open");
  live[0]?.close(4401, "log in");
  expect(await next("close")).toEqual({ code: 4401, reason: "log in", willReconnect: false });
  expect(client.state).toBe("closed");
});

test("closed while connecting", async () => {
  client.close();
  expect(client.state).toBe("closed");
});
