import type { OutMessage } from "../../driver.ts";
import { encodeHeaders, FrameWriter } from "./frame.ts";
import { optional } from "./stored-frame.ts";

/** A script must not hold the server up for longer than 2 ms or so. */
const mostMessages = 128;
const mostBytes = 262_144;

/** Messages for one lane that go in one script, in call order. */
export class Chunk {
  readonly lane: string;
  readonly messages: OutMessage[] = [];
  readonly #frame: FrameWriter;

  constructor(lane: string) {
    this.lane = lane;
    this.#frame = new FrameWriter(1_024).short(lane);
  }

  get full(): boolean {
    return this.messages.length >= mostMessages || this.#frame.size >= mostBytes;
  }

  /** `now` by our clock: the server gets how long it is until then. */
  add(message: OutMessage, topic: string, now: number): void {
    const { notBefore } = message;
    this.#frame
      .short(message.brokerId)
      .short(topic)
      .short(optional(message.key))
      .text(encodeHeaders(message.headers))
      .uint(message.hash)
      .double(notBefore === undefined ? 0 : Math.max(notBefore - now, 0))
      .bytes(message.body);
    this.messages.push(message);
  }

  frame(): Buffer {
    return this.#frame.finish();
  }
}

/** One turn's messages by lane; each lane's in call order, over as many chunks as they need. */
export class Packing {
  readonly chunks: Chunk[] = [];
  readonly #open = new Map<string, Chunk>();

  add(lane: string, message: OutMessage, topic: string, now: number): void {
    let chunk = this.#open.get(lane);
    if (chunk === undefined || chunk.full) {
      chunk = new Chunk(lane);
      this.#open.set(lane, chunk);
      this.chunks.push(chunk);
    }
    chunk.add(message, topic, now);
  }
}
