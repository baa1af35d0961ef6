import { assign } from "../../internal/partition-assignment.ts";
import type { GroupDefinition } from "./definition-fold.ts";
import type { Shared } from "./shared.ts";

/** What a group's own lane is called among its streams: no stream has such a name. */
export const queueLabel = "=queue";

interface SeatsHost {
  /** The partitions that are this member's. */
  mine(refs: ReadonlySet<string>): void;
  /** There are more members than before. */
  joined(): void;
}

/** A member's seat beside those of the others, and which partitions are its own by that. */
export class Seats {
  readonly #shared: Shared;
  readonly #id: string;
  readonly #group: string;
  readonly #host: SeatsHost;
  #definition: GroupDefinition | undefined;
  #has: readonly string[] = [];
  #known = 0;
  #watch: Disposable | undefined;

  constructor(shared: Shared, id: string, group: string, host: SeatsHost) {
    this.#shared = shared;
    this.#id = id;
    this.#group = group;
    this.#host = host;
  }

  /** How many members there are. */
  get count(): number {
    return this.#shared.presence.seats(this.#group).length;
  }

  /** With a definition partitions are shared out. */
  open(definition: GroupDefinition | undefined): void {
    this.#definition = definition;
    const { presence } = this.#shared;
    presence.sit(this.#id, { group: this.#group, partitions: [] });
    this.#known = this.count;
    this.#watch = presence.listen(() => {
      const { count } = this;
      if (count > this.#known) this.#host.joined();
      this.#known = count;
      this.look();
    });
    this.look();
  }

  changed(definition: GroupDefinition): void {
    this.#definition = definition;
    this.look();
  }

  has(refs: readonly string[]): void {
    if (this.#watch === undefined || refs.join(" ") === this.#has.join(" ")) return;
    this.#has = refs;
    this.#shared.presence.sit(this.#id, { group: this.#group, partitions: refs });
  }

  look(): void {
    const definition = this.#definition;
    if (definition === undefined || this.#watch === undefined) return;
    const lanes = new Map(Object.entries(definition.lanes).map(([stream, { partitions }]) => [stream, partitions]));
    lanes.set(queueLabel, 1);
    const seats = this.#shared.presence.seats(this.#group);
    const owners = new Map(seats.flatMap(({ id, partitions }) => partitions.map((ref) => [ref, id] as const)));
    const assigned = assign(
      lanes,
      seats.map(({ id }) => id),
      owners,
      (lane, partition) => `${lane}/${partition}`,
    );
    this.#host.mine(new Set([...assigned].filter(([, id]) => id === this.#id).map(([ref]) => ref)));
  }

  close(): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    this.#shared.presence.leave(this.#id);
  }
}
