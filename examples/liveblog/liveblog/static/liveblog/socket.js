/** A WebSocket with streams, as a WebsocketDemultiplexer speaks them, that comes back by itself. */

// What the server means by these: going away, lost without a word, an error in the application, come again, overloaded.
// Every other code is an answer (1008: logged out), and asking again would not change it.
const RECONNECT_ON = new Set([1001, 1006, 1011, 1012, 1013]);

const FIRST_DELAY = 500;
const LONGEST_DELAY = 30_000;

export class StreamSocket {
  #url;
  #streams;
  #changed;
  #socket = null;
  #failures = 0;
  #timer = 0;

  /**
   * @param {string} url
   * @param {Object<string, (payload: object) => void>} streams what gets the payloads, by the name of the stream
   * @param {(state: object) => void} changed gets {name: "connecting" | "open"}, {name: "waiting", wasOpen} or
   *   {name: "closed", reason}
   */
  constructor(url, streams, changed) {
    this.#url = url;
    this.#streams = streams;
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
    let wasOpen = false;
    this.#changed({ name: "connecting" });
    socket.addEventListener("open", () => {
      wasOpen = true;
      if (socket === this.#socket) this.#changed({ name: "open" });
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket === this.#socket) this.#received(JSON.parse(data));
    });
    socket.addEventListener("close", ({ code, reason }) => {
      if (socket === this.#socket) this.#closed(code, reason, wasOpen);
    });
  }

  /** Send a payload on a stream. Returns false if there is no connection; nothing is kept for later. */
  send(stream, payload) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify({ stream, payload }));
    return true;
  }

  /** The connection is a good one: begin with short delays, should it be lost. */
  settled() {
    this.#failures = 0;
  }

  #received({ stream, payload, error }) {
    if (error) console.warn(`The server refused a frame: ${error}`);
    else this.#streams[stream]?.(payload);
  }

  #closed(code, reason, wasOpen) {
    this.#socket = null;
    if (!RECONNECT_ON.has(code)) {
      this.#changed({ name: "closed", reason });
      return;
    }
    // Half of the delay is luck, so that the thousand clients of a server that restarts do not come back as one.
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#failures++);
    this.#timer = setTimeout(() => this.connect(), longest * (0.5 + Math.random() / 2));
    this.#changed({ name: "waiting", wasOpen });
  }
}
