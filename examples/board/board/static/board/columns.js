/** The columns, as they are seen: an element for each card, kept for as long as the card is there. */

import { CardElement } from "./card.js";
import { byId } from "./dom.js";

const MOVES = { duration: 220, easing: "cubic-bezier(0.2, 0, 0, 1)" };

export class Columns {
  #columns = new Map(); // key: { element, list, name }
  #elements = new Map(); // id of a card: its CardElement
  #actions;
  #most = Number(byId("board").dataset.most);
  #dragged = null; // id of the card
  #dropped = null; // the same, when it was let go: it is where it belongs already

  /** @param {object} actions what can be done: add, rename, tick, move, remove, again, dismiss */
  constructor(actions) {
    this.#actions = actions;
    for (const element of document.querySelectorAll(".column")) {
      const { column } = element.dataset;
      this.#columns.set(column, { element, list: element.querySelector(".cards"), name: element.querySelector("h2").textContent });
      this.#equip(element, column);
    }
  }

  /** Show these cards, in this order; those of `news` were changed by others. */
  show(cards, news) {
    const before = this.#places();
    const focused = document.activeElement;
    const ids = new Set(cards.map(({ id }) => id));
    for (const [id, card] of this.#elements) if (!ids.has(id)) this.#drop(id, card);
    for (const card of cards) this.#elementOf(card.id).show(card, news.has(card.id));
    for (const [column, { element, list }] of this.#columns) {
      const mine = cards.filter((card) => card.column === column);
      mine.forEach(({ id }, place) => {
        const child = this.#elements.get(id).element;
        if (list.children[place] !== child) list.insertBefore(child, list.children[place] ?? null);
      });
      const count = mine.filter(({ isDraft, refusal }) => !(isDraft && refusal)).length;
      element.querySelector(".count").textContent = `${count} of ${this.#most}`;
      element.querySelector(".empty").hidden = mine.length > 0 || byId("board").getAttribute("aria-busy") === "true";
    }
    if (focused.isConnected && focused !== document.activeElement) focused.focus(); // it was moved, and lost it
    this.#glide(before);
  }

  #elementOf(id) {
    let card = this.#elements.get(id);
    if (!card) {
      card = new CardElement(id, { ...this.#actions, step: (direction) => this.#step(id, direction) });
      card.element.addEventListener("dragstart", (event) => this.#drag(event, id));
      card.element.addEventListener("dragend", () => this.#drag(null, null));
      card.neighbour = (direction) => this.#beside(card.column, direction)?.name;
      this.#elements.set(id, card);
    }
    return card;
  }

  #drop(id, { element, column }) {
    const next = element.nextElementSibling ?? element.previousElementSibling;
    const place = next?.querySelector(".title") ?? this.#columns.get(column).element.querySelector("input[name=title]");
    if (element.contains(document.activeElement)) place.focus();
    element.remove();
    this.#elements.delete(id);
  }

  /* To another place by a button or a key */

  #beside(column, direction) {
    const keys = [...this.#columns.keys()];
    const key = keys[keys.indexOf(column) + direction];
    return key && { key, name: this.#columns.get(key).name };
  }

  /** Move a card one step: to the column beside its own, or up or down in it. */
  #step(id, direction) {
    const { element, column } = this.#elements.get(id);
    if (direction === "left" || direction === "right") {
      const beside = this.#beside(column, direction === "left" ? -1 : 1);
      if (beside) this.#actions.move(id, beside.key, null);
      return;
    }
    const next = direction === "up" ? element.previousElementSibling : element.nextElementSibling;
    const before = direction === "up" ? next : next?.nextElementSibling;
    if (next) this.#actions.move(id, column, before?.dataset.id ?? null);
  }

  /* To another place with the mouse */

  #drag(event, id) {
    this.#dragged = id;
    event?.dataTransfer.setData("text/plain", id); // Firefox drags nothing without data
    for (const [other, { element }] of this.#elements) element.classList.toggle("is-dragged", other === id);
    if (!id) this.#mark(null, null);
  }

  #equip(element, column) {
    const form = element.querySelector("form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const title = form.elements.title.value.trim();
      if (!title) return;
      this.#actions.add(title, column);
      form.reset();
    });
    element.addEventListener("dragover", (event) => {
      if (!this.#dragged) return;
      event.preventDefault();
      this.#mark(column, this.#below(column, event.clientY));
    });
    element.addEventListener("dragleave", (event) => {
      if (!element.contains(event.relatedTarget)) this.#mark(null, null);
    });
    element.addEventListener("drop", (event) => {
      event.preventDefault();
      if (!this.#dragged) return;
      this.#dropped = this.#dragged;
      const before = this.#below(column, event.clientY);
      this.#actions.move(this.#dragged, column, before?.dataset.id ?? null);
      this.#drag(null, null);
    });
  }

  /** Return the card above which one would be put here. */
  #below(column, y) {
    const others = [...this.#columns.get(column).list.children].filter((child) => child.dataset.id !== this.#dragged);
    return others.find((child) => {
      const { top, height } = child.getBoundingClientRect();
      return y < top + height / 2;
    });
  }

  #mark(column, below) {
    for (const [key, { element }] of this.#columns) element.classList.toggle("is-target", key === column);
    for (const { element } of this.#elements.values()) element.classList.toggle("is-below", element === below);
  }

  /* What moves is seen moving */

  #places() {
    return new Map([...this.#elements].map(([id, { element }]) => [id, element.getBoundingClientRect()]));
  }

  #glide(before) {
    const dropped = this.#dropped;
    this.#dropped = null;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    for (const [id, { element }] of this.#elements) {
      const [from, to] = [before.get(id), element.getBoundingClientRect()];
      if (!from || id === dropped || (from.x === to.x && from.y === to.y)) continue;
      element.animate([{ translate: `${from.x - to.x}px ${from.y - to.y}px` }, { translate: "0 0" }], MOVES);
    }
  }
}
