import type { GroupSpec } from "../../driver.ts";
import { specOf } from "./definitions.ts";
import { escapeName } from "./keys.ts";
import type { Arg, Reply } from "./link.ts";
import { listOf, textOf, textsOf } from "./reply.ts";
import type { Script } from "./script.ts";
import { joinScript } from "./scripts/seats.ts";
import type { Session } from "./session.ts";

/** What the server says of a group when a member joins and with each of its beats. */
export interface GroupNow {
  readonly rev: string;
  /** Undefined: as known. */
  readonly spec: GroupSpec | undefined;
  readonly seats: readonly string[];
  /** Ref → seat. */
  readonly owners: ReadonlyMap<string, string>;
  /** Lane → number of partitions; the group's queue included. */
  readonly lanes: ReadonlyMap<string, number>;
  readonly dueMs: number | undefined;
  /** As the script said it: a number, "?", or "". */
  readonly lost: string;
}

export interface FloorThere {
  readonly ref: string;
  /** "": nothing is pending. */
  readonly lowest: string;
  readonly last: string;
}

/** A member's place in a group, until it is buried or leaves: every script of a member names it, which is the fence. */
export class Seat {
  readonly id: string;
  /** Escaped. */
  readonly group: string;
  /** Of what it was told is lost: how many, and how often of a number that is not known. */
  heard: readonly [count: number, unknown: number] = [0, 0];
  readonly #session: Session;

  constructor(session: Session, group: string, id: string) {
    this.#session = session;
    this.group = group;
    this.id = id;
  }

  run(script: Script, args: readonly Arg[] = []): Promise<Reply> {
    return this.#session.run(script, [this.group, this.id, ...args]);
  }
}

export interface Joined {
  readonly seat: Seat;
  readonly now: GroupNow;
  readonly floors: readonly FloorThere[];
}

/** `resume`: partition → position. */
export async function takeSeat(
  session: Session,
  group: string,
  resume: ReadonlyMap<string, string> | undefined,
): Promise<Joined> {
  const { keys, context, options } = session;
  const name = keys.group(group);
  const consumer = escapeName(options.consumer ?? context.member.name);
  const positions = [...(resume ?? [])].flatMap(([partition, id]) => [keys.refOf(partition, group), id]);
  const { leaseMs } = options;
  const member = JSON.stringify({ ...context.member, leaseMs });
  const args = [name, consumer, session.process, member, String(leaseMs)];
  const answer = listOf(await session.run(joinScript, [...args, ...positions]));
  const floors: FloorThere[] = [];
  const texts = textsOf(answer[8] ?? null);
  for (let at = 0; at < texts.length; at += 3)
    floors.push({ ref: texts[at]!, lowest: texts[at + 1]!, last: texts[at + 2]! });
  return { seat: new Seat(session, name, textOf(answer[0])), now: groupNow(answer.slice(1)), floors };
}

/** Revision, definition, seats, owners, lanes, next due, lost. */
export function groupNow(answer: readonly Reply[]): GroupNow {
  const text = textOf(answer[1]);
  const due = textOf(answer[5]);
  const lanes = new Map<string, number>();
  for (const [lane, count] of pairs(answer[4])) lanes.set(lane, Number(count));
  return {
    rev: textOf(answer[0]),
    spec: text === "" ? undefined : specOf(text),
    seats: textsOf(answer[2] ?? null),
    owners: new Map(pairs(answer[3])),
    lanes,
    dueMs: due === "" ? undefined : Number(due),
    lost: textOf(answer[6]),
  };
}

function pairs(reply: Reply | undefined): readonly (readonly [string, string])[] {
  const texts = textsOf(reply ?? null);
  const found: (readonly [string, string])[] = [];
  for (let at = 0; at < texts.length; at += 2) found.push([texts[at]!, texts[at + 1]!]);
  return found;
}
