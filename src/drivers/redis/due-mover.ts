import { moveScript } from "./scripts/move.ts";
import type { Session } from "./session.ts";

/** Not all processes at once. */
const chanceMs = 20;
const afterFailureMs = 1_000;

/** One timer for the earliest of what was published for later, in whichever lane: then it is moved into its partition. */
export class DueMover implements Disposable {
  readonly #session: Session;
  readonly #registrations: readonly Disposable[];
  #timer: Disposable | undefined = undefined;
  #at = Infinity;
  #moving = false;
  /** The time came while a move was under way, which may have looked before. */
  #again = false;
  #over = false;

  constructor(session: Session) {
    this.#session = session;
    this.#registrations = [
      session.onEvent("d", (ms) => this.#arm(Number(ms))),
      session.listen({ up: () => this.#arm(0), down: () => this.#disarm() }),
    ];
    this.#arm(0);
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#disarm();
    for (const registration of this.#registrations) registration[Symbol.dispose]();
  }

  #arm(ms: number): void {
    const { clock } = this.#session;
    const at = clock.ticks() + ms;
    if (this.#over || at >= this.#at) return;
    this.#disarm();
    this.#at = at;
    this.#timer = clock.after(ms + clock.random() * chanceMs, () => void this.#move());
  }

  #disarm(): void {
    this.#timer?.[Symbol.dispose]();
    this.#at = Infinity;
  }

  async #move(): Promise<void> {
    this.#at = Infinity;
    if (this.#over || !this.#session.isUp) return;
    this.#again = this.#moving;
    if (this.#moving) return;
    this.#moving = true;
    try {
      const next = String(await this.#session.run(moveScript, []));
      if (next !== "") this.#arm(Number(next));
    } catch {
      // not connected: `up` comes; a full server: some day it takes it
      this.#arm(afterFailureMs);
    } finally {
      this.#moving = false;
      if (this.#again) this.#arm(0);
    }
  }
}
