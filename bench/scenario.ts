import type { Measured } from "./measure.ts";
import type { Settings } from "./side.ts";

export interface Budget {
  readonly what: string;
  /** The figure in words, and whether it is good enough. */
  readonly judge: (measured: Measured) => { readonly figure: string; readonly met: boolean };
}

export interface Scenario {
  /** Begins with what is done: publish, consume, latency or request. */
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** Files under `ours/` and `bare/`. */
  readonly ours: string;
  readonly bare: string;
  readonly settings: Omit<Settings, "driver" | "directory" | "bytes" | "url">;
  readonly rounds?: number;
  /** What the bare side reached by itself, of 250 bytes that were ready. */
  readonly reference?: number;
  readonly budgets: readonly Budget[];
  /** What the bare side is, or what the figure needs to be understood. */
  readonly about: string;
  /** A command that both sides run under. */
  readonly wrapper?: readonly string[];
}
