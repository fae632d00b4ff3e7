/** `WebSocketBridge` of Channels 1: JSON frames, and streams of a demultiplexer, on a socket that comes back. */

import { ReconnectingSocket, type ReconnectingSocketOptions } from "./reconnecting_socket.ts";

type Callback = (payload: unknown, stream: string | null) => void;

export class WebSocketBridge {
  /** The socket, once connected; add listeners here. */
  socket: ReconnectingSocket | null = null;
  /** What gets the payloads of each stream. */
  streams: Record<string, Callback> = {};
  default_cb: Callback | null = null;
  options: Record<string, unknown>;

  constructor(options: Record<string, unknown> = {}) {
    this.options = { ...options };
  }

  /** Connect to a path of the page's host, or to an address; to the page's host itself where there is none. */
  connect(url?: string, protocols?: string | string[], options?: ReconnectingSocketOptions): void {
    const { protocol, host } = globalThis.location ?? {};
    const base = `${protocol === "https:" ? "wss" : "ws"}://${host}`;
    const address = !url || url.startsWith("/") ? base + (url ?? "") : url;
    this.socket = new ReconnectingSocket(address, protocols, options);
  }

  /** Hand each frame on: one of a stream to the callback of that stream, any other to `cb`. Call it after `connect`. */
  listen(cb?: Callback): void {
    this.default_cb = cb ?? null;
    if (!this.socket) throw new Error("call connect() before listen()");
    this.socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message?.stream !== undefined) this.streams[message.stream]?.(message.payload, message.stream);
      else this.default_cb?.(message, null);
    };
  }

  /** Hand the payloads of a stream to `cb`. */
  demultiplex(stream: string, cb: Callback): void {
    this.streams[stream] = cb;
  }

  /** Send a frame. */
  send(msg: unknown): void {
    this.socket?.send(JSON.stringify(msg));
  }

  /** The sending end of a stream. */
  stream(name: string): { send(payload: unknown): void } {
    return { send: (payload) => this.send({ stream: name, payload }) };
  }
}
