import type { Capabilities, ConnectContext, Driver, DriverConnection } from "./driver.ts";
import { BusError, isBusError } from "./errors.ts";

/** A driver that a url names: its module, and the client library behind it, are loaded by the first connect. */
export class LazyDriver implements Driver {
  readonly #scheme: string;
  readonly #load: () => Promise<Driver>;
  #driver: Driver | undefined;

  constructor(scheme: string, load: () => Promise<Driver>) {
    this.#scheme = scheme;
    this.#load = load;
  }

  get name(): string {
    return this.#driver?.name ?? this.#scheme;
  }

  get capabilities(): Capabilities {
    if (this.#driver === undefined)
      throw new BusError("BUS_CONNECTION", `the driver "${this.#scheme}" is not loaded yet`);
    return this.#driver.capabilities;
  }

  async connect(context: ConnectContext): Promise<DriverConnection> {
    this.#driver ??= await this.#load();
    return this.#driver.connect(context);
  }

  classify(error: unknown): { readonly code: string; readonly retryable: boolean } {
    if (isBusError(error)) return error;
    if (this.#driver !== undefined) return this.#driver.classify(error);
    // thrown by the driver's own factory, before there was a driver to ask: its options
    const { code } = Object(error) as { readonly code?: unknown };
    return { code: typeof code === "string" ? code : "BUS_SERVER", retryable: false };
  }
}
