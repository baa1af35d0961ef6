import type { Address, StoredMessage } from "../../driver.ts";
import { FoldedLog } from "./folded-log.ts";
import { readHeaders, recordHeaders } from "./headers.ts";
import { LetterFold, type LetterRecord } from "./letter-fold.ts";
import type { NewTopic } from "./client.ts";
import { MadeOnce, makeOwnTopics, ownMessageBytes } from "./own-topics.ts";
import type { FetchedRecord } from "./record-batch.ts";
import type { RecordReader } from "./record-reader.ts";
import type { Session } from "./session.ts";

/** So many records below the oldest letter are cut off together. */
const cutEvery = 256;

/** Dead letters of all groups: one log that everybody folds, so that of two operators the first in it wins. */
export class Letters {
  readonly #session: Session;
  readonly #reader: RecordReader;
  #fold = new LetterFold();
  #log: FoldedLog | undefined;
  #opening: Promise<boolean> | undefined;
  readonly #made = new MadeOnce(() => makeOwnTopics(this.#session, [this.topic]));
  #cutBelow = 0;
  /** By the offsets of what this process wrote. */
  readonly #answers = new Map<number, (ids: readonly string[]) => void>();
  readonly #recent = new Map<number, readonly string[]>();

  constructor(session: Session, reader: RecordReader) {
    this.#session = session;
    this.#reader = reader;
  }

  async put({ id, to, group, topic, key, headers, body, storedAt, notBefore }: StoredMessage): Promise<void> {
    const letter: LetterRecord = { is: "letter", id, group, key, to, storedAt, notBefore };
    const record = {
      topic: this.#session.names.letters,
      partition: 0,
      key: id,
      value: body,
      headers: recordHeaders(topic, { letter }, headers),
    };
    await this.#made.before(() => this.#session.store(record));
  }

  async list(group: string | undefined, after: string | undefined, limit: number): Promise<readonly StoredMessage[]> {
    if (!(await this.#current())) return [];
    const records = new Map<number, FetchedRecord>();
    const found: StoredMessage[] = [];
    for (const { id, offset } of this.#fold.list(group, after, limit)) {
      if (!records.has(offset)) {
        records.clear();
        for (const each of await this.#reader.read(this.#session.names.letters, 0, offset))
          records.set(each.offset, each);
      }
      const letter = letterOf(records.get(offset));
      if (letter !== undefined && letter.id === id) found.push(letter);
    }
    return found;
  }

  async get(id: string): Promise<StoredMessage | undefined> {
    if (!(await this.#current())) return undefined;
    const entry = this.#fold.letters.get(id);
    if (entry === undefined) return undefined;
    const records = await this.#reader.read(this.#session.names.letters, 0, entry.offset);
    return letterOf(records.find(({ offset }) => offset === entry.offset));
  }

  async count(group: string | undefined): Promise<number> {
    return (await this.#current()) ? this.#fold.count(group) : 0;
  }

  async claim(ids: readonly string[], token: string, leaseMs: number): Promise<readonly string[]> {
    return (await this.#current()) ? await this.#ask({ is: "claim", ids, token, leaseMs }) : [];
  }

  async remove(ids: readonly string[], token: string): Promise<readonly string[]> {
    if (!(await this.#current())) return [];
    const removed = await this.#ask({ is: "remove", ids, token });
    this.#cut();
    return removed;
  }

  async purge(group: string): Promise<void> {
    if ((await this.#current()) && this.#fold.count(group) > 0) await this.#ask({ is: "purge", group });
  }

  close(error: unknown): void {
    this.#log?.close(error);
  }

  /** Writes it, and reads on to it: what it got is what the fold says. */
  async #ask(letter: LetterRecord): Promise<readonly string[]> {
    let got: readonly string[] = [];
    const offset = await this.#log!.append(new Uint8Array(0), undefined, recordHeaders("", { letter }, []));
    this.#answers.set(offset, (ids) => (got = ids));
    const known = this.#recent.get(offset);
    if (known !== undefined) this.#answer(offset, known);
    await this.#log!.reached(offset);
    return got;
  }

  #answer(offset: number, ids: readonly string[]): void {
    this.#answers.get(offset)?.(ids);
    this.#answers.delete(offset);
  }

  /** Has all that was written before it was asked; false: nothing was ever. */
  async #current(): Promise<boolean> {
    if (this.#log !== undefined) {
      await this.#log.current();
      return true;
    }
    return await (this.#opening ??= this.#open().finally(() => (this.#opening = undefined)));
  }

  async #open(): Promise<boolean> {
    const { cluster, names, loop, own: producer, options } = this.#session;
    cluster.topology.watch(names.letters);
    if (cluster.topology.leader(names.letters, 0) === undefined) await cluster.topology.refresh();
    if (cluster.topology.place(names.letters) === undefined) return false;
    const log = new FoldedLog({
      ...{ cluster, loop, producer, topic: names.letters, partition: 0 },
      timeoutMs: options.requestTimeoutMs * 2,
      record: (record) => this.#record(record),
    });
    try {
      await log.follow();
    } catch (error) {
      log.close(error);
      this.#fold = new LetterFold(); // the next one begins anew
      throw error;
    }
    this.#log = log;
    return true;
  }

  #record(record: FetchedRecord): void {
    const { letter } = readHeaders(record).more;
    if (letter === undefined) return;
    const ids = this.#fold.apply(letter, record.offset, record.time);
    this.#recent.set(record.offset, ids);
    if (this.#recent.size > 64) this.#recent.delete(this.#recent.keys().next().value!);
    this.#answer(record.offset, ids);
  }

  /** Made with the first connect, for those who may make nothing. */
  get topic(): NewTopic {
    const { names } = this.#session;
    return this.#session.ownTopic(names.letters, 1, { "segment.ms": "3600000", "max.message.bytes": ownMessageBytes });
  }

  /** What is below the oldest letter is needed by nobody. */
  #cut(): void {
    const offset = this.#fold.oldest ?? this.#log!.next;
    if (offset - this.#cutBelow < cutEvery) return;
    this.#cutBelow = offset;
    const { cluster, names } = this.#session;
    void cluster.deleteRecords([{ topic: names.letters, partition: 0, offset }]).catch(() => undefined); // with the next
  }
}

function letterOf(record: FetchedRecord | undefined): StoredMessage | undefined {
  if (record === undefined) return undefined;
  const { topic = "", more, headers } = readHeaders(record);
  const { letter } = more;
  if (letter?.is !== "letter") return undefined;
  const { id, to, group, key, storedAt, notBefore } = letter;
  const body = record.value ?? new Uint8Array(0);
  return { id, to: to as Address, group, topic, key, headers: headers(), body, storedAt, notBefore };
}
