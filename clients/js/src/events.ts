/** Events by name, with the type of what each handler gets. */

/** Takes what an event tells. */
export type Handler<Detail> = (detail: Detail) => void;

/** Call a handler. One that throws spoils neither the caller nor the other handlers; the page's `error` event has it. */
export function call<Detail>(handler: Handler<Detail>, detail: Detail): void {
  try {
    handler(detail);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

export class Emitter<Events> {
  // For each event its handlers, and whether each is for one time only.
  #handlers = new Map<keyof Events, Map<unknown, boolean>>();

  /** Call `handler` at each such event. Returns a function that ends it. */
  on<Name extends keyof Events>(name: Name, handler: Handler<Events[Name]>): () => void {
    return this.#add(name, handler, false);
  }

  /** Call `handler` at the next such event only. Returns a function that ends it before. */
  once<Name extends keyof Events>(name: Name, handler: Handler<Events[Name]>): () => void {
    return this.#add(name, handler, true);
  }

  /** Call `handler` no longer. */
  off<Name extends keyof Events>(name: Name, handler: Handler<Events[Name]>): void {
    this.#handlers.get(name)?.delete(handler);
  }

  /** Call the handlers of an event. Returns whether there were any. */
  protected emit<Name extends keyof Events>(name: Name, detail: Events[Name]): boolean {
    // A copy: a handler may add itself again.
    const handlers = [...(this.#handlers.get(name) ?? [])];
    for (const [handler, isOnce] of handlers) {
      if (isOnce) this.#handlers.get(name)?.delete(handler);
      call(handler as Handler<Events[Name]>, detail);
    }
    return handlers.length > 0;
  }

  #add<Name extends keyof Events>(name: Name, handler: Handler<Events[Name]>, isOnce: boolean): () => void {
    const handlers = this.#handlers.get(name) ?? new Map();
    this.#handlers.set(name, handlers.set(handler, isOnce));
    return () => this.off(name, handler);
  }
}
