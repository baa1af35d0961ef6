import { classify } from "./errors.ts";
import { encodeListeners, type Listener } from "./direct-table.ts";
import { listenScript } from "./scripts/direct.ts";
import type { Session } from "./session.ts";

/** Tells all processes what the consumers of this one listen to, and that it lives. */
export class Presence {
  readonly #session: Session;
  readonly #listeners = new Map<number, Listener>();
  readonly #listening: Disposable;
  #timer: Disposable | undefined;
  #saying: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #said = false;

  constructor(session: Session) {
    this.#session = session;
    this.#listening = session.listen({ up: () => this.#again(), flushed: () => this.#again() });
  }

  /** Takes the place of what it said before; resolves when nobody chooses without it any more. */
  set(listener: Listener): Promise<void> {
    this.#listeners.set(listener.number, listener);
    return this.#say();
  }

  delete(number: number): Promise<void> {
    return this.#listeners.delete(number) ? this.#say() : Promise.resolve();
  }

  async close(): Promise<void> {
    this.#listening[Symbol.dispose]();
    this.#listeners.clear();
    this.#timer?.[Symbol.dispose]();
    await this.#say().catch(() => undefined); // then it is gone with its lease
  }

  /** One script at a time; the next says whatever changed meanwhile. */
  #say(): Promise<void> {
    this.#next ??= this.#saying
      .catch(() => undefined) // who asked for it was told
      .then(() => {
        this.#saying = this.#next!;
        this.#next = undefined;
        return this.#sayNow();
      });
    return this.#next;
  }

  async #sayNow(): Promise<void> {
    const { isUp, options, process } = this.#session;
    const json = encodeListeners([...this.#listeners.values()]);
    this.#timer?.[Symbol.dispose]();
    this.#timer = json === "" ? undefined : this.#session.clock.after(options.leaseMs / 3, () => this.#again());
    // While the connection is away there is nothing to wait for: what is wanted is said when it is back.
    if (!isUp || (json === "" && !this.#said)) return;
    this.#said = json !== "";
    try {
      await this.#session.run(listenScript, [process, String(options.leaseMs), json]);
    } catch (error) {
      const { code, retryable } = classify(error);
      if (!retryable && code !== "BUS_NOT_FOUND") throw error;
    }
  }

  #again(): void {
    if (this.#listeners.size > 0) this.#say().catch(() => undefined); // with the next beat
  }
}
