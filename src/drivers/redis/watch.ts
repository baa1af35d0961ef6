import type { Clock } from "../../clock.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { replyWord } from "./errors.ts";
import type { Link } from "./link.ts";
import type { ResolvedOptions } from "./options.ts";

const longestPauseMs = 2_000;
/** When this process stood still, its timers come before what came meanwhile: that is read first. */
const readMs = 50;

/** Nothing at all may come from a server that is paused, or through a line that is dead: what is silent for too long is lost. */
export class Watch {
  readonly #clock: Clock;
  readonly #options: ResolvedOptions;
  readonly #links: () => readonly (Link | undefined)[];
  readonly #lost: (error: unknown) => void;
  #next: Disposable | undefined = undefined;
  readonly #waiting = new Set<Disposable>();

  constructor(
    clock: Clock,
    options: ResolvedOptions,
    links: () => readonly (Link | undefined)[],
    lost: (error: unknown) => void,
  ) {
    this.#clock = clock;
    this.#options = options;
    this.#links = links;
    this.#lost = lost;
  }

  start(): void {
    this.#next = this.#clock.after(Math.min(this.#options.leaseMs / 3, longestPauseMs), () => {
      for (const link of this.#links()) if (link !== undefined) void this.#ask(link);
      this.start();
    });
  }

  stop(): void {
    this.#next?.[Symbol.dispose]();
    for (const timer of this.#waiting) timer[Symbol.dispose]();
    this.#waiting.clear();
  }

  async #ask(link: Link): Promise<void> {
    const { socketTimeoutMs } = this.#options;
    let timer: Disposable | undefined;
    const wait = (ms: number, over: () => void): void => {
      if (timer !== undefined) this.#waiting.delete(timer);
      timer = this.#clock.after(ms, over);
      this.#waiting.add(timer);
    };
    wait(socketTimeoutMs, () =>
      wait(readMs, () => {
        const message = `redis: no answer from the server within ${socketTimeoutMs} ms`;
        this.#fail(link, new DriverError("BUS_TIMEOUT", message, { retryable: true }));
      }),
    );
    try {
      await link.command(["PING"]);
    } catch (error) {
      if (replyWord(error) === undefined) this.#fail(link, error);
    } finally {
      timer![Symbol.dispose]();
      this.#waiting.delete(timer!);
    }
  }

  /** It may have been replaced meanwhile. */
  #fail(link: Link, error: unknown): void {
    if (this.#links().includes(link)) this.#lost(error);
  }
}
