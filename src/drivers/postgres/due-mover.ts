import { Alarm } from "../../internal/rows/alarm.ts";
import type { Session } from "./session.ts";

const atOnce = 500;
/** So that not all processes come in the same moment. */
const chanceMs = 10;

/** Puts what was published for later into its stream when it is due. Whichever process is there does it. */
export class DueMover {
  readonly #session: Session;
  readonly #alarm: Alarm;
  #poll: Disposable | undefined;
  #moving = false;
  #again = false;
  #closed = false;

  constructor(session: Session) {
    this.#session = session;
    this.#alarm = new Alarm(session.clock, () => void this.#move());
    session.listen({ up: () => void this.#move() });
    this.#pollLater();
    void this.#move();
  }

  /** Something is due then, by our clock. */
  at(time: number): void {
    if (!this.#closed) this.#alarm.set(time + this.#session.clock.random() * chanceMs);
  }

  close(): void {
    this.#closed = true;
    this.#alarm.clear();
    this.#poll?.[Symbol.dispose]();
  }

  #pollLater(): void {
    this.#poll = this.#session.later(Math.max(1_000, this.#session.pollMs), () => {
      void this.#move();
      this.#pollLater();
    });
  }

  async #move(): Promise<void> {
    this.#again = true;
    if (this.#moving) return;
    this.#moving = true;
    try {
      while (this.#again && this.#session.isUp && !this.#closed) {
        this.#again = false;
        const [row] = await this.#session.desk.query("SELECT * FROM {1:move_due}($1)", [String(atOnce)]);
        const [moved, next, streams] = row ?? [];
        for (const stream of streams?.slice(1, -1).split(",") ?? [])
          if (stream !== "") this.#session.announce("n", stream);
        if (Number(moved) === atOnce) this.#again = true;
        else if (next !== null && next !== undefined) this.at(this.#session.clock.now() + Math.max(1, Number(next)));
      }
    } catch {
      // with the next look
    } finally {
      this.#moving = false;
    }
  }
}
