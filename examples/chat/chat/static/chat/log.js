/** The talk: every message once, in the order of the ids, and the view at its end as long as the reader is there. */

import { avatar, byId, make } from "./dom.js";

const TOGETHER = 5 * 60_000; // what one person says within this time is one block
const NEAR_THE_END = 60; // pixels

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const date = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

export class Log {
  me = "";
  lastId = 0;
  #list = byId("log");
  #scroller = byId("scroller");
  #jump = byId("jump");
  #shown = new Map(); // message id -> its element
  #unsent = new Map(); // ref -> the element of a message that has not come back yet
  #atEnd = true;
  #unread = 0;
  #onResend;

  /** @param {(message: {ref: string, text: string}) => void} onResend the visitor asks to send a message again */
  constructor(onResend) {
    this.#onResend = onResend;
    this.#scroller.addEventListener("scroll", () => this.#look(), { passive: true });
    this.#jump.addEventListener("click", () => this.toEnd());
    // The place for the talk shrinks when the text field grows, or when a phone shows its keyboard.
    new ResizeObserver(() => this.#atEnd && this.toEnd()).observe(this.#scroller);
  }

  /** Show what came with the welcome. `cut` says that there is a hole before it. */
  history(messages, cut) {
    if (cut && messages.length) {
      this.#append(make("li", "quiet", this.lastId ? "Some messages in between are not shown" : "Older messages are not shown"));
    }
    for (const message of messages) this.#place(message);
    byId("empty").hidden = this.#shown.size + this.#unsent.size > 0;
    this.#scroller.setAttribute("aria-busy", "false");
    this.#settle(false);
  }

  /** Show a message. One that is here already, or was ours and unconfirmed, is not shown twice. */
  message(message) {
    if (!this.#place(message)) return;
    byId("empty").hidden = true;
    this.#settle(message.name !== this.me);
  }

  /** Show our own message before the server has confirmed it. */
  sending(ref, text) {
    this.#unsent.get(ref)?.remove();
    const item = this.#said({ name: this.me, text, sent: new Date().toISOString(), ref });
    item.classList.add("pending");
    item.append(make("p", "fate", "Sending…"));
    this.#unsent.set(ref, item);
    this.#list.append(item);
    this.#dress(item);
    byId("empty").hidden = true;
    this.toEnd();
  }

  /** Say of one message, or of all that are under way, that we cannot know whether they arrived. */
  unconfirmed(ref = null, reason = "Not confirmed.") {
    for (const [key, item] of this.#unsent) {
      if (ref !== null && key !== ref) continue;
      if (item.classList.contains("failed")) continue;
      item.classList.replace("pending", "failed");
      const again = make("button", "link", "Send again");
      again.type = "button";
      again.addEventListener("click", () => this.#onResend({ ref: key, text: item.querySelector(".text").textContent }));
      const fate = item.querySelector(".fate");
      fate.replaceChildren(`${reason} `, again);
    }
    this.#settle(false);
  }

  /** Show a line that nobody said. */
  quiet(text) {
    this.#append(make("li", "quiet", text));
    this.#settle(false);
  }

  /** Go to the last message. */
  toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#look();
  }

  #place(message) {
    if (this.#shown.has(message.id)) return false;
    this.#unsent.get(message.ref)?.remove();
    this.#unsent.delete(message.ref);
    const item = this.#said(message);
    item.dataset.id = message.id;
    this.#shown.set(message.id, item);
    this.lastId = Math.max(this.lastId, message.id);
    // Two people who speak at the same moment may be heard in the wrong order. So look for the place from the end.
    let next = null;
    for (let other = this.#list.lastElementChild; other; other = other.previousElementSibling) {
      const id = other.classList.contains("said") ? Number(other.dataset.id ?? Infinity) : null;
      if (id !== null && id < message.id) break;
      if (id !== null) next = other;
    }
    this.#list.insertBefore(item, next);
    this.#dress(item);
    if (next) this.#dress(next);
    return true;
  }

  #append(item) {
    const firstUnsent = this.#unsent.values().next().value ?? null;
    this.#list.insertBefore(item, firstUnsent);
  }

  #said({ name, text, sent }) {
    const when = new Date(sent);
    const own = name === this.me;
    const item = make("li", own ? "said own" : "said");
    item.dataset.name = name;
    item.dataset.sent = when.getTime();
    const by = make("p", "by");
    by.append(own ? make("span", "name visually-hidden", "You") : make("bdi", "name", name));
    const time = make("time", "", clock.format(when));
    time.dateTime = when.toISOString();
    time.title = full.format(when);
    by.append(" ", time);
    const words = make("p", "text", text);
    words.dir = "auto";
    item.append(avatar(name), by, words);
    return item;
  }

  /** Begin a new day or a new block before this message, or do not. It depends on what stands before it. */
  #dress(item) {
    item.querySelector(".day")?.remove();
    const before = item.previousElementSibling;
    let earlier = before;
    while (earlier && !earlier.classList.contains("said")) earlier = earlier.previousElementSibling;
    const sent = Number(item.dataset.sent);
    const newDay = !earlier || new Date(sent).toDateString() !== new Date(Number(earlier.dataset.sent)).toDateString();
    if (newDay) item.prepend(make("p", "day", dayOf(sent)));
    const together = before === earlier && !newDay && before.dataset.name === item.dataset.name;
    item.classList.toggle("follows", together && sent - Number(before.dataset.sent) < TOGETHER);
  }

  #settle(isNews) {
    if (this.#atEnd) this.toEnd();
    else if (isNews) this.#unread += 1;
    this.#showJump();
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR_THE_END;
    if (this.#atEnd) this.#unread = 0;
    this.#showJump();
  }

  #showJump() {
    this.#jump.hidden = this.#atEnd;
    const news = this.#unread === 1 ? "1 new message" : `${this.#unread} new messages`;
    this.#jump.textContent = this.#unread ? `↓ ${news}` : "↓ To the end";
  }
}

function dayOf(time) {
  const day = new Date(time);
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (day.toDateString() === today.toDateString()) return "Today";
  if (day.toDateString() === yesterday.toDateString()) return "Yesterday";
  return date.format(day);
}
