import { type Bus, type BusEvent, type Delivery, isBusError, PublishError, Reject } from "../../src/index.ts";
import type { ChildSide } from "../../src/testing/index.ts";
import {
  all,
  Bad,
  badMs,
  hashOf,
  Later,
  Order,
  ordered,
  pause,
  Payment,
  type SoakData,
  unordered,
  wall,
} from "./events.ts";
import { Pending } from "./pending.ts";

const keys = 24;
const regions = ["eu", "us", "asia"];
const retry = { backoff: { baseMs: 20, maxMs: 200 } };

/** What a process of the soak does with its buses, and how many of it. */
export class Membership {
  readonly pending = new Pending();
  /** From publish to handled, of those that were neither delayed nor failed; emptied by whoever reads it. */
  latencies: number[] = [];
  published = 0;
  readonly #note: ChildSide<unknown>["note"];

  constructor(note: ChildSide<unknown>["note"]) {
    this.#note = note;
  }

  /** What ought not to happen, in words. */
  complain(message: string): void {
    this.#note({ op: "complaint", message });
  }

  handler(group: string, bus: string): (event: BusEvent<string, SoakData>, delivery: Delivery) => Promise<void> {
    return async ({ id, key, type, data }, { attempt }) => {
      const record = { id, key, sequence: data.sequence, attempt, group, bus, hash: hashOf(data) };
      this.#note({ op: "handling", ...record });
      if (data.due !== undefined && wall() < data.due - 2) this.complain(`${id} came ${data.due - wall()} ms early`);
      await pause(Math.random() * 20);
      const bad = type === Bad.type && wall() - data.at < badMs;
      if (bad || (data.fails === true && attempt === 1)) {
        this.#note({ op: "handler-failed", ...record });
        throw bad ? new Reject("bad for now") : new Error("as planned");
      }
      this.#note({ op: "handled", ...record });
      if (type !== Bad.type && data.due === undefined && attempt === 1) this.latencies.push(wall() - data.at);
    };
  }

  async join(bus: Bus, group: string): ReturnType<Bus["subscribe"]> {
    const order = group === ordered ? "group" : "none";
    return this.pending.of(
      `subscribe ${group}`,
      bus.subscribe(all, this.handler(group, bus.name), { group, order, concurrency: 32, retry }),
    );
  }

  /** Until the signal aborts: a chapter, with keys of its own. `ending`: from then on publishes may be refused. */
  async publish(bus: Bus, chapter: string, rate: number, signal: AbortSignal, ending: () => boolean): Promise<void> {
    const from = performance.now();
    const next = Array<number>(keys).fill(0);
    const free = next.map((_, k) => k);
    const open = new Set<Promise<void>>();
    const send = async (event: (typeof all)[number], id: string, data: SoakData, k?: number): Promise<void> => {
      const record = { id, sequence: data.sequence, hash: hashOf(data), ...(k === undefined ? {} : { key: keyOf(k) }) };
      this.#note({ op: "publish-started", ...record });
      const delayMs = data.due === undefined ? undefined : data.due - data.at;
      try {
        const published = bus.publish(event, data, { id, key: record.key, delayMs });
        await this.pending.of(`publish ${id}`, published);
        this.#note({ op: "published", ...record });
        this.published++;
        if (k !== undefined) free.push(k);
      } catch (error) {
        const unknown = error instanceof PublishError && error.outcome === "unknown";
        this.#note({ op: unknown ? "publish-unknown" : "publish-failed", ...record });
        if (!ending()) this.complain(`publish ${id}: ${String(error)}`);
      }
    };
    const keyOf = (k: number): string => `${chapter}.${k}`;
    for (let sent = 0; !signal.aborted; await pause(10)) {
      const due = ((performance.now() - from) / 1_000) * rate;
      for (; sent < due; sent++) {
        const common = { region: regions[sent % 3] ?? "", at: wall(), text: `${sent} `.repeat(40) };
        let work: Promise<void>;
        if (sent % 50 === 7) work = send(Bad, `${chapter}.bad.${sent}`, common);
        else if (sent % 50 === 23) {
          const delayMs = 100 + Math.round(Math.random() * 1_500);
          work = send(Later, `${chapter}.later.${sent}`, { ...common, due: common.at + delayMs });
        } else {
          const k = free.shift();
          if (k === undefined) break; // each key waits for its last publish
          const sequence = next[k] ?? 0;
          next[k] = sequence + 1;
          const data = { ...common, sequence, fails: sent % 100 === 31 };
          work = send(sent % 2 === 0 ? Order : Payment, `${chapter}.${k}.${sequence}`, data, k);
        }
        open.add(work);
        void work.finally(() => open.delete(work));
      }
    }
    await Promise.all(open);
    this.#note({ op: "chapter-ended", chapter });
  }

  /** A member of the unordered group that comes and goes, until the signal aborts. */
  async comeAndGo(bus: Bus, beatMs: number, signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        const subscription = await this.join(bus, unordered);
        await pause(beatMs / 5);
        await this.pending.of("unsubscribe", subscription.unsubscribe());
        await pause(beatMs / 20);
      }
    } catch (error) {
      if (!signal.aborted || !isBusError(error)) this.complain(`a subscription that comes and goes: ${String(error)}`);
    }
  }
}
