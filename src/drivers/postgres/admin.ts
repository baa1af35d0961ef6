import type {
  DriverAdmin,
  GroupSpec,
  GroupState,
  Member,
  ScheduledMessage,
  StartAt,
  StoredMessage,
  StreamInfo,
} from "../../driver.ts";
import type { Chores } from "./chores.ts";
import { cancelDelayed, delayedPage } from "./delayed.ts";
import { startsOf } from "./definitions.ts";
import { nowMs } from "./functions/append.ts";
import { groupState } from "./group-counts.ts";
import type { GroupContext } from "./group-view.ts";
import { Letters } from "./letters.ts";
import { partitionName } from "./streams.ts";
import { numberOf } from "./values.ts";

/** Everything that an operator may ask; each change is one transaction, so a crash leaves it done or not begun. */
export class PostgresAdmin implements DriverAdmin {
  readonly #context: GroupContext;
  readonly #chores: Chores;
  readonly #letters: Letters;

  constructor(context: GroupContext, chores: Chores) {
    this.#context = context;
    this.#chores = chores;
    this.#letters = new Letters(context.session);
  }

  streams(): Promise<readonly StreamInfo[]> {
    return this.#context.streams.info();
  }

  async positions(name: string): Promise<Readonly<Record<string, string>>> {
    const stream = await this.#context.streams.existing(name);
    const parts = await this.#context.streams.newest(stream.id);
    return Object.fromEntries(parts.map(({ partition, last }) => [partitionName(stream, partition), String(last)]));
  }

  async trim(name: string, before: StartAt): Promise<number> {
    const { session, streams } = this.#context;
    const stream = await streams.existing(name);
    return await this.#chores.trim(stream, await startsOf(session, streams, stream, before));
  }

  async deleteStream(name: string): Promise<boolean> {
    return await this.#context.streams.remove(name);
  }

  async groups(): Promise<readonly GroupState[]> {
    const { session, streams, definitions } = this.#context;
    const all = await streams.all();
    const states: GroupState[] = [];
    for (const group of await definitions.all()) states.push(await groupState(session, group, all));
    return states;
  }

  async members(name: string): Promise<readonly Member[]> {
    const group = await this.#context.definitions.existing(name);
    const rows = await this.#context.session.desk.query(
      `SELECT p.member, p.name, p.host, p.pid, p.since, p.seen,
          (SELECT json_agg(DISTINCT q.partition ORDER BY q.partition) FROM {place} q WHERE q.member = m.id)
        FROM {member} m JOIN {process} p ON p.id = m.process WHERE m.grp = $1 ORDER BY m.id`,
      [String(group.id)],
    );
    return rows.map(([id, named, host, pid, since, seen, partitions]) => ({
      id: id ?? "",
      name: named ?? "",
      host: host ?? "",
      pid: numberOf(pid),
      since: new Date(numberOf(since)),
      lastSeen: new Date(numberOf(seen)),
      partitions:
        group.spec.order === "group" ? ((JSON.parse(partitions ?? "[]") as number[] | null) ?? []) : undefined,
    }));
  }

  updateGroup(name: string, reads: GroupSpec["reads"]): Promise<void> {
    return this.#context.definitions.update(name, reads);
  }

  resetGroup(name: string, to: StartAt): Promise<void> {
    return this.#context.definitions.reset(name, to);
  }

  async recoverGroup(name: string, idleMs: number): Promise<number> {
    const { session, definitions, seats } = this.#context;
    const group = await definitions.existing(name);
    const inHands = async (): Promise<number> => {
      const all = await this.#context.streams.all();
      return (await groupState(session, group, all)).inFlight;
    };
    const before = await inHands();
    const idle = await session.desk.query(
      `SELECT p.id, ${nowMs} - $2 FROM {process} p
        WHERE p.id <> $3 AND (p.seen <= ${nowMs} - $2 OR p.until < ${nowMs}) AND p.id IN (SELECT process FROM {member} WHERE grp = $1)`,
      [String(group.id), String(Math.ceil(Math.max(idleMs, session.options.leaseMs))), String(seats.process)],
    );
    for (const [id, seenBefore] of idle)
      await session.desk.query("SELECT {1:bury}($1, $2, false)", [id ?? "0", seenBefore ?? "0"]);
    if (idle.length > 0) {
      session.announce("g", group.id);
    }
    return before - (await inHands());
  }

  async deleteGroup(name: string): Promise<boolean> {
    const { session, definitions } = this.#context;
    const group = await definitions.named(name);
    if (group === undefined) return false;
    const [row] = await session.desk.query("SELECT {1:drop_group}($1)", [String(group.id)]);
    session.announce("g", group.id);
    return row?.[0] === "t";
  }

  letters(group: string | undefined, after: string | undefined, limit: number): Promise<readonly StoredMessage[]> {
    return this.#letters.list(group, after, limit);
  }

  letter(id: string): Promise<StoredMessage | undefined> {
    return this.#letters.get(id);
  }

  countLetters(group: string | undefined): Promise<number> {
    return this.#letters.count(group);
  }

  claimLetters(ids: readonly string[], token: string, leaseMs: number): Promise<readonly string[]> {
    return this.#letters.claim(ids, token, leaseMs);
  }

  removeLetters(ids: readonly string[], token: string): Promise<readonly string[]> {
    return this.#letters.remove(ids, token);
  }

  scheduled(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    return delayedPage(this.#context.session, after, limit);
  }

  cancelScheduled(ids: readonly string[]): Promise<readonly string[]> {
    return cancelDelayed(this.#context.session, ids);
  }
}
