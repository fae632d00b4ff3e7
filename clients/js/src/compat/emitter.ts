/** Node's event emitter, as far as users of `RohrpostClient` know it: handlers take any arguments. */

// biome-ignore lint/suspicious/noExplicitAny: whoever listens knows what the event tells
export type Listener = (...details: any[]) => void;

export class EventEmitter {
  #listeners = new Map<string, { listener: Listener; isOnce: boolean }[]>();

  on(name: string, listener: Listener): this {
    return this.#add(name, listener, false);
  }

  once(name: string, listener: Listener): this {
    return this.#add(name, listener, true);
  }

  off(name: string, listener: Listener): this {
    const listeners = this.#listeners.get(name) ?? [];
    const index = listeners.findIndex((entry) => entry.listener === listener);
    if (index >= 0)
      this.#listeners.set(
        name,
        listeners.filter((_, other) => other !== index),
      );
    return this;
  }

  emit(name: string, ...details: unknown[]): boolean {
    const listeners = this.#listeners.get(name) ?? [];
    for (const { listener, isOnce } of listeners) {
      if (isOnce) this.off(name, listener);
      listener(...details);
    }
    return listeners.length > 0;
  }

  #add(name: string, listener: Listener, isOnce: boolean): this {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), { listener, isOnce }]);
    return this;
  }
}
