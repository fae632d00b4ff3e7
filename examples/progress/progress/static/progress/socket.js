/** A WebSocket that only listens, and comes back by itself. */

// What the server means by these: going away, lost without a word, an error in the application, come again, overloaded.
// Every other code is an answer, and asking again would not change it.
const RECONNECT_ON = new Set([1001, 1006, 1011, 1012, 1013]);

const FIRST_DELAY = 500;
const LONGEST_DELAY = 30_000;

export class Socket {
  #url;
  #received;
  #changed;
  #socket = null;
  #failures = 0;
  #timer = 0;

  /**
   * @param {string} url
   * @param {(frame: object) => void} received gets each frame
   * @param {(state: string) => void} changed gets "connecting", "open", "waiting", "closed", or "done" after `close`
   */
  constructor(url, received, changed) {
    this.#url = url;
    this.#received = received;
    this.#changed = changed;
    window.addEventListener("online", () => this.#timer && this.connect());
  }

  /** Connect now, whatever was planned. */
  connect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#socket?.close();
    const socket = new WebSocket(this.#url);
    this.#socket = socket; // the events of an older one mean nothing any more
    this.#changed("connecting");
    socket.addEventListener("open", () => {
      if (socket === this.#socket) this.#changed("open");
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      this.#failures = 0;
      this.#received(JSON.parse(data));
    });
    socket.addEventListener("close", ({ code }) => {
      if (socket === this.#socket) this.#closed(code);
    });
  }

  /** There is nothing more to hear. */
  close() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#changed("done");
  }

  #closed(code) {
    this.#socket = null;
    if (!RECONNECT_ON.has(code)) {
      this.#changed("closed");
      return;
    }
    // Half of the delay is luck, so that the thousand clients of a server that restarts do not come back as one.
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#failures++);
    this.#timer = setTimeout(() => this.connect(), longest * (0.5 + Math.random() / 2));
    this.#changed("waiting");
  }
}
