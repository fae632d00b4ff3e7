/**
 * `RohrpostClient` of rohrpost-js, with the behaviour that its users know: `connect` of this package does all of it, and
 * more, in another way.
 *
 * What was wrong with the original is not here: `open` comes when the client is open, a call while connecting waits, the
 * timer of an answered call ends with it, and whatever is rejected says why.
 */

import { EventEmitter } from "./emitter.ts";

export interface RohrpostOptions {
  /** Milliseconds between two looks at whether the server is there; 5000. */
  pingInterval?: number;
  /** Sent with each request as `auth_jwt`. */
  token?: string;
  /** Where there is no `WebSocket`, as in Node 20: the class of `ws`. */
  WebSocket?: new (
    url: string,
  ) => WebSocket;
}

/** What a group is to the application. */
export interface GroupObject {
  type?: unknown;
  id?: unknown;
  [key: string]: unknown;
}

type Data = Record<string, unknown> | undefined;

interface Pending {
  type: string;
  data: unknown;
  resolve(data: unknown): void;
  reject(reason: unknown): void;
}

const RECONNECT_AFTER = 3_000;
const CLOSED = "Socket was closed";

export class RohrpostClient extends EventEmitter {
  socketState: "connecting" | "open" | "closed" = "connecting";
  /** The groups that the server has agreed to, by their names. */
  _subscriptions: Record<string, GroupObject> = {};
  /** What waits for a connection to be subscribed. */
  _pendingSubscribes: Pending[] = [];
  #waitingCalls: Pending[] = [];
  #pending = new Map<number, Pending>();
  #url: string;
  #token: string;
  #pingInterval: number;
  #WebSocket: new (
    url: string,
  ) => WebSocket;
  #socket: WebSocket | undefined;
  #isOver = false;
  #lastId = 0;
  #heart: ReturnType<typeof setInterval> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #hasHeard = false;
  #isPingUnanswered = false;

  constructor(url: string, options: RohrpostOptions = {}) {
    super();
    const { pingInterval = 5_000, token = "", WebSocket = globalThis.WebSocket } = options;
    this.#url = url;
    this.#token = token;
    this.#pingInterval = pingInterval;
    this.#WebSocket = WebSocket;
    this.#connect();
  }

  /** Join a group, on this connection and the next ones. Returns the answer's data, which has the name of the `group`. */
  subscribe(groupObject: GroupObject): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const pending = { type: "subscribe", data: groupObject, resolve, reject };
      if (this.#isOver) reject(CLOSED);
      else if (this.socketState === "open") this.#request(pending);
      else this._pendingSubscribes.push(pending);
    });
  }

  /** Leave a group. Returns the answer's data; without a connection, nothing. */
  unsubscribe(groupObject: GroupObject): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.socketState === "open") {
        this.#request({ type: "unsubscribe", data: groupObject, resolve, reject });
      } else {
        delete this._subscriptions[`${groupObject.type}-${groupObject.id}`];
        this.#forget(groupObject);
        resolve(undefined);
      }
    });
  }

  /** Send a request of the type `name`. Returns the answer's data; rejects after `timeout` milliseconds. */
  call(name: string, data?: unknown, { timeout = 2_000 }: { timeout?: number } = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#drop(pending);
        reject(new Error("call timed out"));
      }, timeout);
      const ended = (settle: (value: unknown) => void) => (value: unknown) => {
        clearTimeout(timer);
        settle(value);
      };
      const pending: Pending = { type: name, data, resolve: ended(resolve), reject: ended(reject) };
      if (this.#isOver) pending.reject(CLOSED);
      else if (this.socketState === "open") this.#request(pending);
      else this.#waitingCalls.push(pending);
    });
  }

  /** End it for good. */
  close(): void {
    this.#isOver = true;
    this.socketState = "closed";
    clearTimeout(this.#retry);
    clearInterval(this.#heart);
    const waiting = [...this.#pending.values(), ...this._pendingSubscribes, ...this.#waitingCalls];
    this.#pending.clear();
    this._pendingSubscribes = [];
    this.#waitingCalls = [];
    for (const { type, resolve, reject } of waiting) {
      if (type === "unsubscribe") resolve(undefined);
      else reject(CLOSED);
    }
    this.#socket?.close();
  }

  #connect(): void {
    this.socketState = "connecting";
    this.#giveUp();
    const socket = new this.#WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = ({ data }) => this.#received(String(data));
    socket.onerror = () => {}; // a close event follows
    socket.onclose = () => this.#closed();
  }

  // What was under way on the last socket: subscribes wait in `_pendingSubscribes` already.
  #giveUp(): void {
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    this.#lastId = 0;
    for (const { type, data, resolve, reject } of lost) {
      if (type === "unsubscribe") {
        this.#forget(data as GroupObject);
        resolve(undefined);
      } else {
        reject(CLOSED);
      }
    }
  }

  #opened(socket: WebSocket): void {
    if (this.#isOver) return;
    this.socketState = "open";
    this.#isPingUnanswered = false;
    this.#ping();
    this.#hasHeard = true;
    this.#heart = setInterval(() => this.#check(socket), this.#pingInterval);
    const [subscribes, calls] = [this._pendingSubscribes, this.#waitingCalls];
    this._pendingSubscribes = [];
    this.#waitingCalls = [];
    const quiet = { resolve: () => {}, reject: (reason: unknown) => this.emit("error", String(reason)) };
    const isAsked = new Set<unknown>(subscribes.map(({ data }) => data));
    for (const data of Object.values(this._subscriptions)) {
      if (!isAsked.has(data)) this.#request({ type: "subscribe", data, ...quiet });
    }
    for (const pending of [...subscribes, ...calls]) this.#request(pending);
    this.emit("open");
  }

  #closed(): void {
    clearInterval(this.#heart);
    this.socketState = "closed";
    this.emit("closed");
    if (this.#isOver) return;
    for (const [id, pending] of this.#pending) {
      if (pending.type !== "subscribe") continue;
      this.#pending.delete(id);
      this._pendingSubscribes.push(pending);
    }
    this.#retry = setTimeout(() => {
      this.emit("reconnecting");
      if (!this.#isOver) this.#connect();
    }, RECONNECT_AFTER);
  }

  #check(socket: WebSocket): void {
    if (!this.#hasHeard) {
      socket.close();
      return;
    }
    this.#hasHeard = false;
    this.#ping();
  }

  #ping(): void {
    if (this.#isPingUnanswered) return;
    this.#isPingUnanswered = true;
    this.#send({ type: "ping", id: Date.now() });
    this.emit("ping");
  }

  #request(pending: Pending): void {
    const id = ++this.#lastId;
    this.#pending.set(id, pending);
    this.#send({ type: pending.type, id, auth_jwt: this.#token, data: pending.data });
  }

  #send(frame: object): void {
    const data = JSON.stringify(frame);
    this.emit("log", { direction: "send", data });
    this.#socket?.send(data);
  }

  #received(text: string): void {
    this.#hasHeard = true;
    let frame: Record<string, unknown> | null;
    try {
      frame = JSON.parse(text);
    } catch (error) {
      this.emit("error", String(error));
      return;
    }
    if (typeof frame !== "object" || !frame) {
      this.emit("error", `no object: ${text}`);
      return;
    }
    this.emit("message", frame);
    if (!frame.error) this.emit("log", { direction: "receive", data: text });
    this.#route(frame);
  }

  #route(frame: Record<string, unknown>): void {
    const { type, id, error } = frame;
    const data = frame.data as Data;
    if (type === "pong" && !error) {
      this.#isPingUnanswered = false;
      this.emit("pong");
      return;
    }
    if (type === "subscription-update" && !error) {
      this.emit(String(data?.group), null, data);
      return;
    }
    const pending = this.#pending.get(id as number);
    if (!pending) {
      this.emit("error", `no saved request with id: ${id}`);
      return;
    }
    this.#pending.delete(id as number);
    if (error) {
      pending.reject(error);
      return;
    }
    if (type === "subscribe" && data) this._subscriptions[String(data.group)] = pending.data as GroupObject;
    if (type === "unsubscribe") this.#forget(pending.data as GroupObject);
    pending.resolve(data);
  }

  #forget({ type, id }: GroupObject): void {
    for (const [name, group] of Object.entries(this._subscriptions)) {
      if (group.type === type && group.id === id) delete this._subscriptions[name];
    }
  }

  #drop(pending: Pending): void {
    this.#waitingCalls = this.#waitingCalls.filter((waiting) => waiting !== pending);
    for (const [id, other] of this.#pending) if (other === pending) this.#pending.delete(id);
  }
}
