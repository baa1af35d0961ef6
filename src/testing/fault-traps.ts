/** `requests` go to the target, `replies` come from it. */
export type DirectionName = "requests" | "replies";

/** Of one connection; sees each piece before it passes. A number: so many bytes of it may pass, then the connection is cut. */
export type Watch = (direction: DirectionName, piece: Uint8Array) => number | undefined;

export interface SwallowOptions {
  /** Answers count from a request on that has this in it; see `reply` for what is compared. @default any request */
  readonly request?: string | RegExp | undefined;
  /**
   * What an answer begins with, or is: each match counts as one. Compared with the bytes as latin1, also across packets, but of at
   * most 1,024 bytes. @default whatever arrives at once
   */
  readonly reply?: string | RegExp | undefined;
  /** Which answer of a connection is swallowed, with all that follows it. @default 1 */
  readonly nth?: number | undefined;
}

export interface Sprung {
  readonly passes: number;
  readonly done: () => void;
}

interface Trap {
  readonly watch: () => Watch;
  readonly watches: WeakMap<object, Watch>;
  readonly end: (sprung: boolean) => void;
}

/** What waits for its moment to cut a connection, once. */
export class Traps {
  readonly #set = new Set<Trap>();

  /** Resolves with true when it was sprung and the connection is cut, with false when it was taken away before. */
  arm(watch: () => Watch): Promise<boolean> {
    return new Promise((end) => this.#set.add({ watch, watches: new WeakMap(), end }));
  }

  look(connection: object, direction: DirectionName, piece: Uint8Array): Sprung | undefined {
    for (const trap of this.#set) {
      const watch = trap.watches.get(connection) ?? trap.watch();
      trap.watches.set(connection, watch);
      const passes = watch(direction, piece);
      if (passes === undefined) continue;
      this.#set.delete(trap);
      return { passes, done: () => trap.end(true) };
    }
    return undefined;
  }

  clear(): void {
    for (const { end } of this.#set) end(false);
    this.#set.clear();
  }
}

export function afterBytes(direction: DirectionName, bytes: number): () => Watch {
  return () => {
    let left = bytes;
    return (way, piece) => {
      if (way !== direction) return undefined;
      if (piece.length >= left) return left;
      left -= piece.length;
      return undefined;
    };
  };
}

export function atReply({ request, reply, nth = 1 }: SwallowOptions): () => Watch {
  return () => {
    const requests = request === undefined ? undefined : finder(request);
    const replies = reply === undefined ? () => [0] : finder(reply);
    let asked = requests === undefined;
    let left = nth;
    return (way, piece) => {
      if (way === "requests") {
        asked ||= (requests?.(piece).length ?? 0) > 0;
        return undefined;
      }
      const starts = asked ? replies(piece) : [];
      const swallowed = starts[left - 1];
      left -= starts.length;
      return swallowed;
    };
  };
}

const longestMatch = 1_024;

/** Where in each piece of a stream matches begin; 0 for one that began in an earlier piece. */
function finder(pattern: string | RegExp): (piece: Uint8Array) => readonly number[] {
  const source =
    typeof pattern === "string" ? pattern.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`) : pattern.source;
  const flags = typeof pattern === "string" ? "" : pattern.flags.replaceAll(/[gy]/g, "");
  const regex = new RegExp(source, `${flags}g`);
  let tail = "";
  return (piece) => {
    const text = tail + Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString("latin1");
    const starts: number[] = [];
    let end = 0;
    for (const match of text.matchAll(regex)) {
      starts.push(Math.max(0, match.index - tail.length));
      end = match.index + match[0].length;
    }
    tail = text.slice(Math.max(end, text.length - longestMatch));
    return starts;
  };
}
