import type { GroupSpec, GroupState, Member } from "../../driver.ts";
import type { Definitions } from "./definitions.ts";
import { runFor } from "./group-reset.ts";
import { groupState } from "./group-state.ts";
import type { Arg, Reply } from "./link.ts";
import { listOf, numberOf, textOf, textsOf } from "./reply.ts";
import type { Script } from "./script.ts";
import { dropGroupScript, dropLettersScript } from "./scripts/delete.ts";
import { membersScript } from "./scripts/group-state.ts";
import { recoverScript, sweepScript } from "./scripts/recover.ts";
import type { Session } from "./session.ts";

/** Moved in one script. */
const atOnce = 1_000;
const lettersAtOnce = 500;

/** As its seat says it. */
type SeatedMember = Member & { readonly leaseMs?: number };

/** Groups as an operator sees and changes them. */
export class GroupAdmin {
  readonly #session: Session;
  readonly #definitions: Definitions;

  constructor(session: Session, definitions: Definitions) {
    this.#session = session;
    this.#definitions = definitions;
  }

  async list(): Promise<readonly GroupState[]> {
    const states: GroupState[] = [];
    for (const spec of await this.#definitions.all()) states.push(await groupState(this.#session, spec));
    return states;
  }

  async members(group: string): Promise<readonly Member[]> {
    const { clock, options } = this.#session;
    const [ordered, seats = null, owned = null] = listOf(await this.#run(membersScript, group));
    const partitions = ownedBy(textsOf(owned));
    const rows = textsOf(seats);
    return Array.from({ length: rows.length / 3 }, (_, index) => {
      const [seat = "", json = "", leftMs = ""] = rows.slice(index * 3, index * 3 + 3);
      const { id, name, host, pid, since, leaseMs = options.leaseMs } = JSON.parse(json) as SeatedMember;
      return {
        ...{ id, name, host, pid },
        since: new Date(since),
        lastSeen: new Date(clock.now() + Number(leftMs) - leaseMs),
        partitions: textOf(ordered) === "1" ? (partitions.get(seat) ?? []) : undefined,
      };
    });
  }

  async update(group: string, reads: GroupSpec["reads"]): Promise<void> {
    await this.#definitions.update(group, reads);
  }

  /** What dead seats left goes to others; in an ordered group it stays in its place, for the next owner. */
  async recover(group: string, idleMs: number): Promise<number> {
    const { process, options } = this.#session;
    let count = numberOf(await this.#run(recoverScript, group, [process, String(idleMs), String(options.leaseMs)]));
    for (;;) {
      const moved = numberOf(await this.#run(sweepScript, group, [String(idleMs), String(atOnce)]));
      count += moved;
      if (moved === 0) return count;
    }
  }

  /** With its queue and its letters; these last, when nobody can add to them. */
  async remove(group: string): Promise<boolean> {
    const removed = numberOf(await this.#run(dropGroupScript, group)) === 1;
    let letters = 0;
    for (;;) {
      const went = numberOf(await this.#run(dropLettersScript, group));
      letters += went;
      if (went < lettersAtOnce) return removed || letters > 0;
    }
  }

  #run(script: Script, group: string, args: readonly Arg[] = []): Promise<Reply> {
    return runFor(this.#session, group, script, args);
  }
}

/** Numbers of partitions, by seat; a queue's belong to it as a stream's do. */
function ownedBy(flat: readonly string[]): ReadonlyMap<string, readonly number[]> {
  const owned = new Map<string, Set<number>>();
  for (let at = 0; at < flat.length; at += 2) {
    const ref = flat[at]!;
    const numbers = owned.get(flat[at + 1]!) ?? new Set<number>();
    numbers.add(Number(ref.slice(ref.lastIndexOf(":") + 1)));
    owned.set(flat[at + 1]!, numbers);
  }
  return new Map([...owned].map(([seat, numbers]) => [seat, [...numbers].toSorted((left, right) => left - right)]));
}
