// A generation as its user follows it: told by Realtime, and looked at where that is silent.

import { processJobs } from "./client.js";

/** Milliseconds from one look to the next: alone, and beside Realtime, which may lose a message. */
const ALONE = 2_000;
const BESIDE_REALTIME = 15_000;
/** Milliseconds until a channel that was closed is opened again. */
const REOPEN = 5_000;
/** What is no answer yet is asked for so often; a refusal of a look is one if it comes so often in a row. */
const TRIES = 3;

const STATUSES = ["queued", "processing", "downloading", "completed", "failed", "cancelled"];
const ENDS = ["completed", "failed", "cancelled"];

export function generate(supabase, { prompt, model_id, ...options }) {
  // With a key of its own, a request whose answer is lost can be made again.
  const asked = { ...options, idempotency_key: options.idempotency_key ?? randomKey() };
  return new Following(supabase, request(processJobs(supabase), prompt, model_id, asked));
}

export function follow(supabase, id) {
  return new Following(supabase, Promise.resolve(id));
}

async function request(jobs, prompt, modelId, options) {
  for (let tries = 1;; tries++) {
    try {
      return (await jobs.requestGeneration(prompt, modelId, options)).id;
    } catch (error) {
      if (tries === TRIES || !passes(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1_000 * tries));
    }
  }
}

/** Among those of one user. (There is not a `crypto` on every phone.) */
function randomKey() {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
}

/** True: no answer, or one that says nothing of what was asked. */
function passes({ status, code }) {
  return !status || ((status === 408 || status === 429 || status >= 500) && !code?.startsWith("PT"));
}

class Following {
  #supabase;
  #jobs;
  #id;
  #last = null;
  #unread = null;
  #failure = null;
  #begun = false;
  #ended = false;
  #waiting = [];
  #looks = 0;
  #refusals = 0;
  #timer;
  #topic = null;

  /** @param id a promise */
  constructor(supabase, id) {
    this.#supabase = supabase;
    this.#jobs = processJobs(supabase);
    this.id = id;
    // Whoever does not wait for the id hears of it from next().
    id.catch(() => {});
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async next() {
    this.#begin();
    while (!this.#unread && !this.#failure && !this.#ended) {
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
    const [value, failure] = [this.#unread, this.#failure];
    this.#unread = null;
    if (value) return { value, done: false };
    this.#failure = null;
    if (failure) throw failure;
    return { value: undefined, done: true };
  }

  return(value) {
    this.#end();
    this.#unread = this.#failure = null;
    return Promise.resolve({ value, done: true });
  }

  async cancel() {
    return await this.#jobs.cancelGeneration(await this.id);
  }

  async #begin() {
    if (this.#begun || this.#ended) return;
    this.#begun = true;
    try {
      this.#id = String(await this.id);
    } catch (error) {
      return this.#fail(error);
    }
    this.look();
  }

  /** For its topic too: where that has begun or ceased to tell, a look closes the gap. */
  async look() {
    const look = ++this.#looks;
    clearTimeout(this.#timer);
    try {
      const state = await this.#jobs.generation(this.#id);
      if (!state) return this.#fail(new Error(`there is no generation ${this.#id}, or its jobs are not kept any more`));
      this.#refusals = 0;
      this.tell(state);
      if (!this.#ended && !this.#topic) {
        this.#topic = topicOf(this.#supabase, state.user_id);
        this.#topic.add(this);
      }
    } catch (error) {
      if (!passes(error) && ++this.#refusals === TRIES) {
        return this.#fail(error);
      }
    }
    if (this.#ended || look !== this.#looks) return;
    this.#timer = setTimeout(() => this.look(), this.#topic?.isTold ? BESIDE_REALTIME : ALONE);
  }

  /** For its topic too: a state, unless one that is older than the last. */
  tell({ user_id: _, ...told }) {
    if (told.id !== this.#id || this.#ended) return;
    const state = { images: [], ...told };
    const rank = (state) => STATUSES.indexOf(state.status) * 1_000 + state.progress;
    if (this.#last && rank(state) <= rank(this.#last)) return;
    this.#last = this.#unread = state;
    if (ENDS.includes(state.status)) this.#end();
    this.#wake();
  }

  #fail(error) {
    if (this.#ended) return;
    this.#failure = error;
    this.#end();
  }

  #end() {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#topic?.delete(this);
    this.#wake();
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** By client and user: the one channel on which Realtime tells all who follow. */
const topics = new WeakMap();

function topicOf(supabase, userId) {
  if (!topics.has(supabase)) topics.set(supabase, new Map());
  const ofClient = topics.get(supabase);
  if (!ofClient.has(userId)) {
    ofClient.set(userId, new Topic(supabase, `process-jobs:${userId}`));
  }
  return ofClient.get(userId);
}

class Topic {
  /** True: what happens is told. */
  isTold = false;
  #supabase;
  #name;
  #followers = new Set();
  #channel = null;
  #change = Promise.resolve();

  constructor(supabase, name) {
    this.#supabase = supabase;
    this.#name = name;
  }

  add(follower) {
    this.#followers.add(follower);
    this.#openOrClose();
  }

  delete(follower) {
    this.#followers.delete(follower);
    this.#openOrClose();
  }

  /** One after the other: a channel that is being closed cannot be opened. */
  #openOrClose() {
    this.#change = this.#change.then(async () => {
      const channel = this.#channel;
      if (this.#followers.size > 0 && !channel) {
        await this.#open();
      } else if (this.#followers.size === 0 && channel) {
        this.#channel = null;
        this.isTold = false;
        await this.#supabase.removeChannel(channel);
      }
      // Where Realtime cannot be had, looks do.
    }).catch(() => {});
  }

  async #open() {
    // (One of the app's own takes no second subscription.)
    if (this.#supabase.getChannels().some(({ topic }) => topic === `realtime:${this.#name}`)) return;
    await this.#supabase.realtime.setAuth();
    const channel = this.#supabase.channel(this.#name, { config: { private: true } });
    this.#channel = channel;
    channel.on("broadcast", { event: "generation" }, ({ payload }) => {
      for (const follower of this.#followers) follower.tell(payload);
    });
    channel.subscribe((status) => this.#became(channel, status));
  }

  #became(channel, status) {
    if (channel !== this.#channel) return;
    this.isTold = status === "SUBSCRIBED";
    if (status === "CLOSED") {
      this.#channel = null;
      if (this.#followers.size > 0) {
        setTimeout(() => this.#openOrClose(), REOPEN);
      }
    }
    for (const follower of this.#followers) follower.look();
  }
}
