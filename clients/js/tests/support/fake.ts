/** A socket whose other end is the test, and a client on such sockets. */

import { vi } from "vitest";
import { type Client, connect } from "../../src/client.ts";
import type { Options, SocketClass } from "../../src/options.ts";

type Frame = Record<string, unknown>;

export class FakeSocket extends EventTarget {
  readonly CLOSED = 3;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror: (() => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readyState = 0;
  url: string;
  protocols: string | string[] | undefined;
  binaryType = "blob";
  protocol = "chosen";
  extensions = "";
  bufferedAmount = 0;
  sent: Frame[] = [];
  closedWith: [number?, string?] | undefined;

  constructor(url: string, protocols?: string | string[]) {
    super();
    this.url = url;
    this.protocols = protocols;
    sockets.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(...how: [number?, string?]): void {
    this.closedWith ??= how;
    if (this.readyState < 2) this.readyState = 2;
  }

  // --- what the other end does ---

  accept(): void {
    this.readyState = 1;
    this.#tell("open");
  }

  receive(data: unknown): void {
    this.#tell("message", { data: typeof data === "string" ? data : JSON.stringify(data) });
  }

  /** Answer the last request of a type. */
  answer(type: string, rest: Frame = {}): void {
    const request = this.sent.filter((frame) => frame.type === type).at(-1);
    if (!request) throw new Error(`no ${type} among ${JSON.stringify(this.sent)}`);
    this.receive({ type, id: request.id, ...rest });
  }

  lose(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.#tell("close", { code, reason });
  }

  #tell(name: "open" | "message" | "close", details: object = {}): void {
    const event = Object.assign(new Event(name), details);
    // biome-ignore lint/suspicious/noExplicitAny: one of three kinds of handler
    (this[`on${name}`] as any)?.(event);
    this.dispatchEvent(event);
  }
}

/** All that were made in this test, the live one at the end. */
export const sockets: FakeSocket[] = [];

export const FakeWebSocket = FakeSocket as unknown as SocketClass;

/** The live one. */
export function socket(): FakeSocket {
  const last = sockets.at(-1);
  if (!last) throw new Error("there is no socket yet");
  return last;
}

/** A client on fake sockets, that is connecting. */
export async function connecting(options: Options = {}): Promise<Client> {
  sockets.length = 0;
  const client = connect("ws://test/ws/", { WebSocket: FakeWebSocket, ...options });
  await settled();
  return client;
}

/** A client on fake sockets, that is open. */
export async function opened(options: Options = {}): Promise<Client> {
  const client = await connecting(options);
  socket().accept();
  return client;
}

/** Wait for what follows from promises, without any time going by. */
export async function settled(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

/** Let the delay before the next try go by, and no more, and accept the new socket. */
export async function comeBack(): Promise<FakeSocket> {
  const before = sockets.length;
  for (let passed = 0; sockets.length === before; passed += 50) {
    if (passed > 30_000) throw new Error("no new socket");
    await vi.advanceTimersByTimeAsync(50);
  }
  socket().accept();
  return socket();
}

/** What a promise was rejected with, or the promise's value. */
export function outcome<T>(promise: Promise<T>): Promise<unknown> {
  return promise.catch((error: unknown) => error);
}

/** A page that can be hidden and offline. */
export class Page {
  hidden = false;
  onLine = true;
  readonly #window = new EventTarget();
  readonly #document = new EventTarget();

  constructor() {
    const document = Object.defineProperty(this.#document, "hidden", { get: () => this.hidden });
    vi.stubGlobal("document", document);
    vi.stubGlobal("navigator", Object.defineProperty({}, "onLine", { get: () => this.onLine }));
    for (const how of ["addEventListener", "removeEventListener"] as const)
      vi.stubGlobal(how, this.#window[how].bind(this.#window));
  }

  goOffline(): void {
    this.onLine = false;
    this.#window.dispatchEvent(new Event("offline"));
  }

  goOnline(): void {
    this.onLine = true;
    this.#window.dispatchEvent(new Event("online"));
  }

  show(isVisible: boolean): void {
    this.hidden = !isVisible;
    this.#document.dispatchEvent(new Event("visibilitychange"));
  }
}
