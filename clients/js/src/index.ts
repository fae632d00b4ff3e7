/**
 * The browser client of Fairway: requests, groups and streams over one WebSocket that comes back by itself.
 *
 * - `client.ts` is what an application holds, with `events.ts` below it; `options.ts` and `errors.ts` are what it meets.
 * - `link.ts` keeps a connection, by the tables of `machine.ts` (the states) and `closing.ts` (the close codes).
 * - `requests.ts` has what waits for a connection or an answer, `deadlines.ts` how long it does.
 * - `subscriptions.ts` has the groups, and tells each new connection of them.
 * - `compat.ts` and `compat/` are older clients under their names; nothing here imports them.
 *
 * What is added here is listed in `index.browser.ts`, too.
 */

export { type Api, Client, connect, type Events, type Exchange, type Stream } from "./client.ts";
export { CLOSE_CODES, type Verdict } from "./closing.ts";
export * from "./errors.ts";
export type { Closing, Try } from "./link.ts";
export { type Happening, type State, TRANSITIONS } from "./machine.ts";
export type { Options } from "./options.ts";
export type { Frame, RequestOptions } from "./requests.ts";
export type { GroupObject, Push } from "./subscriptions.ts";
