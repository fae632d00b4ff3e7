/** The client: what an application holds. Its parts know each other only through it. */

import { BadFrame, ClientClosed, ConnectionLost, RequestFailed, TimedOut } from "./errors.ts";
import { call, Emitter, type Handler } from "./events.ts";
import { type Closing, Link, type Try, type Watcher } from "./link.ts";
import type { State } from "./machine.ts";
import { DEFAULTS, type Options, type Settings } from "./options.ts";
import { type Frame, type RequestOptions, Requests } from "./requests.ts";
import type { GroupObject, Push } from "./subscriptions.ts";
import { Subscriptions } from "./subscriptions.ts";

/** What each event tells. */
export interface Events {
  /** There is a connection, the first one or another; what waited for it is sent. */
  open: undefined;
  /** A connection has ended, or a try has failed. */
  close: Closing;
  /** What `state` is now. */
  state: State;
  /** There will be a try. */
  reconnecting: Try;
  /** A frame that answers nothing, and belongs to no group and no stream: the server speaks of its own accord. */
  message: Frame;
  /** Something went wrong that belongs to no request. The client lives on. */
  error: unknown;
  /** A change that any group was told of. */
  push: Push;
}

/** What a request sends, and what it gets. */
export interface Exchange {
  data?: unknown;
  answer?: unknown;
}

/** The requests of an application by their types; without such a list, any type sends and gets anything. */
export type Api = Record<string, Exchange>;

type AnswerOf<E> = E extends { answer?: infer R } ? R : undefined;
type ArgumentsOf<E> = E extends { data: infer D }
  ? [data: D, options?: RequestOptions]
  : [data?: E extends { data?: infer D } ? D : undefined, options?: RequestOptions];

/** One stream of a demultiplexer. */
export interface Stream<Received = unknown, Sent = unknown> {
  /** Send a payload, now or when there is a connection. */
  send(payload: Sent): void;
  /** Call `handler` with each payload. Returns a function that ends it. */
  on(handler: Handler<Received>): () => void;
}

/**
 * How long the server may be silent when there is reason to doubt that it is there. Where it has something to do, it gets
 * as long as ever: answers come in order, and a slow one is no reason to give all up.
 */
const DOUBT = 5_000;

export class Client<A extends Record<keyof A, Exchange> = Api> extends Emitter<Events> {
  #settings: Settings;
  #link: Link;
  #requests: Requests;
  #subscriptions: Subscriptions;
  #streams = new Map<string, Set<{ handler: Handler<never> }>>();
  #received = 0;
  // Pings under way.
  #probes = 0;
  #heart: ReturnType<typeof setInterval> | undefined;

  /** Use `connect`. */
  constructor(url: string | URL, options: Options = {}) {
    super();
    const address = new URL(url, globalThis.location?.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.#settings = { ...DEFAULTS, ...options };
    this.#link = new Link(address.href, this.#settings, this.#watcher());
    this.#requests = new Requests(this.#link, this.#settings);
    this.#subscriptions = new Subscriptions(this.#requests, (error) => this.#failed(error));
    this.#link.connect();
  }

  /** `connecting`, `open`, `waiting`, `paused` or `closed`. */
  get state(): State {
    return this.#link.state;
  }

  /**
   * Send a request, now or when there is a connection. Returns the `data` of the answer.
   *
   * Rejects with `RequestFailed`, `TimedOut`, `ConnectionLost`, `ClientClosed`, `QueueFull`, `MessageTooLarge`, or the
   * reason of the signal.
   */
  request<T extends keyof A & string>(type: T, ...[data, options]: ArgumentsOf<A[T]>): Promise<AnswerOf<A[T]>> {
    return this.#requests.request(type, data, options) as Promise<AnswerOf<A[T]>>;
  }

  /**
   * Call `handler` with each change that the group is told of, on this connection and the next ones.
   *
   * Returns, once the server has agreed, a function that ends it. Rejects with `RequestFailed` if the server refuses.
   * A refusal on a later connection is an `error` event with the `group`; the next one is asked again.
   */
  subscribe<Content = unknown>(group: GroupObject, handler: Handler<Push<Content>>): Promise<() => Promise<void>> {
    return this.#subscriptions.add(group, handler as Handler<Push>);
  }

  /** One stream of a demultiplexer, by its name. */
  stream<Received = unknown, Sent = unknown>(name: string): Stream<Received, Sent> {
    return {
      send: (payload) => this.#requests.post(JSON.stringify({ stream: name, payload })),
      on: (handler) => {
        const listener = { handler };
        const listeners = this.#streams.get(name) ?? new Set();
        this.#streams.set(name, listeners.add(listener));
        return () => void listeners.delete(listener);
      },
    };
  }

  /** Ask whether the server is there. Returns the milliseconds until its answer; rejects as `request`. */
  async ping(options?: RequestOptions): Promise<number> {
    const began = performance.now();
    await this.#requests.request("ping", undefined, options);
    return performance.now() - began;
  }

  /** Connect now: out of any wait, and also after the end. An open connection stays. */
  reconnect(): void {
    this.#link.connect();
  }

  /** End it. What still waits is rejected with `ClientClosed`. */
  close(): void {
    this.#link.close();
  }

  #watcher(): Watcher {
    return {
      opened: () => {
        const { heartbeat } = this.#settings;
        let heard = -1;
        const beat = () => {
          if (heard === this.#received) this.#probe(heartbeat);
          heard = this.#received;
        };
        if (heartbeat) this.#heart = setInterval(beat, heartbeat);
        this.#subscriptions.opened();
        this.#requests.opened();
        this.emit("open", undefined);
        this.#tell();
      },
      received: (data) => this.#take(data),
      ended: (closing) => {
        clearInterval(this.#heart);
        const { code, reason, willReconnect } = closing;
        const why = `${code} ${reason}`;
        if (willReconnect) this.#requests.lost(new ConnectionLost(why));
        else this.#requests.closed(new ClientClosed(why));
        this.emit("close", closing);
        this.#tell();
      },
      reconnecting: (next) => void this.emit("reconnecting", next),
      moved: () => this.#tell(),
      doubted: () => {
        const { heartbeat } = this.#settings;
        if (heartbeat) this.#probe(this.#requests.inFlight > this.#probes ? heartbeat : DOUBT);
      },
      failed: (error) => this.#failed(error),
    };
  }

  // Ask for a sign of life. Any frame is one, also a complaint that the server knows no ping.
  #probe(timeout: number): void {
    const heard = this.#received;
    this.#probes++;
    this.ping({ timeout })
      .catch((error) => {
        if (error instanceof TimedOut && heard === this.#received) this.#link.abandon();
      })
      .finally(() => {
        this.#probes--;
      });
  }

  #take(text: unknown): void {
    this.#received++;
    let frame: unknown;
    try {
      frame = JSON.parse(text as string);
    } catch {}
    if (typeof frame !== "object" || !frame || Array.isArray(frame)) this.#failed(new BadFrame(text));
    else if (!this.#requests.answer(frame as Frame)) this.#route(frame as Frame);
  }

  #route(frame: Frame): void {
    const { type, stream, error } = frame;
    if (error != null) {
      this.#failed(new RequestFailed(frame));
    } else if (type === "subscription-update") {
      const push = frame.data as Push | undefined;
      if (typeof push?.group !== "string") {
        this.#failed(new BadFrame(frame));
        return;
      }
      this.#subscriptions.push(push);
      this.emit("push", push);
    } else if (typeof stream === "string" && "payload" in frame) {
      for (const { handler } of [...(this.#streams.get(stream) ?? [])]) call(handler, frame.payload as never);
    } else {
      this.emit("message", frame);
    }
  }

  #tell(): void {
    this.emit("state", this.state);
  }

  #failed(error: unknown): void {
    // What nobody listens to must not be lost.
    if (!this.emit("error", error)) console.warn(error);
  }
}

/**
 * Open a connection that comes back by itself.
 *
 * @param url a path of the page's own host, or an address with `ws:`, `wss:`, `http:` or `https:`.
 */
export function connect<A extends Record<keyof A, Exchange> = Api>(url: string | URL, options?: Options): Client<A> {
  return new Client<A>(url, options);
}
