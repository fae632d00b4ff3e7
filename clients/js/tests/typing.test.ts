import { expectTypeOf, test } from "vitest";
import { type Client, connect, type Push, type State } from "../src/index.ts";

/** The types as an application sees them: `npm run check` tries them, nothing runs. */

interface Board {
  "todo.add": { data: { title: string }; answer: { pk: number } };
  "todo.count": { answer: number };
  "todo.clear": { data?: { done: boolean } };
}

declare const typed: Client<Board>;
declare const plain: Client;
const never = (() => {}) as (use: () => void) => void;

test("the requests of an application", () => {
  never(() => {
    expectTypeOf(typed.request("todo.add", { title: "Sail" })).resolves.toEqualTypeOf<{ pk: number }>();
    expectTypeOf(typed.request("todo.count")).resolves.toEqualTypeOf<number>();
    typed.request("todo.count", undefined, { timeout: 5 });
    typed.request("todo.clear", { done: true });
    typed.request("todo.clear");
    // @ts-expect-error no such type
    typed.request("todo.remove");
    // @ts-expect-error it needs data
    typed.request("todo.add");
    // @ts-expect-error of this shape
    typed.request("todo.add", { name: "Sail" });
    connect<Board>("/ws/rohrpost/", { token: async () => "secret", codes: { 4503: "later" } });
  });
});

test("any request", () => {
  never(() => {
    expectTypeOf(plain.request("any", { data: 1 }, { signal: new AbortController().signal })).resolves.toBeUnknown();
    expectTypeOf(plain.ping()).resolves.toBeNumber();
  });
});

test("events, groups and streams", () => {
  never(() => {
    plain.on("close", (closing) => {
      expectTypeOf(closing).toEqualTypeOf<{ code: number; reason: string; willReconnect: boolean }>();
    });
    plain.once("state", (state) => expectTypeOf(state).toEqualTypeOf<State>());
    // @ts-expect-error no such event
    plain.on("closed", () => {});
    plain.subscribe<{ title: string }>({ type: "board", id: 7 }, (push) => {
      expectTypeOf(push).toEqualTypeOf<Push<{ title: string }>>();
    });
    plain.stream<{ heard: string }, { text: string }>("chat").on(({ heard }) => expectTypeOf(heard).toBeString());
  });
});
