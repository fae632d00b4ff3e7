/** The list of posts: what the server tells of them, shown. */

import { byId, clone } from "./dom.js";

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

export class Posts {
  #list = byId("posts");
  #shown = new Map(); // pk: { element, data }
  #confirmed = new Set(); // what this connection has told of
  #isComplete = false; // all that there was when it began is here

  /** @param {(element: Element, pk: number) => void} equip gets each post's element when it is made */
  constructor(equip = () => {}) {
    this.equip = equip;
  }

  /** A new connection begins by telling of all posts. Until it has, the old ones stay. */
  begin() {
    this.#confirmed.clear();
    this.#isComplete = false;
    this.#list.setAttribute("aria-busy", "true");
  }

  /** It has: what it did not tell of is there no more, or no longer for us. */
  complete() {
    for (const pk of this.#shown.keys()) if (!this.#confirmed.has(pk)) this.#remove(pk);
    this.#isComplete = true;
    this.#list.setAttribute("aria-busy", "false");
    this.#weigh();
  }

  /** One change, as the binding tells it. It may come twice; that changes nothing. */
  apply({ action, pk, data }) {
    if (action === "delete") this.#remove(pk);
    else if (action === "create" || this.#shown.has(pk)) this.#put(pk, data); // others are older than the list goes back
    this.#weigh();
  }

  get(pk) {
    return this.#shown.get(pk)?.data;
  }

  elementOf(pk) {
    return this.#shown.get(pk)?.element;
  }

  #put(pk, data) {
    this.#confirmed.add(pk);
    let post = this.#shown.get(pk);
    if (!post) {
      post = { element: clone("post-template") };
      this.#shown.set(pk, post);
      this.equip(post.element, pk);
      post.element.classList.toggle("is-new", this.#isComplete);
    }
    post.data = data;
    fill(post.element, data);
    this.#place(pk, post);
  }

  /** Put it where its time belongs: the newest at the top. */
  #place(pk, { element, data }) {
    if (element.isConnected) return; // the time of a post does not change
    const key = [data.posted, pk];
    const older = [...this.#shown].filter(([other, { element, data }]) => element.isConnected && isOlder([data.posted, other], key));
    const next = older.sort(([a, { data: x }], [b, { data: y }]) => (isOlder([x.posted, a], [y.posted, b]) ? 1 : -1))[0];
    this.#list.insertBefore(element, next ? next[1].element : null);
  }

  #remove(pk) {
    const post = this.#shown.get(pk);
    if (!post) return;
    this.#shown.delete(pk);
    const { element } = post;
    element.inert = true;
    element.classList.add("is-going");
    // The element is gone when it has faded out. Where nothing moves (reduced motion), that is at once.
    Promise.allSettled(element.getAnimations().map((animation) => animation.finished)).then(() => element.remove());
  }

  #weigh() {
    byId("empty").hidden = this.#shown.size > 0 || !this.#isComplete;
  }
}

function isOlder([time, pk], [otherTime, otherPk]) {
  const difference = Date.parse(time) - Date.parse(otherTime);
  return difference < 0 || (difference === 0 && pk < otherPk);
}

/** Text is always set as text: nothing that people write can become part of the page. */
function fill(element, { title, text, admin_only, posted, byline }) {
  const find = (selector) => element.querySelector(selector);
  const when = new Date(posted);
  const isToday = when.toDateString() === new Date().toDateString();
  find("time").dateTime = posted;
  find("time").textContent = isToday ? CLOCK.format(when) : `${DAY.format(when)} ${CLOCK.format(when)}`;
  find("h2").textContent = title;
  find(".text").textContent = text;
  find(".text").hidden = !text;
  find(".badge").hidden = !admin_only;
  find(".byline").textContent = byline;
  element.classList.toggle("is-hidden-from-readers", admin_only);
}
