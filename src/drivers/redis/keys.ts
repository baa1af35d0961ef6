import { DriverError } from "../../internal/driver-error.ts";

/** Of every group's queue, made by whoever sends to it or joins first. */
export const queuePartitions = 16;

const plain = /^[A-Za-z0-9_-]*$/;

/** A name as a part of a key: no two names meet, and none of them holds `:`, `{`, `}`, `~` or a space. */
export function escapeName(name: string): string {
  if (plain.test(name)) return name;
  let text = "";
  for (const byte of Buffer.from(name)) {
    const character = String.fromCharCode(byte);
    text += plain.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}

export function unescapeName(text: string): string {
  return text.includes("%") ? decodeURIComponent(text) : text;
}

/**
 * The names of all keys: everything of a prefix has one hash tag, so that a script may touch any of it in a cluster, too.
 * Names are given plain and written escaped.
 */
export class Keys {
  /** The key that every script declares, and builds the others from. */
  readonly base: string;
  /** The channel of what concerns every process. */
  readonly events: string;
  readonly #partitions = new Map<string, string>();

  constructor(prefix: string) {
    if (/[{}]/.test(prefix))
      throw new DriverError(
        "BUS_INVALID_OPTION",
        'redis: the prefix must not hold "{" or "}", which choose a cluster\'s node',
      );
    this.base = `{${prefix}}`;
    this.events = `${this.base}:e`;
  }

  /** The lane of a stream. */
  stream(name: string): string {
    return `s:${escapeName(name)}`;
  }

  /** The lane of a group's queue. */
  queue(group: string): string {
    return `q:${escapeName(group)}`;
  }

  /** As scripts get it. */
  group(name: string): string {
    return escapeName(name);
  }

  /** The parts are written as they are. */
  key(...parts: readonly string[]): string {
    return `${this.base}:${parts.join(":")}`;
  }

  channel(process: string): string {
    return `${this.base}:c:${process}`;
  }

  /** `s:events:3` → `events/3`, `q:shipping:2` → `:queue/2`. */
  partitionOf(ref: string): string {
    let partition = this.#partitions.get(ref);
    if (partition === undefined) {
      const last = ref.lastIndexOf(":");
      const number = ref.slice(last + 1);
      partition = ref.startsWith("q:") ? `:queue/${number}` : `${unescapeName(ref.slice(2, last))}/${number}`;
      this.#partitions.set(ref, partition);
    }
    return partition;
  }

  refOf(partition: string, group: string): string {
    const slash = partition.lastIndexOf("/");
    const number = partition.slice(slash + 1);
    const name = partition.slice(0, slash);
    return name === ":queue" ? `${this.queue(group)}:${number}` : `${this.stream(name)}:${number}`;
  }
}
