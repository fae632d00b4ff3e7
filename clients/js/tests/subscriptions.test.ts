import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Client } from "../src/client.ts";
import { BadFrame, ClientClosed, RequestFailed } from "../src/errors.ts";
import { comeBack, connecting, opened, outcome, settled, socket } from "./support/fake.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const BOARD = { type: "board", id: 7 };

function push(group: string, object: unknown = {}) {
  return { id: 17, type: "subscription-update", data: { type: "update", group, object } };
}

/** Subscribe, and let the server agree. */
async function subscribed(client: Client, group: object, name: string, handler: (object: unknown) => void) {
  const subscription = client.subscribe({ ...group }, ({ object }) => handler(object));
  socket().answer("subscribe", { data: { ...group, group: name } });
  return await subscription;
}

function types(): unknown[] {
  return socket().sent.map(({ type }) => type);
}

test("a push reaches those who listen to its group, and all who listen to pushes", async () => {
  const client = await opened({ token: "secret" });
  const told: unknown[] = [];
  client.on("push", ({ group, type }) => told.push([group, type]));
  await subscribed(client, BOARD, "board-7", (object) => told.push(object));
  expect(socket().sent).toEqual([{ type: "subscribe", id: "#1", auth_jwt: "secret", data: BOARD }]);
  socket().receive(push("board-7", { title: "Sail" }));
  socket().receive(push("board-8"));
  expect(told).toEqual([{ title: "Sail" }, ["board-7", "update"], ["board-8", "update"]]);
});

test("the push that comes right after the answer is heard", async () => {
  const client = await opened();
  const told: unknown[] = [];
  const subscription = client.subscribe(BOARD, ({ object }) => told.push(object));
  socket().answer("subscribe", { data: { group: "board-7" } });
  socket().receive(push("board-7", 1));
  await subscription;
  expect(told).toEqual([1]);
});

test("several who listen to one group are one subscription, which ends with the last", async () => {
  const client = await opened();
  const told: string[] = [];
  const first = client.subscribe(BOARD, () => told.push("first"));
  const second = client.subscribe({ id: 7, type: "board" }, () => told.push("second"));
  socket().answer("subscribe", { data: { ...BOARD, group: "board-7" } });
  const [endFirst, endSecond] = await Promise.all([first, second]);
  socket().receive(push("board-7"));
  await endFirst();
  await endFirst();
  socket().receive(push("board-7"));
  expect([told, types()]).toEqual([["first", "second", "second"], ["subscribe"]]);
  const ended = endSecond();
  expect(socket().sent.at(-1)).toMatchObject({ type: "unsubscribe", data: BOARD });
  socket().answer("unsubscribe", { data: { ...BOARD, group: "board-7" } });
  await ended;
  socket().receive(push("board-7"));
  expect(told.length).toBe(3);
});

test("a group that is refused rejects, and may be asked for again", async () => {
  const client = await opened();
  const refused = outcome(client.subscribe(BOARD, () => {}));
  socket().answer("subscribe", { error: "not allowed" });
  expect(await refused).toBeInstanceOf(RequestFailed);
  await subscribed(client, BOARD, "board-7", () => {});
  expect(types()).toEqual(["subscribe", "subscribe"]);
});

test("an answer that names no group is a wrong one", async () => {
  const client = await opened();
  for (const data of [undefined, null, {}, { group: 7 }]) {
    const subscription = outcome(client.subscribe(BOARD, () => {}));
    socket().answer("subscribe", { data });
    expect(await subscription).toBeInstanceOf(BadFrame);
  }
});

test("it waits for a connection as long as that takes", async () => {
  const client = await connecting();
  const told: unknown[] = [];
  const subscription = client.subscribe(BOARD, ({ object }) => told.push(object));
  socket().lose();
  await comeBack();
  socket().lose(); // before the answer
  await comeBack();
  expect(types()).toEqual(["subscribe"]);
  socket().answer("subscribe", { data: { group: "board-7" } });
  await subscription;
  socket().receive(push("board-7", 1));
  expect(told).toEqual([1]);
});

test("a new connection is told of all groups before all else", async () => {
  const client = await opened();
  const told: unknown[] = [];
  await subscribed(client, BOARD, "board-7", (object) => told.push(object));
  const other = await subscribed(client, { type: "board", id: 8 }, "board-8", () => {});
  socket().lose();
  client.request("first").catch(() => {});
  await other(); // there is nothing to leave
  await comeBack();
  expect(types()).toEqual(["subscribe", "first"]);
  socket().answer("subscribe", { data: { group: "board-7-renamed" } });
  await settled();
  socket().receive(push("board-7", "old"));
  socket().receive(push("board-7-renamed", "new"));
  expect(told).toEqual(["new"]);
});

test("a refusal on a new connection is an error that names the group, and the next one is asked again", async () => {
  const client = await opened();
  const [errors, told]: [RequestFailed[], unknown[]] = [[], []];
  client.on("error", (error) => errors.push(error as RequestFailed));
  await subscribed(client, BOARD, "board-7", (object) => told.push(object));
  socket().lose();
  await comeBack();
  socket().answer("subscribe", { error: "the database is away" });
  await settled();
  expect(errors.map(({ message, group }) => [message, group])).toEqual([["the database is away", BOARD]]);
  expect(await outcome(client.subscribe(BOARD, () => told.push("never")))).toBe(errors[0]);
  socket().lose();
  await comeBack();
  expect(types()).toEqual(["subscribe"]);
  socket().answer("subscribe", { data: { group: "board-7" } });
  await settled();
  socket().receive(push("board-7", 1));
  expect([told, errors.length]).toEqual([[1], 1]);
});

test("what ended one subscription is none of the business of the next", async () => {
  const client = await opened();
  const told: unknown[] = [];
  const end = await subscribed(client, BOARD, "board-7", () => {});
  const ended = end();
  socket().answer("unsubscribe");
  await ended;
  await subscribed(client, BOARD, "board-7", (object) => told.push(object));
  await end();
  socket().receive(push("board-7", 1));
  expect([types(), told]).toEqual([["subscribe", "unsubscribe", "subscribe"], [1]]);
});

test("one that ends while the new connection is asked leaves without an error", async () => {
  const client = await opened();
  const errors: unknown[] = [];
  client.on("error", (error) => errors.push(error));
  const end = await subscribed(client, BOARD, "board-7", () => {});
  socket().lose();
  await comeBack();
  const ended = end();
  socket().answer("subscribe", { data: { group: "board-7" } });
  socket().answer("unsubscribe", { data: {} });
  await ended;
  expect([types(), errors]).toEqual([["subscribe", "unsubscribe"], []]);
});

test("a connection that breaks while it is asked is asked again by the next, once", async () => {
  const client = await opened();
  const told: unknown[] = [];
  await subscribed(client, BOARD, "board-7", (object) => told.push(object));
  socket().lose();
  await comeBack();
  socket().lose();
  await comeBack();
  expect(types()).toEqual(["subscribe"]);
  socket().answer("subscribe", { data: { group: "board-7" } });
  await settled();
  socket().receive(push("board-7", 1));
  expect(told).toEqual([1]);
});

test("a subscription outlives the end, and is asked for again after it", async () => {
  const client = await opened();
  const errors: unknown[] = [];
  client.on("error", (error) => errors.push(error));
  await subscribed(client, BOARD, "board-7", () => {});
  for (let round = 0; round < 2; round++) {
    socket().lose(1012);
    await comeBack();
    socket().lose(4401); // before the answer
    await settled();
    client.reconnect();
    await settled();
    socket().accept();
    expect(types()).toEqual(["subscribe"]);
    socket().answer("subscribe", { data: { group: "board-7" } });
    await settled();
  }
  expect(errors).toEqual([]);
});

test("one that nobody has agreed to ends with the client", async () => {
  const client = await opened();
  const subscription = outcome(client.subscribe(BOARD, () => {}));
  client.close();
  expect(await subscription).toBeInstanceOf(ClientClosed);
});

test("leaving on a connection that breaks is done; a refusal is told", async () => {
  const client = await opened();
  const first = await subscribed(client, BOARD, "board-7", () => {});
  const leaving = first();
  socket().lose();
  expect(await leaving).toBeUndefined();
  await comeBack();
  const second = await subscribed(client, BOARD, "board-7", () => {});
  const refused = outcome(second());
  socket().answer("unsubscribe", { error: "no" });
  expect(await refused).toBeInstanceOf(RequestFailed);
});

test("two groups that the server has one name for are left one by one: it knows when to leave", async () => {
  const client = await opened();
  const told: string[] = [];
  const first = await subscribed(client, BOARD, "boards", () => told.push("first"));
  await subscribed(client, { type: "board", id: 8 }, "boards", () => told.push("second"));
  socket().receive(push("boards"));
  const ended = first();
  socket().answer("unsubscribe");
  await ended;
  socket().receive(push("boards"));
  expect([told, types().length]).toEqual([["first", "second", "second"], 3]);
});
