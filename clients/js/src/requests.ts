/** Requests on their way: those that wait for a connection, in order, and those that wait for their answers. */

import { Deadlines } from "./deadlines.ts";
import { ClientClosed, type ConnectionLost, MessageTooLarge, QueueFull, RequestFailed, TimedOut } from "./errors.ts";
import type { Link } from "./link.ts";
import type { Settings } from "./options.ts";

/** The server may send anything. */
export type Frame = Readonly<Record<string, unknown>>;

export interface RequestOptions {
  /** Milliseconds from the call on; `Infinity`: as long as the client lives. */
  timeout?: number;
  /** Ends the waiting. What was sent already is done by the server all the same. */
  signal?: AbortSignal;
  /** It does no harm twice: when the connection breaks, the request is sent again on the next. */
  idempotent?: boolean;
}

// Ids are texts that no handler makes up by itself, so that what the server sends unasked is never taken for an answer.
const PREFIX = "#";

interface Waiting {
  /** What is sent, in two halves: between them comes the token, which a new connection may have changed. */
  head: string;
  tail: string;
  /** A request has it, a frame of a stream has not. */
  settle?: Settle;
  idempotent?: boolean | undefined;
}

/** Takes the answer, or else why there is none. */
type Settle = (answer: Frame | undefined, error?: unknown) => void;

// They are only counted where they matter: no character has more than three bytes for each unit of its length.
function bytesOf(text: string, limit: number): number {
  return text.length * 3 > limit ? new TextEncoder().encode(text).length : 0;
}

export class Requests {
  #link: Link;
  #settings: Settings;
  // Both in the order in which they were made.
  #queue = new Map<string, Waiting>();
  #inFlight = new Map<string, Waiting>();
  #last = 0;
  #deadlines = new Deadlines((id) => this.#settle(id, undefined, new TimedOut("no answer in time")));

  constructor(link: Link, settings: Settings) {
    this.#link = link;
    this.#settings = settings;
  }

  get isOpen(): boolean {
    return this.#link.state === "open";
  }

  /** How many wait for their answers. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  /**
   * Send a request, now or when there is a connection. Returns the `data` of the answer; `heard` gets it before the next
   * frame is looked at.
   */
  request(
    type: string,
    data?: unknown,
    options: RequestOptions = {},
    heard?: (data: unknown) => void,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { timeout = this.#settings.timeout, signal, idempotent } = options;
      signal?.throwIfAborted();
      const id = PREFIX + ++this.#last;
      let deadline = 0;
      const aborted = () => this.#settle(id, undefined, signal?.reason);
      const settle: Settle = (answer, error) => {
        this.#deadlines.remove(id, deadline);
        signal?.removeEventListener("abort", aborted);
        if (!answer) return reject(error);
        if (answer.error != null) return reject(new RequestFailed(answer));
        heard?.(answer.data);
        resolve(answer.data);
      };
      const json = JSON.stringify(data);
      const tail = json === undefined ? "}" : `,"data":${json}}`;
      this.#put(id, { head: JSON.stringify({ type, id }).slice(0, -1), tail, settle, idempotent });
      deadline = this.#deadlines.add(id, timeout);
      signal?.addEventListener("abort", aborted);
    });
  }

  /** Send a frame that has no answer, now or when there is a connection. */
  post(text: string): void {
    this.#put(PREFIX + ++this.#last, { head: "", tail: text });
  }

  /** Take an answer. Returns whether it is one, also when nobody waits for it any more. */
  answer(frame: Frame): boolean {
    const { id } = frame;
    if (typeof id !== "string" || !id.startsWith(PREFIX)) return false;
    this.#settle(id, frame);
    return true;
  }

  /** There is a connection: send what has waited for one. */
  opened(): void {
    const queue = this.#queue;
    this.#queue = new Map();
    for (const [id, waiting] of queue) this.#send(id, waiting);
  }

  /** There is none any more. What may be sent again waits for the next one, before what was not sent yet. */
  lost(error: ConnectionLost): void {
    const [lost, queue] = [this.#inFlight, this.#queue];
    this.#inFlight = new Map();
    this.#queue = new Map();
    for (const [id, waiting] of lost) {
      if (waiting.idempotent) this.#queue.set(id, waiting);
      else waiting.settle?.(undefined, error);
    }
    for (const [id, waiting] of queue) this.#queue.set(id, waiting);
  }

  /** There will be none. */
  closed(error: ClientClosed): void {
    const all = [...this.#inFlight.values(), ...this.#queue.values()];
    this.#inFlight.clear();
    this.#queue.clear();
    for (const waiting of all) waiting.settle?.(undefined, error);
  }

  #put(id: string, waiting: Waiting): void {
    const { maxQueue, maxInFlight, maxMessage } = this.#settings;
    const size = bytesOf(waiting.tail, maxMessage);
    if (size > maxMessage) throw new MessageTooLarge(`${size} bytes; maxMessage is ${maxMessage}`);
    if (this.#link.state === "closed") throw new ClientClosed("the client is closed");
    if (this.isOpen) {
      if (this.#inFlight.size >= maxInFlight) throw new QueueFull(`maxInFlight (${maxInFlight}) wait for answers`);
      this.#send(id, waiting);
    } else {
      if (this.#queue.size >= maxQueue) throw new QueueFull(`maxQueue (${maxQueue}) wait for a connection`);
      this.#queue.set(id, waiting);
    }
  }

  #send(id: string, waiting: Waiting): void {
    const { token } = this.#link;
    const { head, tail, settle } = waiting;
    if (settle) this.#inFlight.set(id, waiting);
    this.#link.send(settle && token ? `${head},"auth_jwt":${JSON.stringify(token)}${tail}` : head + tail);
  }

  #settle(id: string, answer: Frame | undefined, error?: unknown): void {
    const waiting = this.#inFlight.get(id) ?? this.#queue.get(id);
    this.#inFlight.delete(id);
    this.#queue.delete(id);
    waiting?.settle?.(answer, error);
  }
}
