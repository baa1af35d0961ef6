import type { Headers } from "../../driver.ts";
import type { NatsMessage, NoteData } from "./message.ts";
import { queueLane } from "./names.ts";
import type { Shared } from "./shared.ts";

/** Says when a message that was given back is due, for those who only count. */
const dueHeader = "Omnibus-Due";
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What is kept beside the messages of one group: a message a subject, read only for what was delivered before. */
export class Notes {
  readonly #shared: Shared;
  readonly #group: string;

  constructor(shared: Shared, group: string) {
    this.#shared = shared;
    this.#group = group;
  }

  /** `due`: it was given back, and comes again then. */
  async write(message: NatsMessage, note: NoteData, due?: number): Promise<void> {
    const headers: Headers = due === undefined ? [] : [[dueHeader, String(Math.round(due))]];
    await this.#shared.api.publish(this.#subject(message), encoder.encode(JSON.stringify(note)), headers);
  }

  /** From the leader: what another member wrote a moment ago counts. */
  async read(message: NatsMessage): Promise<NoteData | undefined> {
    const found = await this.#shared.api.message(this.#shared.session.names.notes, {
      last_by_subj: this.#subject(message),
    });
    return found === undefined ? undefined : parsed(found.body);
  }

  /** The message is settled; a note that stays behind harms nobody and ages. */
  drop(message: NatsMessage): void {
    const { api, session } = this.#shared;
    if (session.connected) api.purge(session.names.notes, { filter: this.#subject(message) }).catch(() => undefined);
  }

  async dropAll(stream: string): Promise<void> {
    const { api, session } = this.#shared;
    await api.purge(session.names.notes, { filter: session.names.noteFilter(this.#group, stream) });
  }

  /** The sequences of a stream that have one. */
  async sequences(stream: string): Promise<ReadonlySet<number>> {
    const { api, session } = this.#shared;
    const filter = session.names.noteFilter(this.#group, stream);
    const info = await api.streamInfo(session.names.notes, { subjects_filter: filter });
    const found = new Set<number>();
    for (const subject of Object.keys(info?.state.subjects ?? {}))
      found.add(Number(subject.slice(subject.lastIndexOf(".") + 1)));
    return found;
  }

  #subject({ place, sequence }: NatsMessage): string {
    const { names } = this.#shared.session;
    return names.note(this.#group, place.lane === "queue" ? queueLane : streamOf(place.partition!), sequence);
  }
}

/** `events` of `events/3`. */
export function streamOf(partition: string): string {
  const slash = partition.lastIndexOf("/");
  return slash < 0 ? partition : partition.slice(0, slash);
}

function parsed(body: Uint8Array): NoteData | undefined {
  try {
    const note = JSON.parse(decoder.decode(body)) as NoteData;
    return typeof note.base === "number" && Array.isArray(note.headers) ? note : undefined;
  } catch {
    return undefined; // another program's
  }
}

/** What was noted before stays, unless it is named again. */
export function mergedHeaders(before: Headers, more: Headers): Headers {
  if (before.length === 0 || more.length === 0) return more.length === 0 ? before : more;
  const named = new Set(more.map(([name]) => name));
  return [...before.filter(([name]) => !named.has(name)), ...more];
}
