import type { StoredMessage } from "../../driver.ts";
import type { AmqpDelivery } from "./client.ts";
import type { Definitions } from "./definitions.ts";
import { FoldedLog } from "./folded-log.ts";
import { type LetterEntry, LetterFold, type LetterRecord } from "./letter-fold.ts";
import { LogReader } from "./log-reader.ts";
import type { Session } from "./session.ts";
import { letterArguments } from "./topology.ts";

/** Dead letters: a log of what was put, claimed and removed, which who asks folds. Bodies stay in it, and are read again. */
export class Letters {
  readonly #session: Session;
  readonly #queue: string;
  readonly #log: FoldedLog<LetterFold>;

  constructor(session: Session, definitions: Definitions) {
    this.#session = session;
    this.#queue = session.names.own("l");
    const declare = async (): Promise<void> => {
      await session.ask((channel) =>
        channel.assertQueue(this.#queue, { durable: true, arguments: letterArguments(session.options.letterBytes) }),
      );
    };
    this.#log = new FoldedLog(
      session,
      this.#queue,
      declare,
      {
        begin: () => new LetterFold(),
        take: (fold, record, _message, offset) => fold.take(record as LetterRecord, offset),
      },
      () => definitions.once("letters", declare),
    );
  }

  get #fold(): LetterFold {
    return this.#log.state;
  }

  /** Resolves when it is stored. */
  async put({ body, ...letter }: StoredMessage): Promise<void> {
    await this.#log.append({ t: "p", letter } satisfies LetterRecord, body);
  }

  async list(group: string | undefined, after: string | undefined, limit: number): Promise<readonly StoredMessage[]> {
    await this.#log.current();
    return await this.#read(this.#fold.list(group, after, limit));
  }

  async get(id: string): Promise<StoredMessage | undefined> {
    await this.#log.current();
    const entry = this.#fold.get(id);
    return entry === undefined ? undefined : (await this.#read([entry]))[0];
  }

  async count(group: string | undefined): Promise<number> {
    await this.#log.current();
    return this.#fold.count(group);
  }

  /** The first record of a claim wins; its time is the claimant's. */
  async claim(ids: readonly string[], token: string, leaseMs: number): Promise<readonly string[]> {
    const at = this.#session.clock.now();
    await this.#log.write({ t: "c", ids, token, at, until: leaseMs === 0 ? 0 : at + leaseMs } satisfies LetterRecord);
    return leaseMs === 0 ? ids : ids.filter((id) => this.#fold.get(id)?.token === token);
  }

  async remove(ids: readonly string[], token: string): Promise<readonly string[]> {
    await this.#log.current();
    const at = this.#session.clock.now();
    const ours = ids.filter((id) => this.#fold.isClaimed(id, token, at));
    await this.#log.write({ t: "x", ids: ours, token, at } satisfies LetterRecord);
    return ours.filter((id) => this.#fold.get(id) === undefined);
  }

  /** All of a group that is deleted. */
  async forget(group: string): Promise<void> {
    await this.#log.current();
    if (this.#fold.count(group) > 0) await this.#log.write({ t: "g", group } satisfies LetterRecord);
  }

  close(): void {
    this.#log.close();
  }

  async #read(entries: readonly LetterEntry[]): Promise<readonly StoredMessage[]> {
    const wanted = new Map(entries.map((entry) => [entry.offset, entry]));
    const found = new Map<number, StoredMessage>();
    const first = Math.min(...wanted.keys());
    if (wanted.size > 0) await this.#readFrom(first, wanted, found);
    return entries.flatMap(({ offset }) => found.get(offset) ?? []);
  }

  async #readFrom(
    first: number,
    wanted: ReadonlyMap<number, LetterEntry>,
    found: Map<number, StoredMessage>,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => undefined); // opening it may fail first
    const last = Math.max(...wanted.keys());
    const reader = new LogReader(this.#session, this.#queue, {
      record: (message, offset) => {
        if (wanted.has(offset)) found.set(offset, letterOf(message));
        if (offset >= last) resolve();
      },
      ended: reject,
    });
    try {
      await reader.open(first, 200);
      await promise;
    } finally {
      reader.close();
    }
  }
}

function letterOf({ properties, content }: AmqpDelivery): StoredMessage {
  const { letter } = JSON.parse(String(properties.headers?.["r"])) as Extract<LetterRecord, { readonly t: "p" }>;
  return { ...letter, key: letter.key, notBefore: letter.notBefore, group: letter.group, body: content };
}
