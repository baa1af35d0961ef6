import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RunAhead, type Tracked } from "./run-ahead.ts";

interface Message {
  readonly id: number;
  readonly partition: string;
  /** In its partition, since the partition was last forgotten. */
  readonly at: number;
  settled: boolean;
  held: boolean;
  current: boolean;
}

type Command =
  | { readonly do: "deliver"; readonly partition: string }
  | { readonly do: "settle"; readonly pick: number }
  | { readonly do: "forget"; readonly partition: string | undefined }
  | { readonly do: "drop"; readonly modulo: number };

const partition = fc.constantFrom("events/0", "events/1");
const commands: fc.Arbitrary<readonly Command[]> = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ do: fc.constant("deliver" as const), partition }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant("settle" as const), pick: fc.nat(1_000) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant("forget" as const), partition: fc.option(partition, { nil: undefined }) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("drop" as const), modulo: fc.integer({ min: 1, max: 4 }) }) },
  ),
  { maxLength: 80 },
);

const nothing = { go: [], resume: undefined };

class Item implements Tracked {
  readonly id: number;
  track: Tracked["track"] = undefined;
  number = 0;
  older: Tracked | undefined = undefined;
  newer: Tracked | undefined = undefined;
  held = false;

  constructor(id: number) {
    this.id = id;
  }
}

/** Every message ever delivered, looked through each time. */
class Naive {
  readonly all: Message[] = [];
  readonly paused = new Set<string>();
  readonly #bound: number;

  constructor(bound: number) {
    this.#bound = bound;
  }

  of(name: string): readonly Message[] {
    return this.all.filter((each) => each.current && each.partition === name);
  }

  deliver(name: string): { readonly message: Message; readonly answer: "go" | "hold" | "pause" } {
    const all = this.of(name);
    const message: Message = {
      id: this.all.length,
      partition: name,
      at: all.length,
      settled: false,
      held: false,
      current: true,
    };
    this.all.push(message);
    message.held = this.#beyond(message);
    if (!message.held) return { message, answer: "go" };
    const answer = this.of(name).some((each) => each.held && each !== message) ? "hold" : "pause";
    this.paused.add(name);
    return { message, answer };
  }

  settle(message: Message): { readonly go: readonly number[]; readonly resume: string | undefined } {
    if (!message.current || message.settled) return nothing;
    message.settled = true;
    const go = this.of(message.partition).filter((each) => each.held && !this.#beyond(each));
    for (const each of go) each.held = false;
    const resume = this.paused.has(message.partition) && !this.of(message.partition).some((each) => each.held);
    if (resume) this.paused.delete(message.partition);
    return { go: go.map(({ id }) => id), resume: resume ? message.partition : undefined };
  }

  forget(name: string | undefined): void {
    for (const each of this.all) if (name === undefined || each.partition === name) each.current = each.held = false;
    for (const each of [...this.paused]) if (name === undefined || each === name) this.paused.delete(each);
  }

  drop(unwanted: (id: number) => boolean): void {
    for (const each of this.all)
      if (each.held && unwanted(each.id)) Object.assign(each, { held: false, settled: true });
  }

  get held(): number {
    return this.all.filter((each) => each.held).length;
  }

  #oldest(name: string): number {
    const all = this.of(name);
    return all.find((each) => !each.settled)?.at ?? all.length;
  }

  #beyond(message: Message): boolean {
    return message.at - this.#oldest(message.partition) > this.#bound;
  }
}

function compare(list: readonly Command[], bound: number, late: boolean): void {
  const ahead = new RunAhead<Item>(bound);
  const model = new Naive(bound);
  const items = new Map<Message, Item>();
  for (const command of list) {
    if (command.do === "deliver") {
      const { message, answer } = model.deliver(command.partition);
      const item = new Item(message.id);
      items.set(message, item);
      expect(ahead.delivered(command.partition, item)).toBe(answer);
    } else if (command.do === "settle") {
      const open = model.all.filter((each) => !each.held && !each.settled && (late || each.current));
      const message = open[command.pick % Math.max(open.length, 1)];
      if (message === undefined) continue;
      const answer = ahead.settled(items.get(message)!);
      expect({ go: answer?.go.map(({ id }) => id) ?? [], resume: answer?.resume }).toEqual(model.settle(message));
    } else if (command.do === "forget") {
      ahead.forget(command.partition);
      model.forget(command.partition);
    } else {
      ahead.drop(({ id }) => id % command.modulo === 0);
      model.drop((id) => id % command.modulo === 0);
    }
    expect(ahead.held).toBe(model.held);
  }
}

const withoutDrop = (list: readonly Command[]): readonly Command[] => list.filter((command) => command.do !== "drop");
const anyBound = fc.integer({ min: 1, max: 6 });

describe("RunAhead", () => {
  it("holds what is beyond the bound and lets it go in order, as a model that remembers everything", () => {
    fc.assert(
      fc.property(commands, anyBound, (list, bound) => compare(withoutDrop(list), bound, false)),
      { numRuns: 500 },
    );
  });

  it("ignores what was delivered before the partition was forgotten, when its handler ends later", () => {
    fc.assert(
      fc.property(commands, anyBound, (list, bound) => compare(withoutDrop(list), bound, true)),
      { numRuns: 500 },
    );
  });

  it("does the same when some of what it holds is dropped", () => {
    fc.assert(
      fc.property(commands, anyBound, (list, bound) => compare(list, bound, true)),
      { numRuns: 500 },
    );
  });

  it("resumes such a partition with whatever is settled next, also when that is not the oldest", () => {
    const ahead = new RunAhead<Item>(1);
    const second = new Item(2);
    ahead.delivered("p", new Item(1));
    ahead.delivered("p", second);
    ahead.delivered("p", new Item(3));
    ahead.drop(({ id }) => id === 3);
    expect(ahead.settled(second)).toEqual({ go: [], resume: "p" });
  });

  it("resumes a paused partition all of whose held messages were dropped", () => {
    const ahead = new RunAhead<Item>(1);
    const first = new Item(1);
    ahead.delivered("p", first);
    ahead.delivered("p", new Item(2));
    expect(ahead.delivered("p", new Item(3))).toBe("pause");
    ahead.drop(({ id }) => id === 3);
    expect(ahead.settled(first)).toEqual({ go: [], resume: "p" });
  });

  it("keeps a bound of one: the second goes, the third waits for the first", () => {
    const ahead = new RunAhead<Item>(1);
    const [first, second, third, fourth] = [1, 2, 3, 4].map((id) => new Item(id)) as [Item, Item, Item, Item];
    expect([first, second, third, fourth].map((each) => ahead.delivered("p", each))).toEqual([
      "go",
      "go",
      "pause",
      "hold",
    ]);
    expect(ahead.settled(first)).toEqual({ go: [third], resume: undefined });
    expect(ahead.settled(third)).toBeUndefined();
    expect(ahead.settled(second)).toEqual({ go: [fourth], resume: "p" });
  });
});
