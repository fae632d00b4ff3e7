/** A WebSocket that comes back by itself, and always says how it is. */

// What the server means by these: going away, lost without a word, an error in the application, restarting, overloaded.
// Every other code is an answer ("normal", "against the rules", "too big"), and asking again would not change it.
const RECONNECT_ON = new Set([1001, 1006, 1011, 1012, 1013]);

const FIRST_DELAY = 500;
const LONGEST_DELAY = 30_000;
const STABLE_AFTER = 5_000; // a connection that lived so long was a good one: begin with short delays again

export class ReconnectingSocket {
  #url;
  #on;
  #socket = null;
  #failures = 0;
  #openedAt = 0;
  #timer = 0;

  /**
   * @param {string} url
   * @param {{opened: () => void, received: (frame: object) => void, changed: (state: object) => void}} on
   *   `changed` gets {name: "connecting" | "open"}, {name: "waiting", until: milliseconds} or {name: "closed", code, reason}.
   */
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
    window.addEventListener("online", () => this.#timer && this.connect());
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connect now, whatever was planned. */
  connect() {
    this.#forget();
    this.#on.changed({ name: "connecting" });
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      this.#openedAt = performance.now();
      this.#on.changed({ name: "open" });
      this.#on.opened();
    });
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#on.received(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.#socket) this.#closed(event.code, event.reason);
    });
  }

  /** Give this connection up as lost: the other side does not answer. */
  abandon() {
    this.#forget();
    this.#closed(1006, "");
  }

  /** Send a frame. Returns false if there is no connection; nothing is kept for later. */
  send(frame) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const socket = this.#socket;
    this.#socket = null; // its events mean nothing any more
    socket?.close();
  }

  #closed(code, reason) {
    this.#socket = null;
    if (!RECONNECT_ON.has(code)) {
      this.#on.changed({ name: "closed", code, reason });
      return;
    }
    if (this.#openedAt && performance.now() - this.#openedAt > STABLE_AFTER) this.#failures = 0;
    this.#openedAt = 0;
    // Half of the delay is luck, so that the thousand clients of a server that restarts do not come back as one.
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#failures++);
    const delay = longest * (0.5 + Math.random() / 2);
    this.#on.changed({ name: "waiting", until: Date.now() + delay });
    this.#timer = setTimeout(() => this.connect(), delay);
  }
}
