import assert from "node:assert/strict";
import fc from "fast-check";
import { afterAll, describe, it } from "vitest";
import { FrameReader } from "../../src/drivers/redis/frame.ts";
import { compareIds } from "../../src/drivers/redis/id.ts";
import type { Arg, Reply } from "../../src/drivers/redis/link.ts";
import { type RedisMessage, readDelivered } from "../../src/drivers/redis/message.ts";
import { listOf, textOf, textsOf } from "../../src/drivers/redis/reply.ts";
import type { Script } from "../../src/drivers/redis/script.ts";
import { ackScript } from "../../src/drivers/redis/scripts/ack.ts";
import { fetchScript } from "../../src/drivers/redis/scripts/fetch.ts";
import { groupScript } from "../../src/drivers/redis/scripts/group.ts";
import { leaveScript } from "../../src/drivers/redis/scripts/leave.ts";
import { noteScript } from "../../src/drivers/redis/scripts/note.ts";
import { ownScript } from "../../src/drivers/redis/scripts/own.ts";
import { beatScript, joinScript } from "../../src/drivers/redis/scripts/seats.ts";
import { settleScript } from "../../src/drivers/redis/scripts/settle.ts";
import { Streams } from "../../src/drivers/redis/streams.ts";
import { freshPrefix, openSession } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis");
const session = broker === undefined ? undefined : await openSession(broker.url, freshPrefix());
afterAll(() => session?.close(AbortSignal.timeout(500)));

const partitions = 2;
const lease = "60000";

/** What is known of one entry. */
interface Entry {
  readonly ref: string;
  readonly id: string;
  state: "waiting" | "held" | "done";
  holder: Seat | undefined;
  /** What its next delivery counts. */
  count: number;
  note: string;
}

interface Seat {
  readonly id: string;
  readonly member: string;
  alive: boolean;
  readonly cursors: Map<string, string>;
}

const index = fc.nat(3);
const size = fc.nat(4).map((most) => most + 1);
const action = fc.oneof(
  fc.record({ what: fc.constant("publish" as const), seat: index, size }),
  fc.record({ what: fc.constant("join" as const), seat: index, size }),
  fc.record({ what: fc.constant("fetch" as const), seat: index, size }),
  fc.record({ what: fc.constant("fetch" as const), seat: index, size }),
  fc.record({
    what: fc.constantFrom("ack", "retry", "release", "dead", "note", "leave", "quit", "kill", "give" as const),
    seat: index,
    size,
  }),
);
type Action = { readonly what: string; readonly seat: number; readonly size: number };

let groups = 0;

/** A group at the server and what it must be, side by side. */
class World {
  readonly group = `g${(groups += 1)}`;
  readonly stream = `events${groups}`;
  readonly ordered: boolean;
  readonly entries: Entry[] = [];
  readonly seats: Seat[] = [];
  letters = 0;

  constructor(ordered: boolean) {
    this.ordered = ordered;
  }

  run(script: Script, ...args: readonly Arg[]): Promise<Reply> {
    return session!.run(script, [this.group, ...args]);
  }

  async open(): Promise<void> {
    await new Streams(session!).ensure({ name: this.stream, topics: [`${this.stream}.>`], partitions }, false);
    const head = ["0", "{}", this.ordered ? "1" : "", ""];
    await this.run(groupScript, ...head, "", `s:${this.stream}`, ">", "0");
  }

  async do({ what, seat: chosen, size: count }: Action): Promise<void> {
    const seat = this.seats[chosen % Math.max(this.seats.length, 1)];
    if (what === "publish") for (let n = 0; n < count; n += 1) await this.publish(n % partitions);
    else if (what === "join") await this.join();
    else if (seat === undefined) return;
    else if (what === "fetch") await this.fetch(seat, count);
    else if (what === "kill") await this.kill(seat);
    else if (what === "give") await this.give(seat);
    else if (what === "quit") await this.quit(seat);
    else await this.settle(seat, what, count);
  }

  async publish(partition: number): Promise<void> {
    const ref = `s:${this.stream}:${partition}`;
    const fields = ["t", `${this.stream}.x`, "k", "", "h", "", "b", String(this.entries.length)];
    const id = textOf(await session!.command(["XADD", session!.keys.key(ref), "*", ...fields]));
    this.entries.push({ ref, id, state: "waiting", holder: undefined, count: 1, note: "" });
  }

  async join(): Promise<Seat> {
    const member = `m${this.seats.length}`;
    const answer = listOf(await this.run(joinScript, "test", session!.process, JSON.stringify({ id: member }), lease));
    const seat: Seat = { id: textOf(answer[0]), member, alive: true, cursors: new Map() };
    this.seats.push(seat);
    return seat;
  }

  holdsOf(seat: Seat): readonly Entry[] {
    return this.entries.filter(({ holder }) => holder === seat);
  }

  entry({ ref, id }: RedisMessage): Entry {
    return this.entries.find((each) => each.ref === ref && each.id === id)!;
  }

  async fetch(seat: Seat, count: number): Promise<number> {
    if (!seat.alive)
      return await this.refused(this.run(fetchScript, seat.id, seat.member, String(count), "9999", "3", ""));
    if (this.ordered) await this.own(seat);
    const refs = this.ordered ? [...seat.cursors].flat() : [];
    const answer = await this.run(fetchScript, seat.id, seat.member, String(count), "9999", "3", "i", ...refs);
    const reader = new FrameReader(answer as Buffer);
    reader.text();
    reader.text();
    assert.equal(reader.text(), "", "nothing is lost");
    const cursors = new Map<string, string>();
    for (let left = Number(reader.text()); left > 0; left -= 1) cursors.set(reader.text(), reader.text());
    for (const ref of seat.cursors.keys()) seat.cursors.set(ref, cursors.get(ref) ?? "");
    const messages = readDelivered(reader, session!.keys, 0);
    assert.ok(messages.length <= count);
    const last = new Map<string, string>();
    for (const message of messages) {
      const entry = this.entry(message);
      assert.equal(entry.state, "waiting", `${entry.ref} ${entry.id}`);
      assert.equal(message.deliveries, entry.count, `the count of ${entry.id}`);
      assert.equal(message.attempts, entry.note === "" ? 0 : 7);
      if (this.ordered) {
        const before = last.get(entry.ref);
        if (before !== undefined) assert.ok(compareIds(before, entry.id) < 0);
        last.set(entry.ref, entry.id);
        const skipped = this.entries.filter(
          (each) => each.ref === entry.ref && each.state === "waiting" && compareIds(each.id, entry.id) < 0,
        );
        assert.deepEqual(skipped, [], "none is passed by");
      }
      Object.assign(entry, { state: "held", holder: seat });
    }
    return messages.length;
  }

  /** Takes what is free. */
  async own(seat: Seat): Promise<void> {
    const refs = Array.from({ length: partitions }, (_, p) => `s:${this.stream}:${p}`);
    const owners = textsOf(await this.run(ownScript, seat.id, ...refs));
    for (const [at, ref] of refs.entries()) {
      const holder = this.seats.find(({ cursors }) => cursors.has(ref));
      assert.equal(owners[at], (holder ?? seat).id);
      if (holder === undefined) seat.cursors.set(ref, "0");
    }
  }

  async settle(seat: Seat, what: string, count: number): Promise<void> {
    const held = this.holdsOf(seat).slice(0, count);
    if (this.ordered && (what === "retry" || what === "release" || what === "leave")) return;
    const others = this.entries.filter(({ holder, state }) => state === "held" && holder !== seat).slice(0, 1);
    const all = [...held, ...(what === "ack" && seat.alive ? [] : others)];
    if (all.length === 0) return;
    const note = JSON.stringify({ a: 7, h: [] });
    const work =
      what === "ack"
        ? this.run(
            ackScript,
            seat.id,
            "f",
            ...all.flatMap(({ ref, id, note: text }) => [ref, "1", id, ...(text === "" ? ["0"] : ["1", id])]),
          )
        : what === "note"
          ? this.run(noteScript, seat.id, ...all.flatMap(({ ref, id }) => [ref, id, note, ""]))
          : what === "leave"
            ? this.run(
                leaveScript,
                seat.id,
                "",
                "0",
                ...all.flatMap(({ ref, id, count: next }) => [ref, "1", id, String(next - 1)]),
              )
            : this.run(
                settleScript,
                seat.id,
                seat.member,
                ...all.flatMap(({ ref, id }) => [
                  what === "retry" ? "t" : what === "release" ? "l" : "d",
                  ref,
                  id,
                  "0",
                  note,
                  `${this.group}/${ref}${id}`,
                  "letter",
                ]),
              );
    if (!seat.alive) return void (await this.refused(work));
    const answer = textsOf(await work);
    if (what === "note" || what === "retry" || what === "release" || what === "dead")
      assert.deepEqual(
        answer,
        all.map((entry) => (held.includes(entry) ? "+" : "-")),
      );
    for (const entry of held) {
      if (what === "note") entry.note = note;
      else if (what === "ack" || what === "dead") Object.assign(entry, { state: "done", holder: undefined });
      else
        Object.assign(entry, {
          state: "waiting",
          holder: undefined,
          ...(what === "leave" ? {} : { note }),
          ...(what === "retry" ? { count: 1 } : {}),
        });
      if (what === "dead") this.letters += 1;
    }
  }

  /** Ordered: gives its partitions up, with all that it holds. */
  async give(seat: Seat): Promise<void> {
    if (!this.ordered || !seat.alive) return;
    const refs = [...seat.cursors.keys()];
    const held = this.holdsOf(seat);
    const runs = held.flatMap(({ ref, id, count }) => [ref, "1", id, String(count - 1)]);
    await this.run(leaveScript, seat.id, "", String(refs.length), ...refs, ...runs);
    seat.cursors.clear();
    for (const entry of held) Object.assign(entry, { state: "waiting", holder: undefined });
  }

  async quit(seat: Seat): Promise<void> {
    if (!seat.alive || this.seats.filter(({ alive }) => alive).length < 2) return;
    await this.run(leaveScript, seat.id, "0 0", "0");
    this.dead(seat);
  }

  /** Its lease has ended, and another one sees it. */
  async kill(seat: Seat): Promise<void> {
    const witness = this.seats.find((each) => each.alive && each !== seat);
    if (!seat.alive || witness === undefined) return;
    await session!.command(["ZADD", session!.keys.key("g", this.group, "beat"), "1", seat.id]);
    await this.run(beatScript, witness.id, lease, "", "0 0");
    this.dead(seat);
  }

  dead(seat: Seat): void {
    for (const entry of this.holdsOf(seat))
      Object.assign(entry, { state: "waiting", holder: undefined, count: entry.count + 1 });
    seat.alive = false;
    seat.cursors.clear();
  }

  async refused(work: Promise<unknown>): Promise<0> {
    await assert.rejects(work, /STALE/);
    return 0;
  }

  /** One who joins last gets all that is left, and then nothing is left. */
  async end(): Promise<void> {
    const last = await this.join();
    for (const seat of this.seats) if (seat !== last) await this.quit(seat);
    while ((await this.fetch(last, 5)) > 0);
    assert.deepEqual(
      this.entries.filter(({ state }) => state === "waiting"),
      [],
    );
    while (this.holdsOf(last).length > 0) await this.settle(last, "ack", 10);
    const { keys } = session!;
    const dead = keys.key("g", this.group, "dead");
    for (let beats = 0; beats < 20 && (await session!.command(["EXISTS", dead])) === 1; beats += 1)
      await this.run(beatScript, last.id, lease, "", "0 0"); // what dead seats left is looked at bit by bit
    for (const ref of new Set(this.entries.map((each) => each.ref)))
      assert.equal(listOf(await session!.command(["XPENDING", keys.key(ref), this.group]))[0], 0);
    for (const part of ["note", "hop", "due", "rel", "rest", "dead"])
      assert.equal(await session!.command(["EXISTS", keys.key("g", this.group, part)]), 0, part);
    assert.equal(await session!.command(["ZCARD", keys.key("l", "g", this.group)]), this.letters);
  }
}

describe.skipIf(broker === undefined).each([false, true])("the scripts of a group (ordered: %s)", (ordered) => {
  it("give each message to one seat at a time, count right, refuse the dead, and lose nothing", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 60 }), async (actions) => {
        const world = new World(ordered);
        await world.open();
        await world.join();
        for (const each of actions) await world.do(each);
        await world.end();
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});
