import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RunAhead, type Place } from "./run-ahead.ts";

interface Message {
  readonly id: number;
  readonly partition: string;
  /** In its partition, since the partition was last forgotten. */
  readonly at: number;
  settled: boolean;
  held: boolean;
  current: boolean;
}

type Command = { readonly do: "deliver"; readonly partition: string } | { readonly do: "settle"; readonly pick: number } | { readonly do: "forget"; readonly partition: string | undefined } | { readonly do: "drop"; readonly modulo: number };

const partition = fc.constantFrom("events/0", "events/1");
const commands: fc.Arbitrary<readonly Command[]> = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ do: fc.constant("deliver" as const), partition }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant("settle" as const), pick: fc.nat(1_000) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("forget" as const), partition: fc.option(partition, { nil: undefined }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("drop" as const), modulo: fc.integer({ min: 2, max: 4 }) }) },
  ),
  { maxLength: 80 },
);

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

  deliver(name: string): { readonly message: Message; readonly hold: boolean; readonly pause: boolean } {
    const all = this.of(name);
    const message: Message = { id: this.all.length, partition: name, at: all.length, settled: false, held: false, current: true };
    this.all.push(message);
    message.held = this.#beyond(message);
    const pause = message.held && !this.paused.has(name);
    if (message.held) this.paused.add(name);
    return { message, hold: message.held, pause };
  }

  settle(message: Message): { readonly go: readonly number[]; readonly resume: boolean } {
    if (!message.current || message.settled) return { go: [], resume: false };
    const before = this.#oldest(message.partition);
    message.settled = true;
    if (this.#oldest(message.partition) === before) return { go: [], resume: false };
    const go = this.of(message.partition).filter((each) => each.held && !this.#beyond(each));
    for (const each of go) each.held = false;
    const resume = this.paused.has(message.partition) && !this.of(message.partition).some((each) => each.held);
    if (resume) this.paused.delete(message.partition);
    return { go: go.map(({ id }) => id), resume };
  }

  forget(name: string | undefined): void {
    for (const each of this.all) if (name === undefined || each.partition === name) each.current = each.held = false;
    for (const each of [...this.paused]) if (name === undefined || each === name) this.paused.delete(each);
  }

  drop(unwanted: (id: number) => boolean): void {
    for (const each of this.all) if (each.held && unwanted(each.id)) Object.assign(each, { held: false, settled: true });
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
  const ahead = new RunAhead<number>(bound);
  const model = new Naive(bound);
  const places = new Map<Message, Place>();
  for (const command of list) {
    if (command.do === "deliver") {
      const expected = model.deliver(command.partition);
      const { place, hold, pause } = ahead.delivered(command.partition, expected.message.id);
      places.set(expected.message, place);
      expect({ hold, pause }).toEqual({ hold: expected.hold, pause: expected.pause });
    } else if (command.do === "settle") {
      const open = model.all.filter((each) => !each.held && !each.settled && (late || each.current));
      const message = open[command.pick % Math.max(open.length, 1)];
      if (message !== undefined) expect(ahead.settled(places.get(message)!)).toEqual(model.settle(message));
    } else if (command.do === "forget") {
      ahead.forget(command.partition);
      model.forget(command.partition);
    } else {
      ahead.drop((id) => id % command.modulo === 0);
      model.drop((id) => id % command.modulo === 0);
    }
    expect(ahead.held).toBe(model.held);
  }
}

describe("RunAhead", () => {
  it("holds what is beyond the bound and lets it go in order, as a model that remembers everything", () => {
    fc.assert(
      fc.property(commands, fc.integer({ min: 1, max: 6 }), (list, bound) => compare(list, bound, false)),
      { numRuns: 500 },
    );
  });

  it("ignores what was delivered before the partition was forgotten, when its handler ends later", () => {
    fc.assert(
      fc.property(commands, fc.integer({ min: 1, max: 6 }), (list, bound) => compare(list, bound, true)),
      { numRuns: 500 },
    );
  });

  it("keeps a bound of one: the second goes, the third waits for the first", () => {
    const ahead = new RunAhead<string>(1);
    const first = ahead.delivered("p", "first");
    expect(ahead.delivered("p", "second").hold).toBe(false);
    expect(ahead.delivered("p", "third")).toMatchObject({ hold: true, pause: true });
    expect(ahead.delivered("p", "fourth")).toMatchObject({ hold: true, pause: false });
    expect(ahead.settled(first.place)).toEqual({ go: ["third"], resume: false });
  });
});
