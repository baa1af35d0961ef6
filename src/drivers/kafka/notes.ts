import type { Headers } from "../../driver.ts";
import type { NewTopic } from "./client.ts";
import { MadeOnce, makeOwnTopics } from "./own-topics.ts";
import type { RecordReader } from "./record-reader.ts";
import type { Session } from "./session.ts";

const placeName = "=at";
/** Longer ones don't go beside an offset. */
export const longestNote = 400;
const partitions = 1;
const keptMs = 2_592_000_000;

/** What is noted of a message and has no room beside the committed offset, which names its place here. */
export class Notes {
  readonly #session: Session;
  readonly #reader: RecordReader;
  readonly #made = new MadeOnce(() => makeOwnTopics(this.#session, [this.topic]));

  constructor(session: Session, reader: RecordReader) {
    this.#session = session;
    this.#reader = reader;
  }

  /** What is to stand beside the offset instead of these. */
  async keep(headers: Headers): Promise<Headers> {
    const { names } = this.#session;
    const value = Buffer.from(JSON.stringify(headers));
    const record = { topic: names.notes, partition: 0, key: undefined, value, headers: [] };
    return [[placeName, String(await this.#made.before(() => this.#session.store(record)))]];
  }

  async read(headers: Headers): Promise<Headers> {
    const place = headers.find(([name]) => name === placeName)?.[1];
    if (place === undefined) return headers;
    const [record] = await this.#reader.read(this.#session.names.notes, 0, Number(place));
    if (record === undefined || record.offset !== Number(place)) return [];
    return JSON.parse(String(record.value)) as Headers;
  }

  /** Made with the first connect, for those who may make nothing. */
  get topic(): NewTopic {
    const config = { "retention.ms": String(keptMs), "segment.ms": "86400000" };
    return this.#session.ownTopic(this.#session.names.notes, partitions, config);
  }
}
