import type { GroupSpec, StartAt } from "../../driver.ts";
import type { AttachedQueue } from "./attach.ts";
import { joinRemains, noRemains, type Remains } from "./remains.ts";
import type { StoredStream } from "./stream-plan.ts";

/** What a group has of one stream. */
export interface GroupLane {
  readonly partitions: number;
  /** Its queues and bindings are there. */
  readonly ready: boolean;
  /** Undefined: nothing of the past. */
  readonly from: StartAt | undefined;
  /** The id of the marker that was published before this was written. */
  readonly m0: string;
  /** What was there before is to be deleted first. */
  readonly clean?: boolean;
  /** It was there, and its queues were lost: its exchange may have stayed. */
  readonly again?: boolean;
  /** It was ready, and is to be bound to more: its past is as it was. */
  readonly grows?: boolean;
  /** A queue of somebody else's, or of a name of one's own. */
  readonly queue?: AttachedQueue;
  /** Bound, or to be. */
  readonly patterns: readonly string[];
}

export interface GroupDefinition {
  readonly spec: GroupSpec;
  /** Of this group, and no later one of its name. */
  readonly id: string;
  readonly createdAt: number;
  /** When its queues were made last, so younger than `createdAt` of a group that was lost. */
  readonly madeAt?: number;
  readonly lanes: Readonly<Record<string, GroupLane>>;
}

export const isReady = ({ lanes }: GroupDefinition): boolean => Object.values(lanes).every(({ ready }) => ready);

/** How far the copying of the past is, of one stream for one group. */
export interface Replay {
  /** Everything up to this offset is copied. */
  readonly offset: number;
  readonly copied: boolean;
  /** Partitions that have a history queue. */
  readonly history: readonly number[];
}

export type DefinitionRecord =
  | { readonly t: "v"; readonly v: number }
  | {
      readonly t: "s";
      readonly n: string;
      readonly rev: number;
      readonly by: string;
      readonly def: StoredStream | null;
      readonly left?: Remains;
      readonly past?: Remains;
    }
  | {
      readonly t: "g";
      readonly n: string;
      readonly rev: number;
      readonly by: string;
      readonly def: GroupDefinition | null;
      readonly left?: Remains;
      /** Of a making of it that is over. */
      readonly past?: Remains;
    }
  | { readonly t: "r"; readonly n: string; readonly id: string; readonly stream: string; readonly replay: Replay }
  | { readonly t: "k"; readonly n: string; readonly id: string; readonly stream: string; readonly p: number }
  /** What was left of the stream or group that `of` deleted is removed. */
  | { readonly t: "x"; readonly n: string; readonly of: string }
  /** It is there. */
  | { readonly t: "m"; readonly n: string }
  | {
      readonly t: "c";
      /** What is being made. */
      readonly n: string;
      /** Undefined: it is done. */
      readonly by?: string;
      /** Whose claim it takes over, or ends. */
      readonly over?: string;
    };

/** Where it is written down which queues of pasts, seams and histories, nobody needs any more; and the claim for removing such. */
export const pasts = "pasts of groups";

export interface Known<Definition> {
  readonly definition: Definition | undefined;
  /** What the next change has to name. */
  readonly rev: number;
}

/** Streams, groups and replays, as the records in their order say. The first that names the revision it expects wins. Pure. */
export class DefinitionFold {
  readonly streams: Map<string, StoredStream> = new Map();
  readonly groups: Map<string, Known<GroupDefinition>> = new Map();
  /** By the group's id and the stream. */
  readonly #replays = new Map<string, Replay>();
  /** Partitions whose past is handled. */
  readonly #caughtUp = new Map<string, Set<number>>();
  layout = 0;
  streamsRev = 0;

  /** By `stream` or `group` and its name, and one for all pasts: who left it, and what is to be removed yet. */
  readonly remains: Map<string, Remains & { readonly of: string }> = new Map();
  /** What was made once. */
  readonly made: Set<string> = new Set();
  /** Who makes something now. */
  readonly claims: Map<string, string> = new Map();

  /** What changed; undefined: nothing, the record came too late. */
  take(record: DefinitionRecord): "streams" | "group" | "replay" | "layout" | "claim" | undefined {
    switch (record.t) {
      case "v":
        this.layout = Math.max(this.layout, record.v);
        return "layout";
      case "s":
        if (record.rev !== this.streamsRev) return undefined;
        this.streamsRev += 1;
        if (record.def === null) this.streams.delete(record.n);
        else this.streams.set(record.n, record.def);
        this.#leave(`stream ${record.n}`, record.by, record.left);
        this.#leave(pasts, record.by, record.past);
        return "streams";
      case "g": {
        const known = this.groups.get(record.n);
        if (record.rev !== (known?.rev ?? 0)) return undefined;
        if (known?.definition !== undefined) this.#forget(known.definition, record.def ?? undefined);
        this.groups.set(record.n, { definition: record.def ?? undefined, rev: record.rev + 1 });
        this.#leave(`group ${record.n}`, record.by, record.left);
        this.#leave(pasts, record.by, record.past);
        return "group";
      }
      case "x":
        if (this.remains.get(record.n)?.of !== record.of) return undefined;
        this.remains.delete(record.n);
        return "claim";
      case "r":
        if (!this.#has(record)) return undefined;
        this.#replays.set(`${record.id} ${record.stream}`, record.replay);
        return "replay";
      case "k": {
        if (!this.#has(record)) return undefined;
        const key = `${record.id} ${record.stream}`;
        const partitions = this.#caughtUp.get(key);
        if (partitions === undefined) this.#caughtUp.set(key, new Set([record.p]));
        else partitions.add(record.p);
        return "replay";
      }
      case "m":
        this.made.add(record.n);
        return "claim";
      case "c":
        if (this.claims.get(record.n) !== record.over) return undefined;
        if (record.by === undefined) this.claims.delete(record.n);
        else this.claims.set(record.n, record.by);
        return "claim";
      default:
        return undefined; // a newer version's
    }
  }

  group(name: string): Known<GroupDefinition> {
    return this.groups.get(name) ?? { definition: undefined, rev: 0 };
  }

  replay(id: string, stream: string): Replay | undefined {
    return this.#replays.get(`${id} ${stream}`);
  }

  isCaughtUp(id: string, stream: string, partition: number): boolean {
    return this.#caughtUp.get(`${id} ${stream}`)?.has(partition) === true;
  }

  /** What an earlier one of the name left is removed with it. */
  #leave(what: string, by: string, left: Remains | undefined): void {
    if (left === undefined || (left.queues.length === 0 && left.exchanges.length === 0)) return;
    this.remains.set(what, { ...joinRemains(this.remains.get(what) ?? noRemains, left), of: by });
  }

  /** A record may come when its making of the group, or the lane, is over. */
  #has({ n, id, stream }: { readonly n: string; readonly id: string; readonly stream: string }): boolean {
    const { definition } = this.group(n);
    return definition?.id === id && definition.lanes[stream] !== undefined;
  }

  /** What was known of lanes that the next definition does not have. */
  #forget({ id, lanes }: GroupDefinition, next: GroupDefinition | undefined): void {
    for (const stream of Object.keys(lanes)) {
      if (next?.id === id && next.lanes[stream] !== undefined) continue;
      this.#replays.delete(`${id} ${stream}`);
      this.#caughtUp.delete(`${id} ${stream}`);
    }
  }
}
