/** A `WebSocket` that comes back, as `WebSocketBridge.socket` is: listeners and handlers hold for each new one. */

export interface ReconnectingSocketOptions {
  /** Milliseconds; the first delay is between this and twice as much. */
  minReconnectionDelay?: number;
  maxReconnectionDelay?: number;
  reconnectionDelayGrowFactor?: number;
  /** How long a handshake may take. */
  connectionTimeout?: number;
  maxRetries?: number;
  debug?: boolean;
  /** The class of the sockets. */
  constructor?: unknown;
}

type SocketClass = new (url: string, protocols?: string | string[]) => WebSocket;
type Name = keyof WebSocketEventMap;
type Listener = (event: Event) => void;

const NAMES: readonly Name[] = ["open", "message", "error", "close"];
const DEFAULTS = {
  minReconnectionDelay: 1_500,
  maxReconnectionDelay: 10_000,
  reconnectionDelayGrowFactor: 1.3,
  connectionTimeout: 4_000,
  maxRetries: Number.POSITIVE_INFINITY,
  debug: false,
};

export class ReconnectingSocket {
  onopen: Listener | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onerror: Listener | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  #url: string;
  #protocols: string | string[] | undefined;
  #options: Omit<typeof DEFAULTS & ReconnectingSocketOptions, "constructor">;
  #Socket: SocketClass;
  #listeners: Record<Name, Set<Listener>> = { open: new Set(), message: new Set(), error: new Set(), close: new Set() };
  #binaryType: BinaryType = "blob";
  #socket!: WebSocket;
  #retries = 0;
  #delay = 0;
  // What the application asked for at its last close.
  #asked: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isKeptClosed = false;

  constructor(url: string, protocols?: string | string[], options: ReconnectingSocketOptions = {}) {
    this.#url = url;
    this.#protocols = protocols;
    this.#options = { ...DEFAULTS, ...options };
    // Every object has a constructor; what counts is one that was given.
    const isGiven = Object.hasOwn(options, "constructor");
    this.#Socket = isGiven ? (options.constructor as SocketClass) : globalThis.WebSocket;
    this.#connect();
  }

  get url(): string {
    return this.#socket.url;
  }

  get readyState(): number {
    return this.#socket.readyState;
  }

  get protocol(): string {
    return this.#socket.protocol;
  }

  get extensions(): string {
    return this.#socket.extensions;
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  get binaryType(): BinaryType {
    return this.#binaryType;
  }

  set binaryType(type: BinaryType) {
    this.#binaryType = type;
    this.#socket.binaryType = type;
  }

  addEventListener(name: Name, listener: Listener): void {
    this.#listeners[name].add(listener);
  }

  removeEventListener(name: Name, listener: Listener): void {
    this.#listeners[name].delete(listener);
  }

  send(data: string | ArrayBufferLike | Blob | ArrayBufferView<ArrayBuffer>): void {
    this.#socket.send(data as string);
  }

  /**
   * Close this socket; another follows after `delay` milliseconds or the usual time, unless it is to be kept closed. With
   * `fastClose` the listeners hear of it at once, not when the server has answered.
   */
  close(code = 1000, reason = "", { keepClosed = false, fastClose = true, delay = 0 } = {}): void {
    const socket = this.#socket;
    this.#isKeptClosed = keepClosed;
    this.#asked = delay || undefined;
    socket.close(code, reason);
    if (socket.readyState === socket.CLOSED) {
      if (keepClosed) clearTimeout(this.#timer);
    } else if (fastClose) {
      for (const name of NAMES) socket.removeEventListener(name, this.#forward);
      this.#happened("close", Object.assign(new Event("close"), { code, reason, wasClean: true }));
    }
  }

  #connect(): void {
    this.#log("connect");
    const socket = new this.#Socket(this.#url, this.#protocols);
    this.#socket = socket;
    socket.binaryType = this.#binaryType;
    this.#timer = setTimeout(() => {
      this.#fail("ETIMEDOUT", "Connection timeout");
      socket.close();
    }, this.#options.connectionTimeout);
    for (const name of NAMES) socket.addEventListener(name, this.#forward);
  }

  #forward = (event: Event): void => this.#happened(event.type as Name, event);

  #happened(name: Name, event: Event): void {
    if (name === "open") {
      clearTimeout(this.#timer);
      this.#retries = 0;
      this.#delay = 0;
    } else if (name === "close") {
      this.#plan();
    }
    this.#tell(name, event);
  }

  #plan(): void {
    clearTimeout(this.#timer);
    if (this.#isKeptClosed) return;
    if (++this.#retries > this.#options.maxRetries) {
      this.#fail("EHOSTDOWN", "Too many failed connection attempts");
      return;
    }
    const { minReconnectionDelay, maxReconnectionDelay, reconnectionDelayGrowFactor } = this.#options;
    this.#delay = this.#delay
      ? Math.min(this.#delay * reconnectionDelayGrowFactor, maxReconnectionDelay)
      : minReconnectionDelay * (1 + Math.random());
    this.#log(`again in ${this.#delay} ms`);
    this.#timer = setTimeout(() => this.#connect(), this.#asked ?? this.#delay);
    this.#asked = undefined;
  }

  #fail(code: string, message: string): void {
    this.#tell("error", Object.assign(new Error(message), { code }));
  }

  #tell(name: Name, event: unknown): void {
    const { onopen, onmessage, onerror, onclose } = this;
    const handler = { open: onopen, message: onmessage, error: onerror, close: onclose }[name] as Listener | null;
    for (const listener of [...this.#listeners[name], ...(handler ? [handler] : [])]) listener(event as Event);
  }

  #log(what: string): void {
    if (this.#options.debug) console.log("RWS:", what);
  }
}
