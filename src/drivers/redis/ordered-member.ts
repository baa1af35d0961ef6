import type { Note, Settlement, Window } from "../../driver.ts";
import { assign, moves } from "../../internal/partition-assignment.ts";
import { replyWord } from "./errors.ts";
import type { Fetched, FetchRequest } from "./fetcher.ts";
import { before } from "./id.ts";
import { leave, pendingOf } from "./leaving.ts";
import type { MemberHost, Share } from "./member.ts";
import type { RedisMessage } from "./message.ts";
import { Part } from "./part.ts";
import { textsOf } from "./reply.ts";
import type { GroupNow } from "./seat.ts";
import { ownScript } from "./scripts/own.ts";

/**
 * A member of a group that keeps order: it owns partitions and reads them, first what former owners left, then what is fresh. One
 * that another member is to have is handed over when nothing of it can be running.
 */
export class PartShare implements Share {
  readonly #host: MemberHost;
  readonly #parts = new Map<string, Part>();
  readonly #limits = new Map<string, number>();
  #taking = false;
  #turn = 0;

  constructor(host: MemberHost) {
    this.#host = host;
  }

  request(): Pick<FetchRequest, "messages" | "refs"> | undefined {
    const { messages } = this.#host.credit;
    if (messages === 0) return undefined;
    const open = [...this.#parts.values()].filter((part) => part.open);
    if (open.length === 0) return undefined;
    this.#turn = (this.#turn + 1) % open.length;
    const refs: string[] = [];
    for (const part of [...open.slice(this.#turn), ...open.slice(0, this.#turn)]) {
      part.ready = false;
      part.asked = true;
      refs.push(part.ref, part.cursor);
    }
    return { messages, refs };
  }

  took({ refs }: FetchRequest, { cursors, messages }: Fetched): readonly RedisMessage[] {
    for (let at = 0; at < refs.length; at += 2) {
      const part = this.#parts.get(refs[at]!);
      if (part === undefined) continue;
      const cursor = cursors.get(part.ref);
      part.asked = false;
      part.cursor = cursor ?? "";
      if (cursor !== undefined) part.ready = true;
    }
    // of one that was lost meanwhile the next owner gets it
    const ours = messages.filter(({ ref }) => this.#parts.has(ref!));
    for (const { ref } of ours) this.#parts.get(ref!)!.outstanding += 1;
    return ours;
  }

  refused({ refs }: FetchRequest): void {
    for (let at = 0; at < refs.length; at += 2) {
      const part = this.#parts.get(refs[at]!);
      if (part !== undefined) part.asked = false;
    }
    this.#giveUpDrained();
  }

  taken(): void {
    this.#giveUpDrained();
  }

  wake(ref: string): void {
    const part = this.#parts.get(ref);
    if (part !== undefined) part.ready = true;
  }

  poll(): void {
    for (const part of this.#parts.values()) {
      part.ready = true;
    }
    this.#giveUpDrained();
  }

  now(now: GroupNow): void {
    for (const [ref, part] of this.#parts)
      if (!part.leaving && (now.owners.get(ref) !== this.#host.seat.id || !known(now, ref))) this.#lose(part);
    // the answer that gave it to us was lost
    for (const [ref, owner] of now.owners) if (owner === this.#host.seat.id && known(now, ref)) this.#begin(ref);
    const { take, give } = moves(
      assign(now.lanes, now.seats, now.owners, (lane, number) => `${lane}:${number}`),
      now.owners,
      this.#host.seat.id,
      (owner) => owner === undefined,
    );
    const giving = new Set(give);
    for (const part of this.#parts.values()) part.draining = giving.has(part.ref);
    this.#giveUpDrained();
    if (take.length > 0) void this.#take(take);
    this.#host.look();
  }

  window(partition: string, window: Window): void {
    const ref = this.#host.session.keys.refOf(partition, this.#host.group);
    this.#limits.set(ref, window.messages);
    const part = this.#parts.get(ref);
    if (part !== undefined) part.most = window.messages;
  }

  settled(message: RedisMessage): void {
    const part = this.#parts.get(message.ref!);
    part?.settled(message);
    if (part?.draining === true) this.#giveUpDrained();
  }

  recorded({ message, notBefore }: Note): void {
    const part = this.#parts.get((message as RedisMessage).ref!);
    part?.waits(message as RedisMessage, notBefore);
    if (part?.draining === true) this.#giveUpDrained();
  }

  refuses({ how }: Settlement): boolean {
    return how !== "dead";
  }

  missing(lowest: ReadonlyMap<string, string>): void {
    for (const part of this.#parts.values()) {
      const id = lowest.get(part.ref);
      if (id !== undefined) part.cursor = before(id);
      part.asked = false;
      part.ready = true;
    }
  }

  forget(): readonly string[] {
    const refs = [...this.#parts.keys()];
    this.#parts.clear();
    return refs.map((ref) => this.#host.session.keys.partitionOf(ref));
  }

  stopped(): void {
    // whoever owns its partitions next is told by the server
  }

  async #take(refs: readonly string[]): Promise<void> {
    if (this.#taking || !this.#host.open) return;
    this.#taking = true;
    const { seat } = this.#host;
    try {
      const owners = textsOf(await seat.run(ownScript, refs));
      if (seat !== this.#host.seat || !this.#host.open) return;
      for (const [index, ref] of refs.entries()) if (owners[index] === seat.id) this.#begin(ref);
      this.#host.look();
    } catch (error) {
      if (replyWord(error) === "GONE" && seat === this.#host.seat) this.#host.failed(error); // anything else: the next beat
    } finally {
      this.#taking = false;
    }
  }

  #begin(ref: string): void {
    if (this.#parts.has(ref)) return;
    const part = new Part(ref);
    part.most = this.#limits.get(ref) ?? part.most;
    this.#parts.set(ref, part);
  }

  #giveUpDrained(): void {
    const now = this.#host.session.clock.now();
    for (const part of this.#parts.values())
      if (part.draining && !part.leaving && part.drained(now, this.#host.hand.of(part.ref))) void this.#giveUp(part);
  }

  async #giveUp(part: Part): Promise<void> {
    part.leaving = true;
    const { seat, hand, session } = this.#host;
    const left = [...hand.of(part.ref)];
    const pending = pendingOf(left);
    this.#host.revoke(left, session.keys.partitionOf(part.ref));
    try {
      await this.#host.flush();
      if (seat === this.#host.seat) await leave(seat, false, [part.ref], pending);
      if (this.#parts.get(part.ref) === part) this.#parts.delete(part.ref);
    } catch {
      // it is still ours, and read again from its oldest
      part.leaving = false;
      part.cursor = "0";
      part.ready = true;
    }
  }

  /** Its owner is another one, or its stream is gone. */
  #lose(part: Part): void {
    this.#parts.delete(part.ref);
    const { hand, session } = this.#host;
    this.#host.revoke([...hand.of(part.ref)], session.keys.partitionOf(part.ref));
  }
}

function known(now: GroupNow, ref: string): boolean {
  return now.lanes.has(ref.slice(0, ref.lastIndexOf(":")));
}
