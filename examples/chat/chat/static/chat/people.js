/** Who is here: the list beside the talk, and the quiet lines about who comes and goes. */

import { avatar, byId, make } from "./dom.js";

const LEAVE_AFTER = 4_000; // whoever only reloads the page, or has lost the line for a moment, has not left
const FACES = 4;

export class People {
  #me = "";
  #names = new Map(); // by the id of the socket; one person may have several
  #gone = new Set(); // those who left, maybe before we heard of them
  #announced = new Set();
  #leaving = new Map();
  #announce;

  /** @param {(line: string) => void} announce shows a quiet line */
  constructor(announce) {
    this.#announce = announce;
  }

  /** A new connection knows nothing yet. What is on the page stays until it does. */
  reset() {
    this.#names = new Map();
    this.#gone = new Set();
  }

  /** The list, as of joining. Somebody may have come or gone while it was on its way. */
  welcome(me, here) {
    this.#me = me;
    if (!this.#announced.size) here.forEach(({ name }) => this.#announced.add(name));
    for (const { id, name } of here) if (!this.#gone.has(id)) this.#names.set(id, name);
    this.#changed();
  }

  joined({ id, name }, settled) {
    if (this.#gone.has(id)) return;
    this.#names.set(id, name);
    if (settled) this.#changed();
  }

  left({ id }, settled) {
    this.#gone.add(id);
    this.#names.delete(id);
    if (settled) this.#changed();
  }

  #changed() {
    const present = new Set(this.#names.values());
    const others = [...present].filter((name) => name !== this.#me).sort((a, b) => a.localeCompare(b));
    this.#render(present.has(this.#me) ? [this.#me, ...others] : others);
    for (const name of present) this.#came(name);
    for (const name of this.#announced) if (!present.has(name)) this.#went(name);
  }

  #came(name) {
    clearTimeout(this.#leaving.get(name));
    this.#leaving.delete(name);
    if (this.#announced.has(name)) return;
    this.#announced.add(name);
    if (name !== this.#me) this.#announce(`${name} came in`);
  }

  #went(name) {
    if (this.#leaving.has(name)) return;
    const timer = setTimeout(() => {
      this.#leaving.delete(name);
      if (!this.#announced.delete(name)) return;
      this.#announce(`${name} left`);
    }, LEAVE_AFTER);
    this.#leaving.set(name, timer);
  }

  #render(names) {
    byId("count").textContent = names.length === 1 ? "1 person here" : `${names.length} people here`;
    byId("members").replaceChildren(...names.map((name) => this.#row(name)));
    const faces = names.slice(0, FACES).map(avatar);
    if (names.length > FACES) faces.push(make("span", "avatar more", `+${names.length - FACES}`));
    byId("faces").replaceChildren(...faces);
  }

  #row(name) {
    const row = make("li", "member");
    const label = make("bdi", "name", name);
    row.append(avatar(name), label);
    if (name === this.#me) row.append(make("span", "you", "you"));
    return row;
  }
}
