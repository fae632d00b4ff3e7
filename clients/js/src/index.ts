/** The browser client of Fairway. */

export { type Api, Client, connect, type Events, type Exchange, type Stream } from "./client.ts";
export { CLOSE_CODES, type Verdict } from "./closing.ts";
export * from "./errors.ts";
export type { Closing, Try } from "./link.ts";
export { type Happening, type State, TRANSITIONS } from "./machine.ts";
export type { Options } from "./options.ts";
export type { Frame, RequestOptions } from "./requests.ts";
export type { GroupObject, Push } from "./subscriptions.ts";
