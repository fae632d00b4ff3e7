/**
 * What the end of a connection means: come back soon, come back later, or stay away.
 *
 * The one table of close codes, as docs/explanation/connection.md and the message standard have them. `vectors/client.json`
 * holds it for every language, and the tests of each client read it.
 */

/** What the client does after a close code. */
export type Verdict = "soon" | "later" | "stay";

/** By code. A code that is not here, and each of an application (3000–4999), is an answer: the client stays away. */
export const CLOSE_CODES: Readonly<Record<number, Verdict>> = {
  1000: "stay", // normal
  1001: "soon", // going away: the socket has reached its longest life
  1002: "stay", // the client broke the protocol, and would again
  1003: "stay", // data of a kind that the server does not take
  1005: "stay", // closed without a code, which is a normal end
  1006: "soon", // lost without a word; also a refused handshake, which a browser cannot tell from it
  1007: "stay", // text that is not UTF-8
  1008: "stay", // against the rules: logged out, too many messages
  1009: "stay", // a message above the server's limit
  1011: "soon", // a message could not be consumed
  1012: "soon", // the server restarts
  1013: "later", // too slow a reader, or no room
};

/**
 * How long to wait before a try, in milliseconds: up to `first`, doubled with each failure, never more than `longest`.
 * The wait is all luck (full jitter), so that the thousand clients of a server that restarts do not come back as one;
 * a server that has no room is left alone for `least` at any rate.
 */
export const DELAYS: Readonly<Record<"soon" | "later", { least: number; first: number; longest: number }>> = {
  soon: { least: 0, first: 500, longest: 30_000 },
  later: { least: 2_000, first: 8_000, longest: 30_000 },
};

/** A connection that has lasted so long was a good one: begin with short delays again. */
export const LASTED = 5_000;

/** The delay before the next try, after `failures` tries that failed since the last good connection. */
export function delayAfter(verdict: "soon" | "later", failures: number): number {
  const { least, first, longest } = DELAYS[verdict];
  return least + Math.random() * (Math.min(longest, first * 2 ** failures) - least);
}
