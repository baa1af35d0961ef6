import type { Logger } from "./options.ts";
import type { BusStatus } from "./status.ts";
import { reasonOf, redact, textOf } from "./wrap-error.ts";

/**
 * Where everything that should not be silent is said: to the listeners of `onStatus`, and to the logger in one structured line.
 * Neither can break the bus: what they throw is dropped, because there is nobody left to tell.
 */
export class StatusBoard {
  readonly #listeners = new Set<(status: BusStatus) => void>();
  readonly #logger: Logger | undefined;
  readonly #bus: string;

  constructor(bus: string, logger: Logger | undefined) {
    this.#bus = bus;
    this.#logger = logger;
  }

  listen(listener: (status: BusStatus) => void): Disposable {
    const own = (status: BusStatus): void => listener(status); // the same function may listen twice
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  say(status: BusStatus): void {
    for (const listener of this.#listeners) quietly(() => listener(status));
  }

  log(level: keyof Logger, message: string, fields: Record<string, unknown> = {}): void {
    if (this.#logger !== undefined) quietly(() => this.#logger?.[level]({ bus: this.#bus, ...fields }, message));
  }
}

function quietly(work: () => unknown): void {
  try {
    const result = work();
    if (result instanceof Promise) result.catch(nobodyLeftToTell);
  } catch {
    nobodyLeftToTell();
  }
}

const nobodyLeftToTell = (): void => undefined;

/** The fields of an error for a log line; a code is enough to find the page. */
export function errorFields(error: unknown): Record<string, unknown> {
  const [name, code, stack] = [textOf(error, "name"), textOf(error, "code"), textOf(error, "stack")];
  return {
    error: name ?? typeof error,
    ...(code === undefined ? {} : { code }),
    reason: redact(reasonOf(error)),
    ...(stack === undefined ? {} : { stack: redact(stack) }),
  };
}
