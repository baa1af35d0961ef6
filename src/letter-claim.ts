import type { Core } from "./core.ts";
import type { DriverConnection } from "./driver.ts";
import { asked } from "./stored-letter.ts";
import type { Broker } from "./supervisor.ts";
import type { WheelTimer } from "./timer-wheel.ts";

export const claimMs = 30_000;

/** Letters of one operator: held for as long as it takes, removed turn by turn, and what is left given up. */
export class LetterClaim {
  readonly #core: Pick<Core, "ids" | "wheel">;
  readonly #broker: Broker;
  readonly #token: string;
  #held = new Set<string>();
  #timer: WheelTimer | undefined;
  #over = false;
  /** Stored, and to be removed with the next call. */
  #stored: string[] = [];
  #removing: Promise<void> | undefined;

  constructor(core: Pick<Core, "ids" | "wheel">, broker: Broker) {
    this.#core = core;
    this.#broker = broker;
    this.#token = core.ids.next();
  }

  async take(ids: readonly string[]): Promise<readonly string[]> {
    const claimed = await this.#claim("claiming dead letters", ids, claimMs);
    this.#held = new Set(claimed);
    this.#renewLater();
    return claimed;
  }

  /** One call at a time; what is stored meanwhile goes with the next. */
  async remove(id: string): Promise<void> {
    this.#stored.push(id);
    await this.#removing?.catch(() => undefined); // theirs, who wait for it
    await (this.#removing ??= this.#removeStored());
  }

  async giveUp(): Promise<void> {
    this.#over = true;
    this.#timer?.cancel();
    if (this.#held.size === 0) return;
    await Promise.allSettled([this.#claim("giving claims up", [...this.#held], 0)]); // else they end by themselves
  }

  async #removeStored(): Promise<void> {
    const ids = this.#stored;
    this.#stored = [];
    try {
      await asked(this.#broker, "removing dead letters", ({ admin }) => admin.removeLetters(ids, this.#token));
      for (const id of ids) this.#held.delete(id);
    } finally {
      this.#removing = undefined;
    }
  }

  #renewLater(): void {
    this.#timer = this.#core.wheel.set(claimMs / 3, () => {
      const renewed = this.#claim("renewing claims", [...this.#held], claimMs).catch(() => undefined); // tried again below
      void renewed.then(() => void (this.#over || this.#renewLater()));
    });
  }

  #claim(what: string, ids: readonly string[], leaseMs: number): Promise<readonly string[]> {
    const ask = ({ admin }: DriverConnection): Promise<readonly string[]> =>
      admin.claimLetters(ids, this.#token, leaseMs);
    return asked(this.#broker, what, ask);
  }
}
