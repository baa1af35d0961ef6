import type { Shared } from "./shared.ts";

/** How far an unordered group has looked at a stream: everything up to it is settled, or none of the group's. */
interface Seen {
  readonly first: number;
  readonly created: string;
  readonly seen: number;
}

export const seenKey = (group: string, stream: string): string => `f.${group}.${stream}`;

/**
 * A consumer's floor stands on the last message that was the group's; what retention drops behind it may be others'. So what was
 * looked at is written down now and then, and whoever finds more gone than that says so, once.
 */
export class SeenMark {
  readonly #shared: Shared;
  readonly #key: string;
  readonly #first: number;
  readonly #created: string;
  #seen = 0;
  #written = 0;
  #revision = 0;

  constructor(shared: Shared, group: string, first: number, stream: string, created: string) {
    this.#shared = shared;
    this.#key = seenKey(group, stream);
    this.#first = first;
    this.#created = created;
  }

  get seen(): number {
    return this.#seen;
  }

  reached(sequence: number): void {
    this.#seen = Math.max(this.#seen, sequence);
  }

  async read(): Promise<void> {
    const found = await this.#shared.bucket.getJson<Seen>(this.#key);
    this.#revision = found?.revision ?? 0;
    if (found?.value.first !== this.#first || found.value.created !== this.#created) return;
    this.#written = found.value.seen;
    this.reached(this.#written);
  }

  /** True: nobody else has said that everything up to there is gone. */
  async gone(sequence: number): Promise<boolean> {
    await this.read(); // another may have been here
    if (this.#seen >= sequence) return false;
    this.reached(sequence);
    return await this.write();
  }

  async write(): Promise<boolean> {
    if (this.#seen <= this.#written) return true;
    const value: Seen = { first: this.#first, created: this.#created, seen: this.#seen };
    const revision = await this.#shared.bucket.putJson(this.#key, value, { expect: this.#revision });
    if (revision === undefined) return false;
    this.#revision = revision;
    this.#written = this.#seen;
    return true;
  }
}
