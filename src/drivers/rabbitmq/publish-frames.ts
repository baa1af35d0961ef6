import type { AmqpFields, AmqpProperties } from "./client.ts";
import { TableWriter } from "./table-writer.ts";

/** What is used of a socket. */
export interface FrameSocket {
  readonly writable: boolean;
  write(bytes: Buffer): boolean;
}

const [methodFrame, headerFrame, bodyFrame, frameEnd] = [1, 2, 3, 0xce];
/** Type, channel and size, and the byte behind it all. */
const [frameHead, frameOverhead] = [7, 8];
/** Class and method of `basic.publish`; of the header, class and weight. */
const [basicPublish, basicHeader] = [0x003c_0028, 0x003c_0000];
/** A client may send no larger table: the server's decoder of a header is one frame. */
const mostHeaderBytes = 65_536;
/** Written together, until that many. */
const mostTogether = 65_536;

const flags = {
  contentType: 0x8000,
  headers: 0x2000,
  deliveryMode: 0x1000,
  replyTo: 0x0200,
  expiration: 0x0100,
  messageId: 0x0080,
  timestamp: 0x0040,
  appId: 0x0008,
};

/**
 * What one channel publishes, as the protocol has it, and in one write a turn: the client makes five buffers of each message and moves
 * them through two streams, which takes more time than everything else of a publish. Nothing but this may publish on the channel.
 */
export class PublishFrames {
  readonly #socket: FrameSocket;
  readonly #channel: number;
  readonly #mostBody: number;
  readonly #out = new TableWriter();
  #scheduled = false;
  #closed = false;

  constructor(socket: FrameSocket, channel: number, frameMax: number) {
    this.#socket = socket;
    this.#channel = channel;
    this.#mostBody = frameMax - frameOverhead;
  }

  /** Throws, and nothing of it is sent, when a name or the headers are longer than the protocol has it. */
  publish(to: AmqpFields, body: Uint8Array, properties: AmqpProperties, mandatory: boolean): void {
    const out = this.#out;
    if (out.at >= mostTogether) this.#flush();
    const start = out.at;
    try {
      this.#method(to, mandatory);
      this.#header(properties, body.byteLength);
    } catch (error) {
      out.at = start;
      throw error;
    }
    for (let from = 0; from < body.byteLength; from += this.#mostBody) {
      const frame = this.#begin(bodyFrame);
      out.bytes(body.subarray(from, from + this.#mostBody));
      this.#end(frame);
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** What was not written yet never is. */
  close(): void {
    this.#closed = true;
  }

  #method({ exchange, routingKey }: AmqpFields, mandatory: boolean): void {
    const out = this.#out;
    const frame = this.#begin(methodFrame);
    out.uint32(basicPublish);
    out.uint16(0); // a ticket, of long ago
    out.shortText("exchange", exchange);
    out.shortText("routing key", routingKey);
    out.uint8(mandatory ? 1 : 0);
    this.#end(frame);
  }

  #header(properties: AmqpProperties, size: number): void {
    const { contentType, headers, deliveryMode, replyTo, expiration, messageId, timestamp, appId } = properties;
    const out = this.#out;
    const frame = this.#begin(headerFrame);
    out.uint32(basicHeader);
    out.uint64(size);
    const flagsAt = out.at;
    out.uint16(0);
    let set = 0;
    if (contentType !== undefined) {
      set |= flags.contentType;
      out.shortText("content type", contentType);
    }
    if (headers !== undefined) {
      set |= flags.headers;
      const from = out.at;
      out.table(headers);
      if (out.at - from > mostHeaderBytes) throw new RangeError(`headers may have at most ${mostHeaderBytes} bytes`);
    }
    if (deliveryMode !== undefined) {
      set |= flags.deliveryMode;
      out.uint8(deliveryMode);
    }
    if (replyTo !== undefined) {
      set |= flags.replyTo;
      out.shortText("address of the answer", replyTo);
    }
    if (expiration !== undefined) {
      set |= flags.expiration;
      out.shortText("expiration", expiration);
    }
    if (messageId !== undefined) {
      set |= flags.messageId;
      out.shortText("message id", messageId);
    }
    if (timestamp !== undefined) {
      set |= flags.timestamp;
      out.uint64(timestamp);
    }
    if (appId !== undefined) {
      set |= flags.appId;
      out.shortText("application id", appId);
    }
    const end = out.at;
    out.at = flagsAt;
    out.uint16(set);
    out.at = end;
    this.#end(frame);
  }

  /** Where it begins. */
  #begin(type: number): number {
    const out = this.#out;
    const from = out.at;
    out.uint8(type);
    out.uint16(this.#channel);
    out.uint32(0);
    return from;
  }

  #end(from: number): void {
    const out = this.#out;
    const size = out.at - from - frameHead;
    out.uint8(frameEnd);
    const end = out.at;
    out.at = from + 3;
    out.uint32(size);
    out.at = end;
  }

  #flush(): void {
    const bytes = this.#out.take();
    // what its connection did not end for is said by its end
    if (!this.#closed && this.#socket.writable && bytes.length > 0) this.#socket.write(bytes);
  }
}
