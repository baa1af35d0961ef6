import type { Api } from "./api.ts";
import type { StreamState } from "./api-types.ts";
import type { Bucket } from "./bucket.ts";
import type { Definitions } from "./definition.ts";
import { floorOf } from "./floors.ts";
import type { GroupDefinition } from "./group-plan.ts";
import { readersOf } from "./group-readers.ts";
import type { Members } from "./members.ts";
import type { Session } from "./session.ts";
import type { Streams } from "./streams.ts";

interface Parts {
  readonly session: Session;
  readonly api: Api;
  readonly bucket: Bucket;
  readonly streams: Streams;
  readonly members: Members;
  readonly definitions: Definitions;
}

/** Since when a group has had no member, by the wall clock of who noticed it. */
export const idleMark = (group: string): string => `i.${group}`;
const restMs = 50;

/** What every group has handled makes room where a stream is full: NATS itself refuses, or drops what nobody has handled. */
export class Retention {
  readonly #parts: Parts;
  readonly #full = new Set<string>();
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  close(): void {
    this.#closed = true;
  }

  /** A publish was refused: makes some room in the background, a tenth of the stream at most. */
  full(stream: string): void {
    if (this.#full.has(stream) || this.#closed) return;
    if (this.#parts.session.options.attach.has(stream)) return; // others than our groups may read it
    this.#full.add(stream);
    void this.#trim(stream, ({ first_seq, last_seq }) => first_seq + Math.floor((last_seq - first_seq) / 10))
      .catch(() => 0) // the next refusal tries again
      .then(() => void this.#parts.session.clock.after(restMs, () => this.#full.delete(stream)));
  }

  /** Takes away what every group has handled up to a sequence. How many went. */
  trim(stream: string, upTo: number): Promise<number> {
    return this.#trim(stream, () => upTo);
  }

  /** It has a member: nothing is held against it any more. */
  joined(group: string): void {
    void this.#unmark(group);
  }

  /** Notes which groups have no member, and forgets it of those that have. */
  async mark(): Promise<void> {
    const { bucket, definitions } = this.#parts;
    const marks = new Set((await bucket.list("i.>", true)).map(({ key }) => key));
    for (const definition of await definitions.list()) {
      const key = idleMark(definition.group);
      if (this.#hasMembers(definition)) {
        if (marks.has(key)) await bucket.delete(key);
      } else if (!marks.has(key)) await this.#noted(definition);
    }
  }

  async #trim(stream: string, upTo: (state: StreamState) => number): Promise<number> {
    const { api, definitions, streams } = this.#parts;
    const found = await streams.look(stream);
    if (found === undefined) return 0;
    const { facts, native } = found;
    const { first_seq: first, last_seq: last } = native.state;
    let floor = Math.min(upTo(native.state), last);
    const groups = (await definitions.list()).filter(({ reads }) => reads.some((read) => read.stream === stream));
    for (const definition of groups) {
      if (floor < first) return 0;
      if (definition.live || (await this.#isIdle(definition, facts.idleGroupMs))) continue;
      for (const reader of await readersOf(this.#parts, definition))
        if (reader.stream === stream) floor = Math.min(floor, await floorOf(this.#parts, reader, floor));
    }
    if (floor < first) return 0;
    return await api.purge(facts.native, { filter: facts.filter(">"), seq: floor + 1 });
  }

  async #unmark(group: string): Promise<void> {
    const { bucket, session } = this.#parts;
    while (!this.#closed) {
      try {
        await bucket.delete(idleMark(group));
        return;
      } catch {
        await new Promise<void>((resolve) => void session.clock.after(1_000, resolve));
      }
    }
  }

  async #isIdle(definition: GroupDefinition, idleMs: number): Promise<boolean> {
    if (this.#hasMembers(definition)) return false;
    const since = await this.#noted(definition);
    // it may have got one while the mark was read
    return this.#parts.session.clock.now() - since >= idleMs && !this.#hasMembers(definition);
  }

  async #noted({ group }: GroupDefinition): Promise<number> {
    const { bucket, session } = this.#parts;
    const found = await bucket.getJson<number>(idleMark(group));
    if (found !== undefined) return found.value;
    const now = session.clock.now();
    await bucket.putJson(idleMark(group), now, { expect: 0 });
    return now;
  }

  #hasMembers({ group, first }: GroupDefinition): boolean {
    return this.#parts.members.seats(group, first).length > 0;
  }
}
