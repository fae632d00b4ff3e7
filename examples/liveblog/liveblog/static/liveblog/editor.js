/** The form in which a post is written or changed. It waits for the server's answer before it believes anything. */

import { clone } from "./dom.js";

const ANSWER_WITHIN = 10_000;
const NO_CONNECTION = "There is no connection. What you wrote stays here until you send it again.";
const NO_ANSWER = "There was no answer. Look whether it was posted before you send it again.";

export class Editor {
  #form = clone("form-template");
  #before; // the values that the form began with
  #sent = null; // the values whose answer is being waited for
  #timer = 0;

  /**
   * @param {object} options
   * @param {object} [options.post] the values to begin with; without them a new post is written
   * @param {(data: object) => boolean} options.send sends what was entered; false if there is no connection
   * @param {() => void} [options.close] called when the form is done with
   */
  constructor({ post, send, close }) {
    this.#before = post ?? { title: "", text: "", admin_only: false };
    this.send = send;
    this.close = close;
    const [save, cancel] = this.#form.querySelectorAll("button");
    if (post) save.textContent = "Save";
    cancel.hidden = !close;
    cancel.addEventListener("click", () => close());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#reset();
  }

  get element() {
    return this.#form;
  }

  focus() {
    this.#form.title.focus();
  }

  /** Somebody has created or changed a post; perhaps it was this form. */
  told(data) {
    if (!this.#sent || !Object.entries(this.#sent).every(([name, value]) => data[name] === value)) return;
    this.#answered();
    if (this.close) this.close();
    else this.#reset();
  }

  /** The server says what is wrong. */
  refused(errors) {
    this.#answered();
    this.#show(errors);
  }

  /** The connection is lost: whether what was sent has arrived, nobody knows. */
  lost() {
    if (this.#sent) this.refused({ __all__: [NO_ANSWER] });
  }

  get isWaiting() {
    return this.#sent !== null;
  }

  #submit() {
    if (this.#sent) return;
    const { title, text, admin_only } = this.#form.elements;
    const entered = { title: title.value.trim(), text: text.value.trim(), admin_only: admin_only.checked };
    // Only what was changed is sent, so that what others change meanwhile is not undone.
    const data = this.close ? changes(this.#before, entered) : entered;
    this.#show({});
    if (this.close && !Object.keys(data).length) return this.close(); // nothing was changed
    if (!this.send(data)) {
      this.#show({ __all__: [NO_CONNECTION] });
      return;
    }
    this.#sent = data;
    this.#form.classList.add("is-waiting");
    this.#timer = setTimeout(() => this.lost(), ANSWER_WITHIN);
  }

  #answered() {
    clearTimeout(this.#timer);
    this.#sent = null;
    this.#form.classList.remove("is-waiting");
  }

  #reset() {
    const { title, text, admin_only } = this.#form.elements;
    title.value = this.#before.title;
    text.value = this.#before.text;
    admin_only.checked = this.#before.admin_only;
  }

  /** Show what is wrong, beside the field where there is one. */
  #show(errors) {
    const rest = Object.entries(errors).flatMap(([name, texts]) => (name in this.#before ? [] : texts));
    for (const place of this.#form.querySelectorAll("[data-field]")) {
      const { field } = place.dataset;
      place.textContent = (field === "__all__" ? rest : (errors[field] ?? [])).join(" ");
      this.#form.elements[field]?.setAttribute("aria-invalid", String(field in errors));
    }
  }
}

function changes(before, after) {
  return Object.fromEntries(Object.entries(after).filter(([name, value]) => value !== before[name]));
}
