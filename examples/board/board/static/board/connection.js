/** The line that says how things are: whether changes are seen at once, and how many of them wait. */

import { byId } from "./dom.js";

const PATIENCE = 500;

export class Connection {
  #client;
  #waiting = 0;
  #due = 0;
  #countdown = 0;
  #later = 0;

  /** @param {import("../fairway/fairway.js").Client} client */
  constructor(client) {
    this.#client = client;
    client.on("state", () => this.#show());
    client.on("reconnecting", ({ delay }) => {
      this.#due = Date.now() + delay;
      this.#show();
    });
    byId("retry").addEventListener("click", () => client.reconnect());
    this.#show();
  }

  /** @param {number} waiting how many changes are not answered yet */
  show(waiting) {
    this.#waiting = waiting;
    byId("connection").dataset.waiting = String(waiting);
    clearTimeout(this.#later);
    // Most changes are saved in a blink: there is nothing to say of them, and nothing to read out.
    this.#later = setTimeout(() => this.#show(), waiting && this.#client.state === "open" ? PATIENCE : 0);
  }

  #show() {
    const { state } = this.#client;
    const texts = {
      connecting: "Connecting…",
      open: "Live",
      waiting: "Connection lost",
      paused: "Offline",
      closed: "Disconnected",
    };
    const count = `${this.#waiting} ${this.#waiting === 1 ? "change" : "changes"}`;
    const is = this.#waiting === 1 ? "waits" : "wait";
    const rest = this.#waiting ? (state === "open" ? `, saving ${count}…` : `, ${count} ${is}`) : "";
    const text = texts[state] + rest;
    byId("connection").dataset.state = state;
    if (byId("connection-text").textContent !== text) byId("connection-text").textContent = text;
    byId("retry").hidden = state === "open" || state === "connecting";
    byId("retry").textContent = state === "closed" ? "Reconnect" : "Try now";
    clearInterval(this.#countdown);
    this.#tick();
    if (state === "waiting") this.#countdown = setInterval(() => this.#tick(), 500);
  }

  #tick() {
    const seconds = Math.ceil((this.#due - Date.now()) / 1000);
    const isSoon = this.#client.state !== "waiting" || seconds < 1;
    byId("countdown").textContent = isSoon ? "" : `next try in ${seconds} s`;
  }
}
