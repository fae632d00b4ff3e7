/** What may be set, and what holds where nothing is. */

import type { Verdict } from "./closing.ts";

/** Opens sockets: the browser's own class, or in Node the one of `ws`. */
export type SocketClass = new (url: string, protocols?: string | string[]) => WebSocket;

/** All times are milliseconds. */
export interface Options {
  /** Sent with each request as `auth_jwt`. A function is asked before each connection. */
  token?: string | (() => string | Promise<string>);
  /** Subprotocols to offer. */
  protocols?: string | string[];
  /** How long a request waits for its answer, from the call on; 10,000. */
  timeout?: number;
  /** How long a handshake may take, with the asking for a token; 30,000, above the 20 s of the server. */
  connectTimeout?: number;
  /** After so much silence the client asks whether the server is there, and waits as long again; 30,000. 0: never. */
  heartbeat?: number;
  /** So many requests wait while there is no connection, then `QueueFull`; 1,000. */
  maxQueue?: number;
  /** So many requests wait for their answers, then `QueueFull`; 100,000. */
  maxInFlight?: number;
  /** Bytes of a message's data, then `MessageTooLarge`; 1,048,000, just below the server's own limit. */
  maxMessage?: number;
  /** Come back while the page is hidden, too. */
  background?: boolean;
  /** Close codes that mean something else than in `CLOSE_CODES`, such as an application's own. */
  codes?: Readonly<Record<number, Verdict>>;
  /** Where there is no `WebSocket`, as in Node 20: the class of `ws`. */
  WebSocket?: SocketClass;
}

/** All options, but for those that have no default. */
export type Settings = Options & Required<Pick<Options, keyof typeof DEFAULTS>>;

export const DEFAULTS = {
  token: "",
  timeout: 10_000,
  connectTimeout: 30_000,
  heartbeat: 30_000,
  maxQueue: 1_000,
  maxInFlight: 100_000,
  maxMessage: 1_048_000,
};
