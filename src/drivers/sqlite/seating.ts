import type { GroupMember, Store } from "./store.ts";
import type { Job } from "./turn.ts";

const againMs = 1_000;

interface Seats {
  readonly process: number;
  /** Without a seat: its group is gone. */
  readonly members: readonly (readonly [member: GroupMember, seat: number | undefined, version: number])[];
}

/**
 * The row of this connection among the processes, and the seats of its members. When another process took it for dead both are
 * made anew, tried again for as long as it takes; until they are committed it keeps its old number, which nobody else ever gets,
 * and claims nothing.
 */
export class Seating {
  readonly #store: Store;
  #process = 0;
  #evicted = false;
  /** The first row, on its way. */
  #joining: Promise<void> | undefined;
  #seats: Seats | undefined;
  #waiting: (() => void)[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  /** Our row; 0 before that of the first `renew` is committed. */
  get process(): number {
    return this.#process;
  }

  /** Another process took us for dead; until we have a row again nothing is claimed. */
  get evicted(): boolean {
    return this.#evicted;
  }

  /** Our row, made or renewed. */
  renew(): Promise<void> {
    const { members, turn } = this.#store;
    if (this.#process === 0) return (this.#joining ??= this.#join());
    return turn.do(() => void members.renew(this.#process));
  }

  /** Others may have taken us for dead. */
  check(): void {
    if (this.#process === 0 || this.#evicted || this.#store.members.there(this.#process)) return;
    this.#evicted = true;
    this.#store.turn.add(this.#again, "write");
  }

  /** A transaction that takes a seat for our row; waits while there is none: a seat of nobody would never be given up. */
  async take<Result extends object>(body: (process: number) => Result): Promise<Result> {
    for (;;) {
      const taken = await this.#store.turn.do(() => (this.#rowless ? undefined : body(this.#process)));
      if (taken !== undefined) return taken;
      if (this.#rowless) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    }
  }

  close(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  get #rowless(): boolean {
    return this.#evicted || this.#process === 0;
  }

  /** Believed in within the commit, before anything else of that turn is: what a rollback leaves is somebody else's. */
  #join(): Promise<void> {
    const { members, turn } = this.#store;
    let process = 0;
    return new Promise((resolve, reject) => {
      const job: Job = {
        run: () => void (process = members.join()),
        committed: () => {
          this.#process = process;
          resolve();
          this.close();
        },
        failed: (error) => {
          this.#joining = undefined; // the next `renew` tries again
          reject(error);
        },
      };
      turn.add(job, "settle", true);
    });
  }

  /** What we held is others' now; with a new row and new seats we go on. */
  readonly #again: Job = {
    run: () => {
      const { groupMembers, groups, members } = this.#store;
      const process = members.join();
      const seated = [...groupMembers].map((member) => {
        const group = groups.byId(member.group);
        const seat = group === undefined ? undefined : members.takeSeat(group.id, process, group.version);
        return [member, seat, group?.version ?? 0] as const;
      });
      this.#seats = { process, members: seated };
    },
    committed: () => {
      const { process, members } = this.#seats!;
      this.#process = process;
      this.#evicted = false;
      for (const [member, seat, version] of members) {
        if (seat === undefined) member.changed();
        else member.lostSeat(seat, version);
      }
      this.close();
    },
    failed: () => {
      if (!this.#store.turn.closed) this.#store.later(againMs, () => this.#store.turn.add(this.#again, "write"));
    },
  };
}
