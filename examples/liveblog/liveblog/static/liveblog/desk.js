/** What admins have and readers have not: the form for new posts, and the tools at each post. */

import { byId } from "./dom.js";
import { Editor } from "./editor.js";

export class Desk {
  #send;
  #posts;
  #notice;
  #composer;
  #editors = new Map(); // pk: the form in which it is being changed

  /**
   * @param {(payload: object) => boolean} send sends on the stream of the posts; false if there is no connection
   * @param {Posts} posts
   * @param {(text: string) => void} notice shows a text at the top
   */
  constructor(send, posts, notice) {
    this.#send = send;
    this.#posts = posts;
    this.#notice = notice;
    this.#composer = new Editor({ send: (data) => send({ action: "create", data }) });
    byId("composer").append(this.#composer.element);
    posts.equip = (element, pk) => this.#equip(element, pk);
  }

  /** A frame of the stream: a change, or what is wrong with one that was asked for here. */
  received({ action, pk, data, errors }) {
    if (action === "delete") this.#close(pk);
    const form = action === "create" ? this.#composer : this.#editors.get(pk);
    if (!errors) form?.told(data);
    else if (form?.isWaiting) form.refused(errors);
    else this.#notice(Object.values(errors).flat().join(" "));
    this.#label(pk);
  }

  lost() {
    for (const form of [this.#composer, ...this.#editors.values()]) form.lost();
  }

  #equip(element, pk) {
    const tools = {
      toggle: () => this.#ask({ action: "update", pk, data: { admin_only: !this.#posts.get(pk).admin_only } }),
      edit: () => this.#edit(pk),
      delete: (button) => this.#delete(button, pk),
    };
    for (const button of element.querySelectorAll("[data-tool]")) {
      button.addEventListener("click", () => tools[button.dataset.tool](button));
    }
  }

  #label(pk) {
    const button = this.#posts.elementOf(pk)?.querySelector("[data-tool=toggle]");
    if (button) button.textContent = this.#posts.get(pk).admin_only ? "Show to readers" : "Hide from readers";
  }

  #ask(payload) {
    this.#notice(this.#send(payload) ? "" : "There is no connection, so nothing was changed.");
  }

  #edit(pk) {
    const form = new Editor({
      post: this.#posts.get(pk),
      send: (data) => this.#send({ action: "update", pk, data }),
      close: () => this.#close(pk),
    });
    this.#editors.set(pk, form);
    const element = this.#posts.elementOf(pk);
    element.classList.add("is-edited");
    element.querySelector("article").append(form.element);
    form.focus();
  }

  #close(pk) {
    this.#editors.get(pk)?.element.remove();
    this.#editors.delete(pk);
    const element = this.#posts.elementOf(pk);
    element?.classList.remove("is-edited");
    element?.querySelector("[data-tool=edit]").focus();
  }

  /** The first click asks, the second one deletes. */
  #delete(button, pk) {
    if (button.classList.contains("is-sure")) {
      this.#ask({ action: "delete", pk });
      return;
    }
    button.classList.add("is-sure");
    button.textContent = "Delete it?";
    const calm = () => {
      button.classList.remove("is-sure");
      button.textContent = "Delete";
    };
    button.addEventListener("blur", calm, { once: true });
  }
}
