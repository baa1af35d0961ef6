import type { BusEvent } from "../../event.ts";
import type { Delivery } from "../../handler.ts";
import type { HistoryRecord, Operation } from "../invariants/history.ts";
import type { Item } from "../lab.ts";

/** By the clock that all processes of the machine share, as the lines of children are. */
export const ticks = (): number => Number(process.hrtime.bigint()) / 1e6;

type Event = BusEvent<string, Item>;

/** Everything that happened to the events of one test, in this process and in its children. */
export class Journal {
  readonly #records: HistoryRecord[] = [];
  readonly #handledAt = new Map<string, number>();
  /** Handlers of this process that run now. */
  active = 0;

  note(op: Operation, process: string, more: Partial<HistoryRecord> = {}): void {
    this.add({ id: "", at: ticks(), process, op, ...more });
  }

  /** What a child noted. */
  add(record: HistoryRecord): void {
    this.#records.push(record);
    if (record.op === "handled") this.#handledAt.set(record.id, Math.max(record.at, this.handledAt(record.id) ?? 0));
  }

  /** In the order in which it happened. */
  get history(): readonly HistoryRecord[] {
    return this.#records.toSorted((a, b) => a.at - b.at);
  }

  handler(
    member: string,
    work: (event: Event, delivery: Delivery<Event>) => unknown,
  ): (event: Event, delivery: Delivery<Event>) => Promise<void> {
    return async (event, delivery) => {
      const { id, key, data } = event;
      const { group, attempt } = delivery;
      const record = { id, key, group, attempt, sequence: data.n, hash: data.text };
      this.note("handling", member, record);
      this.active++;
      try {
        await work(event, delivery);
        this.note("handled", member, record);
      } catch (error) {
        this.note("handler-failed", member, record);
        throw error;
      } finally {
        this.active--;
      }
    };
  }

  /** When an event was handled last, by whomever: for what is asked often, unlike the history. */
  handledAt(id: string): number | undefined {
    return this.#handledAt.get(id);
  }

  /** How many different events the group (undefined: the tail) has handled. */
  handledBy(group: string | undefined): number {
    return new Set(this.#records.flatMap(({ op, group: of, id }) => (op === "handled" && of === group ? [id] : [])))
      .size;
  }
}
