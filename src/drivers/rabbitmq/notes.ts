import type { Headers, Note } from "../../driver.ts";
import { FoldedLog } from "./folded-log.ts";
import type { NoteData, RabbitMessage } from "./message.ts";
import type { Session } from "./session.ts";
import { noteArguments } from "./topology.ts";

type NoteRecord =
  | { readonly t: "n"; readonly id: string; readonly a: number; readonly d?: number; readonly h: Headers }
  | { readonly t: "b"; readonly ids: readonly string[] }
  | { readonly t: "x"; readonly ids: readonly string[] };

const forgetMs = 250;

/** What is kept beside the messages of a group: attempts, due times, what was handed back untouched. Read when it is needed. */
export class Notes {
  readonly #session: Session;
  readonly #log: FoldedLog<Map<string, NoteData>>;
  readonly #over = new Set<string>();
  #current: Promise<void> | undefined;
  #timer: Disposable | undefined;

  constructor(session: Session, group: string) {
    this.#session = session;
    const queue = session.names.notes(group);
    this.#log = new FoldedLog(
      session,
      queue,
      async () => {
        await session.ask((channel) =>
          channel.assertQueue(queue, {
            durable: true,
            arguments: noteArguments,
          }),
        );
      },
      { begin: () => new Map(), take: (notes, record) => fold(notes, record as NoteRecord) },
    );
  }

  get #notes(): Map<string, NoteData> {
    return this.#log.state;
  }

  /** As of this call; those who ask while one is being read share the next reading. */
  current(): Promise<void> {
    return (this.#current ??= new Promise<void>((resolve, reject) => {
      this.#session.clock.soon(() => {
        this.#current = undefined;
        this.#log.current().then(resolve, reject);
      });
    }));
  }

  /** Of a message that was handed out before. */
  apply(message: RabbitMessage): void {
    const note = this.#notes.get(message.id);
    if (note === undefined) return;
    const { attempts, headers } = message.noted;
    message.noted = note.attempts < attempts ? { ...note, attempts, headers: merged(headers, note.headers) } : note;
  }

  /** Resolves when it is stored. */
  async record({ message, attempts, notBefore, headers }: Note): Promise<void> {
    const { id } = message as RabbitMessage;
    await this.#log.append({
      t: "n",
      id,
      a: attempts,
      ...(notBefore === undefined ? {} : { d: notBefore }),
      h: headers,
    } satisfies NoteRecord);
    const noted = (message as RabbitMessage).noted;
    (message as RabbitMessage).noted = {
      attempts,
      notBefore,
      headers: merged(noted.headers, headers),
      back: noted.back,
    };
    this.#notes.set(id, (message as RabbitMessage).noted);
  }

  /** The next delivery of these is not to be counted. */
  async back(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.#log.append({ t: "b", ids } satisfies NoteRecord);
  }

  /** It is settled. */
  forget(message: RabbitMessage): void {
    if (!this.#notes.delete(message.id) && message.noted.back === 0) return;
    this.#over.add(message.id);
    this.#timer ??= this.#session.clock.after(forgetMs, () => this.#tell());
  }

  async close(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#tell();
    this.#log.close();
  }

  #tell(): void {
    this.#timer = undefined;
    if (this.#over.size === 0) return;
    const ids = [...this.#over];
    this.#over.clear();
    this.#log.append({ t: "x", ids } satisfies NoteRecord).catch(() => undefined); // they go with the log's age
  }
}

function fold(notes: Map<string, NoteData>, record: NoteRecord): void {
  switch (record.t) {
    case "n": {
      const before = notes.get(record.id);
      notes.set(record.id, {
        attempts: record.a,
        notBefore: record.d,
        headers: merged(before?.headers ?? [], record.h),
        back: before?.back ?? 0,
      });
      return;
    }
    case "b":
      for (const id of record.ids) {
        const before = notes.get(id) ?? { attempts: 0, notBefore: undefined, headers: [], back: 0 };
        notes.set(id, { ...before, back: before.back + 1 });
      }
      return;
    case "x":
      for (const id of record.ids) notes.delete(id);
  }
}

/** What was added later wins. */
export function merged(before: Headers, added: Headers): Headers {
  if (before.length === 0) return added;
  const names = new Set(added.map(([name]) => name));
  return [...before.filter(([name]) => !names.has(name)), ...added];
}
