import { afterEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { type ClientModule, loadClient } from "../../src/drivers/kafka/client.ts";
import { type Host, Link } from "../../src/drivers/kafka/link.ts";
import { Links } from "../../src/drivers/kafka/links.ts";
import { Membership } from "../../src/drivers/kafka/membership.ts";
import { NoAnswer } from "../../src/drivers/kafka/errors.ts";
import { until } from "../../src/testing/until.ts";
import { ClockAhead } from "../support/clock-ahead.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const kafka = await testBroker("kafka", { own: true });
const sessionTimeoutMs = 6_000;
const lanes = new Map([
  ["events", 8],
  [":queue", 8],
]);
const all = 16;

/** Who has what, over all members of a test. */
class Table {
  readonly #owners = new Map<string, Holder>();
  readonly problems: string[] = [];

  get size(): number {
    return this.#owners.size;
  }

  take(ref: string, holder: Holder): void {
    const other = this.#owners.get(ref);
    if (other !== undefined) this.problems.push(`${ref} is ${other.name}'s and ${holder.name}'s`);
    this.#owners.set(ref, holder);
  }

  drop(ref: string, holder: Holder): void {
    if (this.#owners.get(ref) === holder) this.#owners.delete(ref);
  }
}

/** A broker that keeps the group no more, or not yet: what it answers to whatever is asked. */
const elsewhere = {
  ask: () => Promise.reject(Object.assign(new Error("it moved"), { apiId: "NOT_COORDINATOR" })),
} as unknown as Link;

/** A line that is gone without a word. */
const nowhere = { ask: () => new Promise<never>(() => undefined) } as unknown as Link;

const earlyMs = 4_000;

/** Takes its session for lost so much before the coordinator does, once it is ahead by as much. */
class EarlyClock extends ClockAhead {
  override readonly after: ClockAhead["after"] = (ms, callback) =>
    systemClock.after(ms > earlyMs ? ms - earlyMs : ms, callback);
}

/** A member whose handlers take a while to end. */
class Holder {
  readonly name: string;
  readonly held = new Set<string>();
  readonly membership: Membership;
  losses = 0;
  giving: readonly string[] = [];
  readonly #table: Table;
  readonly #links: readonly [command: Links, join: Links];
  /** Set: the next question about its coordinator is answered as while that moves. */
  moving = 0;
  silent = false;
  /** Set: its next request to join gets lost, with all that it asks from then on or alone; or what it asks when it has joined. */
  mute: "all" | "joins" | "syncs" | undefined;
  /** When it asked for its share in vain. */
  unheardAt: number | undefined;
  readonly clock = new EarlyClock();
  #timer: NodeJS.Timeout | undefined;

  constructor(module: ClientModule, name: string, group: string, table: Table, handlerMs: number) {
    this.name = name;
    this.#table = table;
    const host: Host = { host: "127.0.0.1", port: kafka?.servers[0]?.port ?? 0 };
    const open = (to: Host, signal: AbortSignal): Promise<Link> => {
      const options = { clientId: name, tls: undefined, sasl: undefined, connectTimeoutMs: 2_000 };
      return Link.open(module, to, options, systemClock, signal);
    };
    const links = [new Links(open, systemClock), new Links(open, systemClock)] as const;
    this.#links = links;
    this.membership = new Membership({
      module,
      clock: this.clock,
      group,
      sessionTimeoutMs,
      heartbeatMs: 300,
      requestTimeoutMs: 2_000,
      link: async (duty) => {
        if (this.mute !== undefined && this.mute !== "syncs" && duty === "join") {
          this.silent ||= this.mute === "all";
          return nowhere;
        }
        if (this.silent) throw new NoAnswer("nobody is there", false);
        if (duty === "join" && this.moving > 0) {
          this.moving -= 1;
          return elsewhere;
        }
        const link = await links[duty === "join" ? 1 : 0].to(host);
        await link.ask(module.findCoordinatorV6, [0, [group]], 2_000); // the first one makes the coordinator's topic
        if (this.mute !== "syncs" || duty !== "join") return link;
        const ask: Link["ask"] = (api, ...rest) => {
          if ((api as unknown) !== module.syncGroupV5) return link.ask(api, ...rest);
          this.unheardAt ??= performance.now();
          return new Promise<never>(() => undefined);
        };
        return { ask } as unknown as Link;
      },
      coordinatorMoved: () => undefined,
      about: () => ({ topics: [], member: { name }, stops: false }),
      lanes: () => lanes,
      refOf: (lane, partition) => `${lane}/${partition}`,
      held: () => this.held,
      shared: ({ take, give }) => {
        for (const ref of take) this.#take(ref);
        this.giving = give;
        if (give.length > 0) this.#timer ??= setTimeout(() => this.#giveUp(), handlerMs);
      },
      lost: () => {
        this.losses += 1;
        for (const ref of this.held) this.#drop(ref);
      },
    });
  }

  #take(ref: string): void {
    this.#table.take(ref, this);
    this.held.add(ref);
  }

  #drop(ref: string): void {
    this.#table.drop(ref, this);
    this.held.delete(ref);
  }

  #giveUp(): void {
    this.#timer = undefined;
    for (const ref of this.giving) this.#drop(ref);
    this.giving = [];
    this.membership.round();
  }

  /** As when its process is killed: nobody is told. */
  die(): void {
    clearTimeout(this.#timer);
    for (const links of this.#links) links.destroy();
    for (const ref of this.held) this.#drop(ref);
  }
}

describe.skipIf(kafka === undefined)("members of a group of Kafka", () => {
  const holders: Holder[] = [];
  let groups = 0;
  let table: Table;
  let group: string;
  const join = async (name: string, handlerMs = 100): Promise<Holder> => {
    const holder = new Holder(await loadClient(), name, group, table, handlerMs);
    holders.push(holder);
    holder.membership.start();
    return holder;
  };
  const fresh = (): void => {
    table = new Table();
    group = `members-${(groups += 1)}`;
  };
  const settled = (...of: readonly Holder[]): Promise<void> =>
    until(
      () => table.size === all && of.every(({ giving, held }) => giving.length === 0 && held.size > 0),
      () => of.map(({ name, held, giving }) => `${name} ${held.size} of which goes ${giving.length}`).join(", "),
      20_000,
    );
  afterEach(async () => {
    for (const holder of holders) holder.die();
    await Promise.all(holders.splice(0).map(({ membership }) => membership.leave().catch(() => undefined)));
  });

  it("share what there is, and hand it over when its handlers have ended", async () => {
    fresh();
    const a = await join("a");
    await settled(a);
    const b = await join("b", 700);
    await settled(a, b);
    const c = await join("c");
    await settled(a, b, c);
    expect([a, b, c].map(({ held }) => held.size).toSorted()).toEqual([4, 6, 6]);
    const from = performance.now();
    await c.membership.leave();
    for (const ref of c.held) table.drop(ref, c);
    await settled(a, b);
    expect(performance.now() - from).toBeLessThan(sessionTimeoutMs); // nobody had to wait for its session
    expect([table.problems, a.losses, b.losses]).toEqual([[], 0, 0]);
  });

  it("take over within the session and two seconds what one that died had", async () => {
    fresh();
    const [a, b] = [await join("a"), await join("b")];
    await settled(a, b);
    const from = performance.now();
    b.die();
    await settled(a);
    const tookMs = performance.now() - from;
    expect(tookMs).toBeGreaterThan(sessionTimeoutMs / 2); // it did not just leave
    expect(tookMs).toBeLessThan(sessionTimeoutMs + 2_000);
    expect([table.problems, a.losses]).toEqual([[], 0]);
  });

  it("lose by their own clock what they can't be sure of, and are members again when the broker is back", async () => {
    if (kafka === undefined) return;
    fresh();
    const [a, b] = [await join("a"), await join("b")];
    await settled(a, b);
    await kafka.pause();
    await until(() => !a.membership.mayBegin && !b.membership.mayBegin, "the second half of the session");
    expect([a.losses, b.losses]).toEqual([0, 0]);
    await until(() => a.losses === 1 && b.losses === 1, "the end of both sessions");
    expect(table.size).toBe(0);
    await kafka.resume();
    await settled(a, b);
    expect(table.problems).toEqual([]);
  });

  it("come back under the id that they had, also when a coordinator that moves refuses them first", async () => {
    fresh();
    const [a, b] = [await join("a"), await join("b")];
    await settled(a, b);
    const before = a.membership.memberId;
    a.clock.ms = earlyMs;
    a.silent = true;
    await until(() => a.losses === 1, "the end of its session by its own clock", sessionTimeoutMs);
    const from = performance.now();
    a.moving = 2;
    a.silent = false;
    await until(() => a.membership.memberId !== "", "it to be a member again", sessionTimeoutMs * 2);
    await settled(a, b);
    expect(a.membership.memberId).toBe(before);
    expect(performance.now() - from).toBeLessThan(sessionTimeoutMs - 1_000); // nobody waited for a session to end
    expect(table.problems).toEqual([]);
  });

  it.each(["all", "joins"] as const)(
    "lose what they have in time when a line goes with their wish to join a round (%s)",
    async (lost) => {
      fresh();
      const [a, b] = [await join("a"), await join("b")];
      await settled(a, b);
      b.mute = lost;
      const c = await join("c"); // begins a round, of which b never hears
      await until(() => b.losses === 1, "the end of its session by its own clock", sessionTimeoutMs * 3);
      await settled(a, c);
      expect(table.problems, "nobody has what b has yet").toEqual([]);
    },
  );

  it("lose what they have in time when a line goes with their question for their share, whatever their heartbeats are told", async () => {
    fresh();
    const [a, b] = [await join("a"), await join("b")];
    await settled(a, b);
    b.mute = "syncs";
    a.membership.round(); // in which b joins, and nothing moves: another round would end it
    await until(() => b.unheardAt !== undefined, "its question", 10_000);
    // until shortly before the coordinator puts it out it is a member, and told so
    const silentAt = b.unheardAt! + sessionTimeoutMs * 1.5 - 1_000;
    await until(() => b.losses > 0 || performance.now() > silentAt, "the last heartbeats", sessionTimeoutMs * 2);
    b.silent = true;
    await until(() => b.losses === 1, "the end of its session by its own clock", sessionTimeoutMs * 2);
    await settled(a);
    expect(table.problems, "nobody has what b has yet").toEqual([]);
  });

  it("leave by the id that they had, when they leave before they are members again", async () => {
    fresh();
    const [a, b] = [await join("a"), await join("b")];
    await settled(a, b);
    a.clock.ms = earlyMs;
    a.silent = true;
    await until(() => a.losses === 1, "the end of its session by its own clock", sessionTimeoutMs);
    a.moving = Number.POSITIVE_INFINITY;
    a.silent = false;
    const from = performance.now();
    await a.membership.leave();
    await settled(b);
    expect(performance.now() - from).toBeLessThan(earlyMs - 1_000); // nobody waited for its session to end
    expect(table.problems).toEqual([]);
  });
});
