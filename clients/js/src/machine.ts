/**
 * The states of a connection and what leads from one to another, as a table. Nothing else changes the state; what
 * happens in a state where the table has no entry for it changes nothing.
 */

/**
 * - `connecting`: a socket is being opened.
 * - `open`: requests go out at once.
 * - `waiting`: for the next try, see `reconnecting`.
 * - `paused`: nobody looks at the page, or the machine is offline; there is no try until that ends.
 * - `closed`: for good, or until `reconnect()`.
 */
export type State = "connecting" | "open" | "waiting" | "paused" | "closed";

/**
 * - `opened`: the handshake is complete.
 * - `lost`: the socket is gone, with a code after which one comes back; `ended`: with one after which one does not.
 * - `due`: the delay is over; `away`: it is, but the page is hidden or offline, or the browser says that it is offline.
 * - `online`, `visible`: what the browser tells.
 * - `retry`, `close`: what the application asks for.
 */
export type Happening = "opened" | "lost" | "ended" | "due" | "away" | "online" | "visible" | "retry" | "close";

export const TRANSITIONS: Readonly<Record<State, Readonly<Partial<Record<Happening, State>>>>> = {
  connecting: { opened: "open", lost: "waiting", ended: "closed", close: "closed" },
  open: { lost: "waiting", ended: "closed", close: "closed" },
  waiting: { due: "connecting", away: "paused", online: "connecting", retry: "connecting", close: "closed" },
  paused: { online: "connecting", visible: "connecting", retry: "connecting", close: "closed" },
  closed: { retry: "connecting" },
};
