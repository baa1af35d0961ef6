import { closeSync, openSync, readdirSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";

/** What a handler did with an event. A rejected one is a dead letter now. */
export type Outcome = "handled" | "failed" | "rejected";

export interface Entry {
  readonly group: string;
  /** Which worker process, from 1. */
  readonly worker: number;
  readonly outcome: Outcome;
  readonly id: string;
  readonly key: string;
  readonly number: number;
}

export interface JournalWriter {
  write(outcome: Outcome, id: string, key: string, number: number): void;
  close(): void;
}

/** An append-only log of one group in one worker. Each line is handed to the system at once, so it survives SIGKILL. */
export function openJournal(directory: string, group: string, worker: number): JournalWriter {
  const file = openSync(join(directory, `${group}.${worker}.log`), "a");
  return {
    write: (outcome, id, key, number) => void writeSync(file, `${outcome}\t${id}\t${key}\t${number}\n`),
    close: () => closeSync(file),
  };
}

function parse(line: string, group: string, worker: number): Entry {
  const [outcome, id, key, number] = line.split("\t");
  return { group, worker, outcome: outcome as Outcome, id: id!, key: key!, number: Number(number) };
}

interface Tail {
  readonly file: number;
  read: number;
  rest: Buffer;
}

/** Reads all journals of a folder, and goes on where it was when asked again. */
export class JournalReader {
  readonly #directory: string;
  readonly #tails = new Map<string, Tail>();
  readonly #buffer = Buffer.alloc(1 << 20);

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** What was written since the last call, each file's entries in order. A torn last line waits for its end. */
  next(): Entry[] {
    const names = readdirSync(this.#directory).filter((name) => name.endsWith(".log"));
    return names.toSorted().flatMap((name) => this.#nextOf(name));
  }

  close(): void {
    for (const { file } of this.#tails.values()) closeSync(file);
    this.#tails.clear();
  }

  #nextOf(name: string): Entry[] {
    const [group = "", worker = ""] = name.split(".");
    let tail = this.#tails.get(name);
    if (tail === undefined) {
      tail = { file: openSync(join(this.#directory, name), "r"), read: 0, rest: Buffer.alloc(0) };
      this.#tails.set(name, tail);
    }
    const entries: Entry[] = [];
    for (let size = -1; size !== 0;) {
      size = readSync(tail.file, this.#buffer, 0, this.#buffer.length, tail.read);
      tail.read += size;
      const text = Buffer.concat([tail.rest, this.#buffer.subarray(0, size)]);
      const end = text.lastIndexOf(10) + 1;
      tail.rest = text.subarray(end);
      for (const line of text.toString("utf8", 0, end).split("\n")) {
        if (line !== "") entries.push(parse(line, group, Number(worker)));
      }
    }
    return entries;
  }
}
