import { ControlFold, type ControlRecord } from "./control-fold.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { FoldedLog, type LogOptions } from "./folded-log.ts";
import type { FetchedRecord } from "./record-batch.ts";

/** What this code writes, and the newest that it reads. */
const layout = 1;
/** So many records behind the last snapshot the next one is written, and what it says is cut off. */
const snapshotEvery = 1_000;
const tries = 20;

interface Kept {
  readonly record: ControlRecord;
  readonly offset: number;
}

/** Definitions: a log that everybody folds, so that of two who change a thing at once the first in the log wins. */
export class ControlLog {
  readonly fold: ControlFold = new ControlFold();
  readonly #log: FoldedLog;
  readonly #options: Omit<LogOptions, "record" | "cut">;
  readonly #listeners = new Set<(what: string, name: string) => void>();
  /** What was read before a snapshot, of a log that was cut. */
  #kept: Kept[] | undefined;
  #behind = 0;
  #snapshotting = false;

  constructor(options: Omit<LogOptions, "record" | "cut">) {
    this.#options = options;
    this.#log = new FoldedLog({
      ...options,
      record: (record) => this.#record(record),
      cut: () => void (this.#kept ??= []),
    });
  }

  /** Reads all of it, and says of which layout it is when nobody has. */
  async open(mayWrite: boolean): Promise<void> {
    await this.#log.follow();
    await this.#restored();
    if (this.fold.version === undefined && mayWrite) {
      const offset = await this.#append({ is: "layout", version: layout });
      await this.#log.reached(offset);
    }
    const { version = layout } = this.fold;
    if (version > layout)
      throw new DriverError(
        "BUS_UNSUPPORTED",
        `kafka: a newer version of the bus has written here (layout ${version})`,
      );
  }

  listen(listener: (what: string, name: string) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Has all that was written before it was asked. */
  async current(): Promise<ControlFold> {
    await this.#log.current();
    await this.#restored();
    return this.fold;
  }

  /** Who was overtaken by a cut knows nothing until the snapshot, which was written before it; its end may have been asked for earlier. */
  async #restored(): Promise<void> {
    if (this.#kept !== undefined) await this.#log.current();
    if (this.#kept === undefined) return;
    const { topic } = this.#options;
    throw new DriverError(
      "BUS_SERVER",
      `kafka: the beginning of ${topic} was deleted, and what is left has no snapshot`,
    );
  }

  /** Writes what `next` makes of what stands, until nobody was faster; undefined: nothing is to be changed. */
  async change(
    next: (fold: ControlFold) => ControlRecord | undefined | Promise<ControlRecord | undefined>,
  ): Promise<boolean> {
    for (let attempt = 0; attempt < tries; attempt += 1) {
      const record = await next(this.fold);
      if (record === undefined) return false;
      let won: boolean | undefined;
      const offset = await this.#append(record, (at) => {
        this.#wins.set(at, (taken) => (won = taken));
      });
      await this.#log.reached(offset);
      if (won === true) return true;
    }
    throw new DriverError("BUS_CONFLICT", "kafka: others changed it again and again", { retryable: true });
  }

  readonly #wins = new Map<number, (taken: boolean) => void>();
  /** Of those that were read before their writer was told where they are. */
  readonly #recent = new Map<number, boolean>();

  async #append(record: ControlRecord, told: (offset: number) => void = () => undefined): Promise<number> {
    const offset = await this.#log.append(Buffer.from(JSON.stringify(record)));
    told(offset);
    const taken = this.#recent.get(offset);
    if (taken !== undefined) this.#win(offset, taken);
    return offset;
  }

  #win(offset: number, taken: boolean): void {
    this.#wins.get(offset)?.(taken);
    this.#wins.delete(offset);
  }

  #record({ value, offset }: FetchedRecord): void {
    const record = parsed(value);
    if (record === undefined) return;
    if (this.#kept !== undefined) {
      if (record.is !== "snapshot") return void this.#kept.push({ record, offset });
      const kept = this.#kept;
      this.#kept = undefined;
      const before = [...this.fold.groups.keys()];
      this.fold.restore(record.state);
      this.#behind = 0;
      for (const each of kept) if (each.offset > record.upTo) this.#apply(each);
      this.#tell("streams", "");
      this.#tell("delays", "");
      for (const name of new Set([...before, ...this.fold.groups.keys()])) this.#tell("group", name);
      return;
    }
    if (record.is === "snapshot") this.#behind = 0;
    else this.#apply({ record, offset });
  }

  #apply({ record, offset }: Kept): void {
    const changed = this.fold.apply(record, offset + 1);
    this.#recent.set(offset, changed !== undefined);
    if (this.#recent.size > 256) this.#recent.delete(this.#recent.keys().next().value!);
    this.#win(offset, changed !== undefined);
    if (changed !== undefined) this.#tell(changed.what, changed.name);
    this.#behind += 1;
    if (this.#behind >= snapshotEvery && !this.#snapshotting) void this.#snapshot(offset);
  }

  #tell(what: string, name: string): void {
    for (const listener of [...this.#listeners]) listener(what, name);
  }

  /** Two who write one at once both write a true one. */
  async #snapshot(upTo: number): Promise<void> {
    this.#snapshotting = true;
    const { cluster, topic, partition } = this.#options;
    try {
      const record: ControlRecord = { is: "snapshot", upTo, state: this.fold.snapshot() };
      await this.#log.reached(await this.#append(record));
      await cluster.deleteRecords([{ topic, partition, offset: upTo + 1 }]);
    } catch {
      this.#behind = 0; // whoever sees as many again writes the next one
    } finally {
      this.#snapshotting = false;
    }
  }

  close(error: unknown): void {
    this.#log.close(error);
    this.#listeners.clear();
  }
}

function parsed(value: Buffer | null): ControlRecord | undefined {
  try {
    return JSON.parse(String(value)) as ControlRecord;
  } catch {
    return undefined; // another program's
  }
}
