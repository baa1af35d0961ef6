const plain = /^[\w-]+$/;
const mostRemembered = 1_000;
const encoder = new TextEncoder();

/** Any text as a part of a name or a key: `=` announces two hexadecimal digits, no two texts give the same. */
export function encodePart(text: string): string {
  if (plain.test(text)) return text;
  if (text === "") return "=";
  let part = "";
  for (const byte of encoder.encode(text)) {
    const character = String.fromCharCode(byte);
    part += plain.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return part;
}

/** All that is ours at the server begins with the prefix. */
export class Names {
  readonly #prefix: string;
  /** Asked for with each publish. */
  readonly #streams = new Map<string, string>();

  constructor(prefix: string) {
    this.#prefix = encodePart(prefix);
  }

  #name(...parts: readonly (string | number)[]): string {
    return [this.#prefix, ...parts.map((part) => encodePart(String(part)))].join(".");
  }

  /** Exchange and log of a stream. */
  stream(stream: string): string {
    let name = this.#streams.get(stream);
    if (name === undefined) {
      if (this.#streams.size >= mostRemembered) this.#streams.clear();
      this.#streams.set(stream, (name = this.#name("s", stream)));
    }
    return name;
  }

  /** Exchange, and an unordered one's queue, or an ordered one's of a partition. */
  group(group: string, stream: string, partition?: number): string {
    return partition === undefined ? this.#name("g", group, stream) : this.#name("g", group, stream, partition);
  }

  /** Of one making of the group, by its id: what copies for a former one can't reach into it. */
  history(group: string, id: string, stream: string, partition: number): string {
    return this.#name("h", group, stream, id, partition);
  }

  /** Of one making of the group. */
  seam(group: string, id: string, stream: string): string {
    return this.#name("c", group, stream, id);
  }

  queue(group: string, partition?: number): string {
    return partition === undefined ? this.#name("q", group) : this.#name("q", group, partition);
  }

  dropped(group: string): string {
    return this.#name("u", group);
  }

  notes(group: string): string {
    return this.#name("n", group);
  }

  delay(step: number): string {
    return this.#name("w", step);
  }

  inbox(id: string): string {
    return this.#name("i", id);
  }

  /** What there is once: `d` definitions, `j` jobs, `l` letters, `m` members, `q` queue lanes, `e` events, `r` requests, `w`, `x`, `z` delays. */
  own(duty: "d" | "j" | "l" | "m" | "q" | "e" | "r" | "w" | "x" | "y" | "z"): string {
    return this.#name(duty);
  }

  /** Of a group on the direct lane. */
  listeners(duty: "e" | "r", group: string): string {
    return this.#name(duty, group);
  }

  /** One token, which no pattern's binding matches: each has a partition and a topic. */
  marker(group: string): string {
    return `=${encodePart(group)}`;
  }
}
