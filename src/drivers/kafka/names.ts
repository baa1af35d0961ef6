import { DriverError } from "../../internal/driver-error.ts";

const longest = 249;
const mostKnown = 1_024;

/** All but letters, digits and `-` by their bytes, so that two names never meet, and a `.` separates ours only. */
const escaped = (text: string): string =>
  text.replaceAll(/[^A-Za-z0-9-]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `_${byte.toString(16).padStart(2, "0")}`).join(""),
  );

/** The lane of a group that is no stream's. */
export const queueLane = "=queue";
/** The group of all processes that moves what is due later. */
export const delaysGroup = "=delays";

/** What others called it; undefined: it is called as ours are. */
export interface GivenNames {
  topic?(stream: string): string | undefined;
  group?(group: string): string | undefined;
}

/** What things are called at the broker. */
export class Names {
  readonly prefix: string;
  readonly #given: GivenNames;
  /** A message each asks for one. */
  readonly #streams = new Map<string, string>();

  constructor(prefix: string, given: GivenNames = {}) {
    this.prefix = prefix;
    this.#given = given;
  }

  get control(): string {
    return this.#topic("control");
  }

  get letters(): string {
    return this.#topic("l");
  }

  get direct(): string {
    return this.#topic("x");
  }

  get inboxes(): string {
    return this.#topic("i");
  }

  get notes(): string {
    return this.#topic("n");
  }

  get delays(): string {
    return this.#topic("d");
  }

  stream(name: string): string {
    return this.#given.topic?.(name) ?? this.ownStream(name);
  }

  /** Of a stream that is not attached. */
  ownStream(name: string): string {
    const known = this.#streams.get(name);
    if (known !== undefined) return known;
    const topic = this.#topic(`s.${escaped(name)}`);
    if (this.#streams.size < mostKnown) this.#streams.set(name, topic);
    return topic;
  }

  /** Whether a topic is one of those that the driver makes. */
  isOwn(topic: string): boolean {
    const { control, letters, direct, inboxes, notes, delays } = this;
    if ([control, letters, direct, inboxes, notes, delays].includes(topic)) return true;
    return topic.startsWith(this.ownStream("")) || topic.startsWith(this.queue(""));
  }

  queue(group: string): string {
    return this.#topic(`q.${escaped(group)}`);
  }

  /** As Kafka's own tools show it. */
  group(name: string): string {
    return this.#given.group?.(name) ?? this.#group(name);
  }

  /** Whether another group of the bus is, or may come to be, called so. */
  isOfAnother(group: string, id: string): boolean {
    return id.startsWith(this.#group("")) && id !== this.#group(group);
  }

  #group(name: string): string {
    return `${this.prefix}.${name}`;
  }

  #topic(rest: string): string {
    const name = `${escaped(this.prefix)}.${rest}`;
    if (name.length > longest)
      throw new DriverError("BUS_INVALID_OPTION", `kafka: the topic's name would be longer than ${longest} characters`);
    return name;
  }
}

/** A partition in the core's words. */
export const refOf = (lane: string, partition: number): string => `${lane}/${partition}`;

export function parseRef(ref: string): { readonly lane: string; readonly partition: number } {
  const at = ref.lastIndexOf("/");
  return { lane: ref.slice(0, at), partition: Number(ref.slice(at + 1)) };
}
