import { boolean, checkOptions, integer, invalidOption, milliseconds } from "../option-check.ts";
import { afterBytes, type DirectionName, type Traps } from "./fault-traps.ts";

/** What one direction of a line suffers, all of it at once. */
export interface FaultOptions {
  /** Milliseconds by which everything arrives later, in its order. @default 0 */
  readonly latencyMs?: number | undefined;
  /** Up to so many milliseconds more or less than `latencyMs`, drawn for each packet. @default 0 */
  readonly jitterMs?: number | undefined;
  /** Of each connection. 0 holds everything until that is taken off, and then it arrives. @default no limit */
  readonly bytesPerSecond?: number | undefined;
  /** Writes of at most so many bytes, a turn of the event loop apart. @default no limit */
  readonly sliceBytes?: number | undefined;
  /**
   * True: takes everything and passes nothing on, no end either. Bytes so lost are lost for good: taking it off resets the
   * connections that lost some. @default false
   */
  readonly blackHole?: boolean | undefined;
  /** Milliseconds by which the end of a connection arrives later than its data. @default 0 */
  readonly closeDelayMs?: number | undefined;
}

const shape = {
  latencyMs: milliseconds,
  jitterMs: milliseconds,
  bytesPerSecond: integer(0),
  sliceBytes: integer(1),
  blackHole: boolean,
  closeDelayMs: milliseconds,
};

/** One direction of a line, over all its connections: those that are open and those to come. */
export interface FaultDirection {
  /** Bytes that came in at the proxy. */
  readonly receivedBytes: number;
  /** Bytes that went out on the other side. */
  readonly passedBytes: number;
  /** Bytes that will never go out: of black holes, and of connections that were reset or half open. */
  readonly lostBytes: number;
  /** How many writes it took to pass them on. */
  readonly writes: number;
  /** These faults from now on, and none that were set before; what waits already is held to them too. */
  set(faults: FaultOptions): void;
  /** No faults from now on. */
  clear(): void;
  /**
   * Resets, once, the first connection that carries so many more bytes this way: the last of them still arrives. Resolves with
   * true when that has happened, with false when the proxy was healed or closed before.
   */
  resetAfter(bytes: number): Promise<boolean>;
}

/** As its pipes see it. */
export class OneDirection implements FaultDirection {
  readonly name: DirectionName;
  faults: FaultOptions = {};
  receivedBytes = 0;
  passedBytes = 0;
  lostBytes = 0;
  writes = 0;
  /** Called after each change of the faults. */
  readonly changed: Set<() => void> = new Set();
  readonly #traps: Traps;

  constructor(name: DirectionName, traps: Traps) {
    this.name = name;
    this.#traps = traps;
  }

  set(faults: FaultOptions): void {
    checkOptions("faults", faults, shape);
    this.faults = { ...faults };
    for (const look of [...this.changed]) look();
  }

  clear(): void {
    this.set({});
  }

  resetAfter(bytes: number): Promise<boolean> {
    const problem = integer(0)(bytes);
    if (problem !== undefined) throw invalidOption(`resetAfter: "bytes" ${problem}`);
    return this.#traps.arm(afterBytes(this.name, bytes));
  }
}
