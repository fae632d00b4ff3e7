/**
 * One connection that comes back by itself: sockets one after the other, by the tables of `machine.ts` and `closing.ts`.
 * It knows nothing about what is in a frame.
 */

import { CLOSE_CODES, delayAfter, LASTED } from "./closing.ts";
import { type Happening, type State, TRANSITIONS } from "./machine.ts";
import type { Settings } from "./options.ts";

/** How a connection ended. */
export interface Closing {
  code: number;
  reason: string;
  willReconnect: boolean;
}

/** A try that is to come. */
export interface Try {
  /** 1 for the first since the last good connection. */
  attempt: number;
  /** Milliseconds until then. */
  delay: number;
}

/** Who is told. */
export interface Watcher {
  opened(): void;
  received(data: unknown): void;
  ended(closing: Closing): void;
  reconnecting(next: Try): void;
  /** The state is `connecting` or `paused` now; of all others it is told by the rest. */
  moved(): void;
  /** The browser is offline or online again, or the page visible, while the connection seems to be open. */
  doubted(): void;
  failed(error: unknown): void;
}

export class Link {
  state: State = "closed";
  /** The token of this connection. */
  token = "";
  #url: string;
  #settings: Settings;
  #watcher: Watcher;
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #openedAt = 0;
  // Counts the sockets: what is told of an older one means nothing.
  #turn = 0;

  constructor(url: string, settings: Settings, watcher: Watcher) {
    this.#url = url;
    this.#settings = settings;
    this.#watcher = watcher;
  }

  /** Connect now, whatever was planned; an open connection stays. */
  connect(): void {
    if (this.state === "closed") this.#listen("addEventListener");
    this.#step("retry");
  }

  /** Send a frame; the state has to be `open`. */
  send(text: string): void {
    this.#socket?.send(text);
  }

  /** Give an open socket up: the other side does not answer. */
  abandon(): void {
    if (this.state === "open") this.#lose(1006, "no sign of life");
  }

  /** End it for good. */
  close(): void {
    if (this.state !== "closed") this.#leave("close", 1000, "");
  }

  // Change the state. Returns false where the table has no such change.
  #step(happening: Happening): boolean {
    const next = TRANSITIONS[this.state][happening];
    if (!next) return false;
    clearTimeout(this.#timer);
    this.state = next;
    if (next === "connecting") this.#dial();
    else if (next === "closed") this.#listen("removeEventListener");
    if (next === "connecting" || next === "paused") this.#watcher.moved();
    return true;
  }

  async #dial(): Promise<void> {
    const { token, connectTimeout, protocols, WebSocket = globalThis.WebSocket } = this.#settings;
    const turn = ++this.#turn;
    this.#timer = setTimeout(() => this.#lose(1006, "no connection within connectTimeout"), connectTimeout);
    try {
      const fresh = await (typeof token === "function" ? token() : token);
      if (turn !== this.#turn) return;
      this.token = fresh;
      this.#follow(new WebSocket(this.#url, protocols), turn);
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#watcher.failed(error);
      this.#lose(1006, String(error));
    }
  }

  #follow(socket: WebSocket, turn: number): void {
    this.#socket = socket;
    socket.onopen = () => {
      if (turn !== this.#turn || !this.#step("opened")) return;
      this.#openedAt = performance.now();
      this.#watcher.opened();
    };
    socket.onmessage = ({ data }) => {
      if (turn === this.#turn) this.#watcher.received(data);
    };
    // Told before each abnormal close; Node's `ws` wants somebody to listen.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => {
      if (turn === this.#turn) this.#lose(code, reason);
    };
  }

  #lose(code: number, reason: string): void {
    const verdict = this.#settings.codes?.[code] ?? CLOSE_CODES[code] ?? "stay";
    if (this.state === "open" && performance.now() - this.#openedAt > LASTED) this.#failures = 0;
    if (verdict === "stay") {
      this.#leave("ended", code, reason);
      return;
    }
    this.#leave("lost", code, reason);
    // Whoever was told may have decided otherwise.
    if (this.state !== "waiting") return;
    const delay = delayAfter(verdict, this.#failures++);
    this.#timer = setTimeout(() => this.#step(this.#isAway() ? "away" : "due"), delay);
    this.#watcher.reconnecting({ attempt: this.#failures, delay });
  }

  #leave(happening: "lost" | "ended" | "close", code: number, reason: string): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#turn++;
    this.#step(happening);
    socket?.close(1000);
    this.#watcher.ended({ code, reason, willReconnect: this.state !== "closed" });
  }

  #isAway(): boolean {
    const { document, navigator } = globalThis;
    return navigator?.onLine === false || (!this.#settings.background && document?.hidden === true);
  }

  #listen(how: "addEventListener" | "removeEventListener"): void {
    // Node has none of them, a worker no document.
    for (const type of ["online", "offline"]) (globalThis as Partial<EventTarget>)[how]?.(type, this.#changed);
    globalThis.document?.[how]("visibilitychange", this.#changed);
  }

  #changed = ({ type }: Event): void => {
    const isOffline = type === "offline";
    if (!isOffline && this.#isAway()) return;
    // Offline, a socket seems to be open until somebody waits for an answer; and one to this very machine is.
    if (this.state === "open") this.#watcher.doubted();
    else this.#step(isOffline ? "away" : type === "online" ? "online" : "visible");
  };
}
