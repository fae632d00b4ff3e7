/** One card: its tick, its title, which can be edited where it stands, and its buttons. */

import { clone } from "./dom.js";

const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };

export class CardElement {
  element = clone("card-template");
  /** The name of the column beside its own, if there is one: `neighbour(-1)` to the left, `neighbour(1)` to the right. */
  neighbour = () => undefined;
  #id;
  #actions;
  #card = {};

  /**
   * @param {string} id
   * @param {object} actions what can be done: rename, tick, remove, again, dismiss, step
   */
  constructor(id, actions) {
    this.#id = id;
    this.#actions = actions;
    this.element.dataset.id = id;
    this.#find(".tick").addEventListener("change", ({ target }) => actions.tick(id, target.checked));
    this.#find(".title").addEventListener("click", () => this.#edit());
    this.#tool("left").addEventListener("click", () => actions.step("left"));
    this.#tool("right").addEventListener("click", () => actions.step("right"));
    this.#tool("delete").addEventListener("click", () => this.#delete());
    this.#tool("again").addEventListener("click", () => actions.again(id));
    this.#tool("dismiss").addEventListener("click", () => actions.dismiss(id));
    this.element.addEventListener("keydown", (event) => {
      if (!event.altKey || !KEYS[event.key] || event.target.matches(".editor")) return;
      event.preventDefault();
      actions.step(KEYS[event.key]);
    });
  }

  get column() {
    return this.#card.column;
  }

  /** Show a card as it is now. Text is always set as text: nothing that people write can become part of the page. */
  show(card, isNews) {
    this.#card = card;
    const { title, done, isDraft, isUnderWay, refusal } = card;
    const { classList } = this.element;
    this.#find(".title").textContent = title;
    this.#find(".tick").checked = done;
    this.#find(".tick").setAttribute("aria-label", `Done: ${title}`);
    this.#find(".refusal").hidden = !refusal;
    if (this.#find(".why").textContent !== refusal) this.#find(".why").textContent = refusal;
    this.#tool("dismiss").textContent = isDraft ? "Discard" : "Dismiss";
    classList.toggle("is-done", done);
    classList.toggle("is-draft", isDraft);
    classList.toggle("is-under-way", Boolean(isUnderWay));
    classList.toggle("is-refused", Boolean(refusal));
    this.#find(".under-way").textContent = isUnderWay ? "Not saved yet" : "";
    // A card that is refused is not on the board: there is nothing to do but to try again.
    for (const control of this.element.querySelectorAll(".row button, .row input")) control.disabled = isDraft && Boolean(refusal);
    for (const [tool, direction] of [["left", -1], ["right", 1]]) {
      const name = this.neighbour(direction);
      this.#tool(tool).hidden = !name;
      this.#tool(tool).setAttribute("aria-label", `Move to ${name}`);
      this.#tool(tool).title = `Move to ${name}`;
    }
    if (isNews) this.#flash();
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  #tool(name) {
    return this.#find(`[data-tool=${name}]`);
  }

  #flash() {
    this.element.classList.remove("is-news");
    void this.element.offsetWidth; // so that it begins anew
    this.element.classList.add("is-news");
  }

  #edit() {
    const [button, editor] = [this.#find(".title"), this.#find(".editor")];
    const isEdited = (is) => {
      this.element.draggable = !is; // or the text could not be selected
      button.hidden = is;
      editor.hidden = !is;
    };
    const end = (isSaved) => {
      if (editor.hidden) return;
      const title = editor.value.trim();
      isEdited(false);
      if (isSaved && title && title !== before) this.#actions.rename(this.#id, title);
    };
    const before = this.#card.title;
    editor.value = before;
    isEdited(true);
    editor.select();
    editor.onblur = () => end(true);
    editor.onkeydown = ({ key, isComposing }) => {
      if (isComposing || (key !== "Enter" && key !== "Escape")) return;
      end(key === "Enter");
      button.focus();
    };
  }

  /** The first click asks, the second one deletes. */
  #delete() {
    const button = this.#tool("delete");
    if (button.classList.contains("is-sure")) {
      this.#actions.remove(this.#id);
      return;
    }
    button.classList.add("is-sure");
    button.setAttribute("aria-label", "Really delete");
    const calm = () => {
      button.classList.remove("is-sure");
      button.setAttribute("aria-label", "Delete");
    };
    button.addEventListener("blur", calm, { once: true });
  }
}
