import type { Consumption, InMessage, Sink, Source, Window } from "../../driver.ts";
import { AckOnly } from "../../internal/ack-only.ts";
import { Credit } from "../../internal/credit.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { Fifo } from "../../internal/fifo.ts";
import { TopicTrie } from "../../internal/topic-trie.ts";
import { readEntry } from "./attach.ts";
import { replyWord } from "./errors.ts";
import { compareIds } from "./id.ts";
import { entryMessage, type RedisMessage } from "./message.ts";
import type { Session } from "./session.ts";
import { countAfter, keyOf, laneInfo, type LaneInfo, type PartitionInfo } from "./stream-info.ts";
import { placeNow, type Place, startPlace } from "./tail-gap.ts";
import { readerOf, type TailClient, type TailPart, type TailReader } from "./tail-reader.ts";

type TailSource = Extract<Source, { readonly kind: "tail" }>;

const unlimited: Window = { messages: Infinity, bytes: Infinity };
/** Further behind at the start than this, what goes before it was read can't be counted. */
const countedAtOpening = 1_000;
const firstAverage = 512;

/** Reads a stream from some place on, for this process alone; nothing of it is stored. */
export async function openTail(session: Session, source: TailSource, sink: Sink, window: Window): Promise<Consumption> {
  const lane = session.keys.stream(source.stream);
  const info = await laneInfo(session, lane).catch((error: unknown) => {
    throw replyWord(error) === "NOSTREAM" ? noStream(source.stream) : error;
  });
  const tail = new Tail(session, source.stream, lane, info, sink, window);
  await tail.begin(source, info.partitions);
  return tail;
}

const noStream = (name: string): DriverError => new DriverError("BUS_NOT_FOUND", `redis: there is no stream "${name}"`);

/** What waits and what is handed out of one partition. */
class Part implements TailPart {
  readonly key: string;
  readonly ref: string;
  readonly partition: string;
  readonly waiting = new Fifo<RedisMessage>();
  place: Place = { position: "0-0", counted: undefined };
  readonly credit = new Credit(unlimited);
  readonly #read: (part: Part, id: string, fields: readonly Buffer[]) => void;

  constructor(
    key: string,
    ref: string,
    partition: string,
    read: (part: Part, id: string, fields: readonly Buffer[]) => void,
  ) {
    this.key = key;
    this.ref = ref;
    this.partition = partition;
    this.#read = read;
  }

  get position(): string {
    return this.place.position;
  }

  take(id: string, fields: readonly Buffer[]): void {
    if (compareIds(id, this.place.position) <= 0) return;
    const { counted } = this.place;
    this.place = { position: id, counted: counted === undefined ? undefined : counted + 1 };
    this.#read(this, id, fields);
  }
}

class Tail extends AckOnly implements Consumption, TailClient {
  readonly address: undefined = undefined;
  readonly #session: Session;
  readonly #name: string;
  readonly #lane: string;
  readonly #hash: LaneInfo["hash"];
  readonly #reader: TailReader;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #parts: readonly Part[];
  readonly #byPartition: ReadonlyMap<string, Part>;
  /** Undefined: everything, until it says what it wants. */
  #patterns: readonly string[] | undefined = undefined;
  #wants = new TopicTrie<true>();
  #waiting = 0;
  #first = 0;
  #average = firstAverage;
  #state: "open" | "stopped" | "closed" = "open";

  constructor(session: Session, name: string, lane: string, info: LaneInfo, sink: Sink, window: Window) {
    super("redis", "tail");
    this.#session = session;
    this.#name = name;
    this.#lane = lane;
    this.#hash = info.hash;
    this.#reader = readerOf(session);
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#parts = info.partitions.map(
      ({ ref }) => new Part(keyOf(session, info, ref), ref, session.keys.partitionOf(ref), this.#read),
    );
    this.#byPartition = new Map(this.#parts.map((part) => [part.partition, part]));
  }

  /** Fixes where it starts: whatever is stored from now on is delivered. */
  async begin({ from, resume }: TailSource, infos: readonly PartitionInfo[]): Promise<void> {
    const start = resume === undefined || resume.size === 0 ? from : { positions: Object.fromEntries(resume) };
    let lost: number | undefined = 0;
    for (const [number, part] of this.#parts.entries()) {
      const info = infos[number]!;
      const found = startPlace(start, part.partition, info);
      part.place = found.place;
      lost = sum(lost, found.lost);
      if (part.place.counted !== undefined) continue;
      const after = await countAfter(this.#session, part.ref, part.place.position, countedAtOpening);
      const { position } = part.place;
      if (after < countedAtOpening) part.place = { position, counted: info.added - after };
    }
    this.#say(lost);
    this.#reader.add(this);
  }

  wanted(): { readonly parts: readonly Part[]; readonly each: number } {
    const messages = this.#credit.messages - this.#waiting;
    const { bytes } = this.#credit;
    if (this.#state !== "open" || messages <= 0 || bytes <= 0) return { parts: [], each: 0 };
    const parts = this.#parts.filter((part) => part.credit.hasRoom && part.waiting.length === 0);
    if (parts.length === 0) return { parts, each: 0 };
    const each = Math.min(messages, bytes / this.#average) / parts.length;
    return { parts, each: Math.max(1, Math.min(Math.floor(each), 1_000)) };
  }

  pump(): void {
    if (this.#state !== "open" || this.#waiting === 0) return;
    const messages: RedisMessage[] = [];
    // each is first in its turn, or a small window would starve the last
    const { length } = this.#parts;
    this.#first = (this.#first + 1) % length;
    for (let step = 0; step < length; step += 1) {
      const part = this.#parts[(this.#first + step) % length]!;
      while (part.waiting.length > 0 && part.credit.hasRoom && this.#credit.hasRoom) {
        const message = part.waiting.shift()!;
        this.#waiting -= 1;
        this.#credit.take(message.size);
        part.credit.take(message.size);
        messages.push(message);
      }
    }
    if (messages.length > 0) this.#sink.deliver(messages);
  }

  async look(): Promise<void> {
    if (this.#state !== "open") return;
    let info: LaneInfo;
    try {
      info = await laneInfo(this.#session, this.#lane);
    } catch (error) {
      if (replyWord(error) !== "NOSTREAM") throw error;
      this.end(new DriverError("BUS_NOT_FOUND", `redis: the stream "${this.#name}" was deleted`));
      return;
    }
    if (info.partitions.length !== this.#parts.length) {
      this.end(new DriverError("BUS_NOT_FOUND", `redis: the stream "${this.#name}" was made anew`));
      return;
    }
    let lost: number | undefined = 0;
    for (const [number, part] of this.#parts.entries()) {
      const found = placeNow(part.place, info.partitions[number]!);
      part.place = found.place;
      lost = sum(lost, found.lost);
    }
    this.#say(lost);
  }

  window(window: Window, partition?: string): void {
    if (partition === undefined) this.#credit.window = window;
    else {
      const part = this.#byPartition.get(partition);
      if (part !== undefined) part.credit.window = window;
    }
    this.#more();
  }

  wants(patterns: readonly string[]): Promise<void> {
    this.#patterns = patterns;
    this.#wants = new TopicTrie();
    for (const pattern of patterns) this.#wants.add(pattern, true);
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const each of messages as readonly RedisMessage[]) {
      if (each.over) continue;
      each.over = true;
      this.#credit.give(each.size);
      this.#byPartition.get(each.partition!)!.credit.give(each.size);
    }
    this.#more();
  }

  stop(): Promise<void> {
    if (this.#state === "open") this.#state = "stopped";
    this.#reader.remove(this);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#state = "closed";
    this.#reader.remove(this);
    return Promise.resolve();
  }

  end(error: unknown): void {
    if (this.#state === "closed") return;
    void this.close();
    this.#sink.ended(error, false);
  }

  readonly #read = (part: Part, id: string, fields: readonly Buffer[]): void => {
    if (this.#state !== "open") return;
    const entry = readEntry(this.#hash, fields);
    if (this.#patterns !== undefined && this.#wants.match(entry.topic).length === 0) return;
    const message = entryMessage(this.#session.keys, part.ref, id, entry);
    this.#average += (message.size - this.#average) / 64;
    part.waiting.push(message);
    this.#waiting += 1;
  };

  #more(): void {
    if (this.#state !== "open") return;
    this.pump();
    this.#reader.nudge();
  }

  /** Of what is gone nobody can tell any more whether it was wanted. */
  #say(lost: number | undefined): void {
    if (lost === 0 || this.#state !== "open") return;
    const all = this.#patterns === undefined || this.#patterns.includes(">");
    this.#sink.lost(all ? lost : undefined, "dropped by the stream before the tail came to it");
  }
}

const sum = (left: number | undefined, right: number | undefined): number | undefined =>
  left === undefined || right === undefined ? undefined : left + right;
