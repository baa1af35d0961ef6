import { DriverError } from "../../internal/driver-error.ts";
import { isLost, isMissing } from "./classify.ts";
import { nowMs } from "./functions/append.ts";
import { NotSent, replacedError } from "./link.ts";
import { stateOf } from "./sqlstate.ts";
import type { Session } from "./session.ts";
import { numberOf } from "./values.ts";

/** A group consumption, as the session's seats see it. */
export interface GroupMember {
  readonly group: number;
  seat: number;
  /** Of that seat: counts reconnects. */
  session: number;
  /** Something was published to this stream, to these partitions where that is known, or (undefined) anything may have moved. */
  wake(stream: number | undefined, partitions?: readonly number[]): void;
  /** What the server has of us is compared with what we have, never twice at once (`Seats.compare`). */
  resync(): Promise<void>;
  /** Others took us for dead: nothing that was delivered is ours any more, and this is our new seat. */
  lostSeat(seat: number, version: number): void;
  end(error: unknown): void;
}

const againMs = 250;
/** The server takes no writes any more: behind a pooler no line is lost by that. */
const readOnly = "25006";
const longestBeatMs = 1_000;
const unknownBeats = 30;

/**
 * The row of this process, whose lease is renewed every third, and the seats of its members. When others took it for dead both are
 * made anew; until then it keeps its old number, which nobody else ever gets.
 */
export class Seats {
  readonly members: Set<GroupMember> = new Set();
  readonly #session: Session;
  /** 0, which no row has: none yet in the database that is there now. */
  #process = 0;
  /** Moves whenever seats of before are nothing any more, or others'. */
  #era = 0;
  #rejoining: Promise<void> | undefined;
  #timer: Disposable | undefined;
  #routing: string | undefined;
  #restored: (() => void)[] = [];
  /** What we were told that we have. */
  readonly #taken = new Set<number>();
  #taking = 0;
  #isBurying = false;
  /** Beats in which we look for what we were not told: a question whose answer was lost may still wait at the server. */
  #looks = 0;
  readonly #comparing = new Map<GroupMember, Promise<void>>();

  constructor(session: Session) {
    this.#session = session;
    session.listen({
      up: () => void this.#back(),
      moved: (routing) => {
        // unless another one moved it, too, of which nobody was told
        if (Number(routing) === Number(this.#routing) + 1) this.#routing = routing;
      },
      replaced: () => this.#replaced(),
    });
    session.onNews("n", (rest, partitions) => this.wake(Number(rest), partitions));
    session.onNews("g", (rest) => {
      for (const member of this.members) if (member.group === Number(rest)) member.wake(undefined);
    });
  }

  get process(): number {
    return this.#process;
  }

  /** Its number, in the database that is there now. */
  async joined(): Promise<number> {
    if (this.#process === 0) await this.evicted();
    return this.#process;
  }

  async start(): Promise<void> {
    await this.#join();
    const [row] = await this.#session.worker.query("SELECT value FROM {meta} WHERE key = 'routing'", []);
    this.#routing = row?.[0] ?? undefined; // before the bus reads its routes: what changes from now on is told
    this.#beatLater();
  }

  wake(stream: number | undefined, partitions?: readonly number[]): void {
    for (const member of this.members) member.wake(stream, partitions);
  }

  /** Another row was made for us: whoever stands on the old one has to begin again. */
  onRejoined(listener: () => void): void {
    this.#restored.push(listener);
  }

  async take(group: number): Promise<{ readonly seat: number; readonly version: number }> {
    this.#taking += 1;
    try {
      return await this.#take(group);
    } catch (error) {
      if (isLost(error)) this.#looks = unknownBeats;
      throw error;
    } finally {
      this.#taking -= 1;
    }
  }

  async #take(group: number): Promise<{ readonly seat: number; readonly version: number }> {
    for (let tries = 0; ; tries += 1) {
      const [row] = await this.#session.worker.query("SELECT * FROM {1:seat}($1, $2)", [
        String(group),
        String(this.#process),
      ]);
      if (row !== undefined) {
        this.#taken.add(numberOf(row[0]));
        this.#session.announce("g", group);
        return { seat: numberOf(row[0]), version: numberOf(row[1]) };
      }
      const [there] = await this.#session.worker.query("SELECT 1 FROM {grp} WHERE id = $1", [String(group)]);
      if (there === undefined) throw new DriverError("BUS_NOT_FOUND", "postgres: the group was deleted");
      if (tries > 3) throw new NotSent();
      await this.evicted();
    }
  }

  /** For one whose server says that its session is an old one. */
  async compare(member: GroupMember): Promise<void> {
    try {
      await this.#resync(member);
    } catch (error) {
      if (isLost(error)) return; // after the next reconnect
      this.#session.later(againMs, () => void (this.members.has(member) && this.compare(member)));
    }
  }

  /** After a reconnect, before a member is compared with the server: by which session it goes on. Of a lost seat it stays. */
  async renew(member: GroupMember): Promise<void> {
    const { seat } = member;
    const [row] = await this.#session.worker.query("SELECT {1:renew}($1)", [String(seat)]);
    if (typeof row?.[0] === "string" && seat === member.seat) member.session = numberOf(row[0]);
  }

  async leave(member: GroupMember): Promise<void> {
    this.members.delete(member);
    this.#taken.delete(member.seat);
    try {
      await this.#session.worker.query("SELECT {1:leave}($1, false)", [String(member.seat)]);
    } catch (error) {
      this.#looks = unknownBeats;
      throw error;
    }
    this.#session.announce("g", member.group);
  }

  /** Its handlers may still run: what it was handed counts, and is others' when a lease is over. */
  abandon({ seat, group }: GroupMember): void {
    const { options } = this.#session;
    const era = this.#era;
    this.#session.later(options.leaseMs, () => {
      if (era !== this.#era) return;
      this.#taken.delete(seat);
      this.#session.worker.query("SELECT {1:leave}($1, true)", [String(seat)]).then(
        () => this.#session.announce("g", group),
        () => (this.#looks = unknownBeats), // a heartbeat finds it
      );
    });
  }

  /** Our row is gone: a new one, and new seats. */
  evicted(): Promise<void> {
    return (this.#rejoining ??= this.#rejoin().finally(() => (this.#rejoining = undefined)));
  }

  /** Without a trace, at the end. */
  async close(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    if (this.#process !== 0) await this.#session.worker.query("SELECT {1:bury}($1, 0, true)", [String(this.#process)]);
  }

  stop(): void {
    this.#timer?.[Symbol.dispose]();
  }

  async #join(): Promise<void> {
    const { member } = this.#session.context;
    const [row] = await this.#session.worker.query(
      `INSERT INTO {process} (member, name, host, pid, since, seen, until)
       SELECT $1, $2, $3, $4, $5, now_ms, now_ms + $6 FROM (SELECT ${nowMs} AS now_ms) AS server RETURNING id`,
      [
        member.id,
        member.name,
        member.host,
        String(member.pid),
        String(member.since.getTime()),
        String(this.#session.options.leaseMs),
      ],
    );
    this.#process = numberOf(row?.[0]);
    await this.#session.hearOwn(this.#process);
  }

  async #rejoin(): Promise<void> {
    const [known] = await this.#session.worker.query("SELECT value FROM {meta} WHERE key = 'id'");
    this.#check(known?.[0]);
    await this.#join();
    this.#taken.clear();
    this.#era += 1;
    for (const member of this.members) {
      const [row] = await this.#session.worker.query("SELECT * FROM {1:seat}($1, $2)", [
        String(member.group),
        String(this.#process),
      ]);
      if (row === undefined) member.end(new DriverError("BUS_NOT_FOUND", "postgres: the group was deleted"));
      else {
        this.#taken.add(numberOf(row[0]));
        member.lostSeat(numberOf(row[0]), numberOf(row[1]));
      }
      this.#session.announce("g", member.group);
    }
    for (const listener of this.#restored) listener();
  }

  #beatLater(): void {
    const ms = Math.min(this.#session.options.leaseMs / 3, longestBeatMs);
    this.#timer = this.#session.later(ms, () => {
      this.#beat().then(
        () => this.#beatLater(),
        (error: unknown) => {
          // not connected: after it is again
          if (isMissing(error) || stateOf(error) === readOnly) this.#session.distrust(error);
          this.#beatLater();
        },
      );
    });
  }

  async #beat(): Promise<void> {
    this.#session.beat();
    if (!this.#session.isUp || this.#rejoining !== undefined) return;
    const [row] = await this.#session.worker.query("SELECT * FROM {1:beat}($1, $2)", [
      String(this.#process),
      String(this.#session.options.leaseMs),
    ]);
    if (row === undefined) return await this.evicted();
    const [routing, database, dead] = row;
    this.#check(database);
    if (this.#routing !== (routing ?? undefined)) this.#session.context.changed();
    this.#routing = routing ?? undefined;
    if (this.#looks > 0) await this.#leaveUnknown();
    const processes =
      dead
        ?.slice(1, -1)
        .split(",")
        .filter((process) => process !== "") ?? [];
    if (processes.length === 0 || this.#isBurying) return;
    this.#isBurying = true;
    void this.#buryAll(processes);
  }

  /** Throws where another database answers, without our having been cut off. */
  #check(database: string | null | undefined): void {
    if ((database ?? "") === this.#session.database) return;
    const error = replacedError();
    this.#session.distrust(error);
    throw error;
  }

  /** Numbers of the former database are others' in this one. */
  #replaced(): void {
    this.#process = 0;
    this.#era += 1;
    this.#taken.clear();
    this.#looks = 0;
    this.#routing = undefined;
    for (const member of [...this.members]) {
      member.end(replacedError());
      member.seat = 0; // it may just be leaving
    }
  }

  /** Beside the heartbeat: the desk may be at something long, and our lease goes on meanwhile. */
  async #buryAll(processes: readonly string[]): Promise<void> {
    try {
      for (const process of processes) await this.#bury(process);
    } catch {
      // a later heartbeat, or another process's, finds them again
    } finally {
      this.#isBurying = false;
    }
  }

  async #bury(process: string): Promise<void> {
    const [row] = await this.#session.desk.query("SELECT {1:bury}($1, 0, false)", [process]);
    for (const group of row?.[0]?.slice(1, -1).split(",") ?? []) if (group !== "") this.#session.announce("g", group);
    this.wake(undefined);
    this.#session.announce("d");
  }

  /** A seat that was taken by a question whose answer was lost would have its share, and nobody work on it. */
  async #leaveUnknown(): Promise<void> {
    this.#looks -= 1;
    if (this.#taking > 0) return;
    const rows = await this.#session.worker.query("SELECT id, grp FROM {member} WHERE process = $1", [
      String(this.#process),
    ]);
    if (this.#taking > 0) return; // it may be what is just being taken
    for (const [seat, group] of rows) {
      if (this.#taken.has(numberOf(seat))) continue;
      await this.#session.worker.query("SELECT {1:leave}($1, false)", [String(seat)]);
      this.#session.announce("g", numberOf(group));
    }
  }

  /** What is claimed while another one compares, it would take for unknown. */
  async #resync(member: GroupMember): Promise<void> {
    for (let other = this.#comparing.get(member); other !== undefined; other = this.#comparing.get(member))
      await other.catch(() => undefined); // whoever asked for it is told
    const comparing = member.resync().finally(() => this.#comparing.delete(member));
    this.#comparing.set(member, comparing);
    await comparing;
  }

  async #back(): Promise<void> {
    try {
      const [there] = await this.#session.worker.query("SELECT * FROM {1:beat}($1, $2)", [
        String(this.#process),
        String(this.#session.options.leaseMs),
      ]);
      if (there === undefined) return await this.evicted();
      for (const member of this.members) await this.#resync(member);
      for (const listener of this.#restored) listener();
    } catch {
      if (this.#session.isUp) this.#session.later(againMs, () => void this.#back()); // lost again: after the next
    }
  }
}
