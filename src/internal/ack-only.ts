import { DriverError } from "./driver-error.ts";

const refusals = {
  direct: ["a direct message can only be acknowledged", "a direct message has no notes"],
  tail: ["a tail's messages can only be acknowledged", "a tail's messages have no notes"],
} as const;

/** The half of a `Consumption` whose messages are stored for nobody: there is nothing to settle, to note or to write. */
export abstract class AckOnly {
  readonly #driver: string;
  readonly #of: keyof typeof refusals;

  constructor(driver: string, of: keyof typeof refusals) {
    this.#driver = driver;
    this.#of = of;
  }

  settle(): Promise<readonly ("done" | "stale" | "unknown")[]> {
    return this.#refuse(0);
  }

  record(): Promise<readonly ("done" | "stale")[]> {
    return this.#refuse(1);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  #refuse(what: 0 | 1): Promise<never> {
    return Promise.reject(new DriverError("BUS_UNSUPPORTED", `${this.#driver}: ${refusals[this.#of][what]}`));
  }
}
