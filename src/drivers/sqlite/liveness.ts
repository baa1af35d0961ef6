import type { Clock } from "../../clock.ts";
import { isDead, ownIdentity, type ProcessIdentity } from "./process-identity.ts";

export interface LivingRow extends ProcessIdentity {
  readonly id: number;
  /** Moves with every renewal. */
  readonly beat: number;
}

/**
 * Who shares a file with us and who is gone. A lease is a beat that moves: somebody is taken for gone when its process is dead,
 * or when we saw the same beat for a whole lease by our own steady clock. No wall clocks are compared.
 */
export class Liveness {
  readonly self: ProcessIdentity = ownIdentity();
  readonly #clock: Clock;
  readonly #leaseMs: number;
  /** When each beat was first seen. */
  readonly #beats = new Map<number, { readonly beat: number; readonly since: number }>();

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  isDead(row: LivingRow): boolean {
    return isDead(row, this.self);
  }

  /** Of all others, those that can't be waited for any longer. */
  gone(rows: readonly LivingRow[]): number[] {
    const ids = new Set(rows.map(({ id }) => id));
    for (const id of this.#beats.keys()) if (!ids.has(id)) this.#beats.delete(id);
    return rows.filter((row) => this.isDead(row) || this.#silent(row)).map(({ id }) => id);
  }

  #silent({ id, beat }: LivingRow): boolean {
    const known = this.#beats.get(id);
    const now = this.#clock.ticks();
    if (known?.beat === beat) return now - known.since > this.#leaseMs;
    this.#beats.set(id, { beat, since: now });
    return false;
  }
}
