// A generation on the page.

import { Bar } from "./bar.js";

const WORDS = {
  pending: "Waiting for its turn",
  queued: "Waiting for its turn",
  processing: "The model is at work",
  downloading: "Almost there",
  completed: "Done",
  failed: "This did not work",
  cancelled: "Cancelled",
};

export const hasEnded = (status) => ["completed", "failed", "cancelled"].includes(status);

export class Card {
  /** Its place in the list. */
  element = document.getElementById("card").content.firstElementChild.cloneNode(true);
  cancel = this.#part(".cancel");
  again = this.#part(".again");
  #bar;
  #prompt;
  #isCancelling;

  constructor({ id, prompt, model, created_at }) {
    this.id = id;
    this.#prompt = prompt;
    this.#part(".prompt").textContent = prompt;
    const time = new Date(created_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    this.#part(".made").textContent = `${model.split("/").at(-1)}, ${time}`;
    this.begin();
  }

  /** Also again, after its end: a new life begins at 0. */
  begin() {
    this.#bar = new Bar(this.#part("progress"));
    this.#isCancelling = false;
    this.show({ status: "queued", progress: 0, images: [] });
  }

  show(state) {
    const { status, images, error_message } = state;
    this.element.dataset.status = status;
    this.#bar.show(state);
    if (hasEnded(status) || !this.#isCancelling) this.say(status === "failed" && error_message || WORDS[status]);
    this.cancel.hidden = hasEnded(status) || this.#isCancelling;
    this.again.hidden = status !== "failed" && status !== "cancelled";
    this.#part("progress").hidden = hasEnded(status);
    this.#part(".pictures").replaceChildren(...images.map((image) => picture(image, this.#prompt)));
  }

  /** What is under way until that has ended. */
  cancelling() {
    this.#isCancelling = true;
    this.cancel.hidden = true;
    this.say("Cancelling");
  }

  /** (What is said already is not read out again.) */
  say(words) {
    const status = this.#part(".status");
    if (status.textContent !== words) status.textContent = words;
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }
}

function picture({ public_url, width, height }, prompt) {
  const link = document.createElement("a");
  const image = document.createElement("img");
  link.href = image.src = public_url;
  image.alt = prompt;
  if (width && height) Object.assign(image, { width, height });
  link.append(image);
  return link;
}
