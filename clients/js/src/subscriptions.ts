/** The groups that somebody listens to. The server forgets them with the socket, so each new one is told again. */

import { BadFrame, ClientClosed, ConnectionLost } from "./errors.ts";
import { call, type Handler } from "./events.ts";
import type { Frame, Requests } from "./requests.ts";

/** What the application calls a group: its subscribe handler knows what is in it. Usually a type and an id. */
export type GroupObject = Readonly<Record<string, unknown>>;

/** A change that a group is told of. */
export interface Push<Content = unknown> {
  /** `create`, `update` or `delete`. */
  type: string;
  /** The name by which the server knows the group. */
  group: string;
  object: Content;
}

interface Subscription {
  group: GroupObject;
  name: string;
  // An object for each listener, since one function may listen twice.
  listeners: Set<{ handler: Handler<Push> }>;
  /** Settled when the server has answered. */
  ready: Promise<void>;
  /** Whether the server has agreed to it on some connection, and is not being asked. */
  isAgreed: boolean;
  asking: AbortController;
}

// The order of the keys means nothing.
function keyOf(group: GroupObject): string {
  return JSON.stringify(Object.entries(group).sort());
}

export class Subscriptions {
  #requests: Requests;
  #failed: (error: unknown) => void;
  #byGroup = new Map<string, Subscription>();
  // Two groups of the application may be one to the server.
  #byName = new Map<string, Set<Subscription>>();

  constructor(requests: Requests, failed: (error: unknown) => void) {
    this.#requests = requests;
    this.#failed = failed;
  }

  /** Listen to a group. Returns, once the server has agreed, what ends it. */
  async add(group: GroupObject, handler: Handler<Push>): Promise<() => Promise<void>> {
    const subscription = this.#byGroup.get(keyOf(group)) ?? this.#begin(group);
    const listener = { handler };
    const { listeners } = subscription;
    listeners.add(listener);
    try {
      await subscription.ready;
    } catch (error) {
      listeners.delete(listener);
      throw error;
    }
    return async () => {
      if (listeners.delete(listener) && !listeners.size) await this.#end(subscription);
    };
  }

  /** Tell a new connection of all groups; those that the server has not agreed to yet are among the requests anyway. */
  opened(): void {
    for (const subscription of this.#byGroup.values()) {
      if (subscription.isAgreed) this.#askAgain(subscription);
    }
  }

  push(push: Push): void {
    for (const { listeners } of this.#byName.get(push.group) ?? []) {
      for (const { handler } of [...listeners]) call(handler, push);
    }
  }

  #begin(group: GroupObject): Subscription {
    const listeners = new Set<{ handler: Handler<Push> }>();
    const asking = new AbortController();
    const subscription = { group, name: "", listeners, ready: Promise.resolve(), isAgreed: false, asking };
    this.#byGroup.set(keyOf(group), subscription);
    subscription.ready = this.#ask(subscription).catch((error) => {
      this.#forget(subscription);
      throw error;
    });
    return subscription;
  }

  #askAgain(subscription: Subscription): void {
    subscription.isAgreed = false;
    subscription.ready = this.#ask(subscription);
    subscription.ready.catch((error) => {
      // The next connection is asked once more: it may have been the database that was away, and not the permission.
      subscription.isAgreed = true;
      if (error instanceof ClientClosed || subscription.asking.signal.aborted) return;
      this.#failed(Object.assign(error, { group: subscription.group }));
    });
  }

  async #ask(subscription: Subscription): Promise<void> {
    // The answer is waited for, however long the connection takes, and asking twice does no harm.
    const options = { timeout: Number.POSITIVE_INFINITY, idempotent: true, signal: subscription.asking.signal };
    const agreed = (answer: unknown) => this.#agreed(subscription, answer as Frame | undefined);
    const answer = await this.#requests.request("subscribe", subscription.group, options, agreed);
    if (!subscription.isAgreed) throw new BadFrame(answer);
  }

  // At once, since the next frame may be a push already.
  #agreed(subscription: Subscription, answer: Frame | undefined): void {
    const name = answer?.group;
    if (typeof name !== "string") return;
    this.#unname(subscription);
    subscription.name = name;
    subscription.isAgreed = true;
    const known = this.#byName.get(name) ?? new Set();
    this.#byName.set(name, known.add(subscription));
  }

  async #end(subscription: Subscription): Promise<void> {
    this.#forget(subscription);
    subscription.asking.abort();
    // Without a connection there is nothing to leave.
    if (!this.#requests.isOpen) return;
    try {
      await this.#requests.request("unsubscribe", subscription.group);
    } catch (error) {
      if (!(error instanceof ConnectionLost || error instanceof ClientClosed)) throw error;
    }
  }

  #forget(subscription: Subscription): void {
    this.#byGroup.delete(keyOf(subscription.group));
    this.#unname(subscription);
  }

  #unname(subscription: Subscription): void {
    const known = this.#byName.get(subscription.name);
    if (known?.delete(subscription) && !known.size) this.#byName.delete(subscription.name);
  }
}
