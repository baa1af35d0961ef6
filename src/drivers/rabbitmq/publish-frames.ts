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
/** As many as the client takes. */
const mostHeaderBytes = 65_536;
/** Written together, until that many. */
const mostTogether = 65_536;

const flags = {
  contentType: 0x8000,
  contentEncoding: 0x4000,
  headers: 0x2000,
  deliveryMode: 0x1000,
  priority: 0x0800,
  correlationId: 0x0400,
  replyTo: 0x0200,
  expiration: 0x0100,
  messageId: 0x0080,
  timestamp: 0x0040,
  type: 0x0020,
  appId: 0x0008,
};

type TextProperty =
  | "contentType"
  | "contentEncoding"
  | "correlationId"
  | "replyTo"
  | "expiration"
  | "messageId"
  | "type"
  | "appId";

/**
 * What one channel publishes, as the protocol has it, all of a turn together: the client makes five buffers of each message and moves
 * them through two streams, which takes more time than everything else of a publish. Nothing but this may publish on the channel.
 */
export class PublishFrames {
  readonly #socket: FrameSocket;
  readonly #channel: number;
  readonly #mostBody: number;
  readonly #out = new TableWriter();
  #unwritten = 0;
  #scheduled = false;
  #closed = false;

  constructor(socket: FrameSocket, channel: number, frameMax: number) {
    this.#socket = socket;
    this.#channel = channel;
    this.#mostBody = frameMax - frameOverhead;
  }

  /** Throws, and nothing of it is sent, when a name or the headers are longer than the protocol or the server has it. */
  publish(to: AmqpFields, body: Uint8Array, properties: AmqpProperties, mandatory: boolean): void {
    const out = this.#out;
    if (out.at >= mostTogether) this.#flush();
    const start = out.at;
    try {
      this.#method(to, mandatory);
      this.#header(properties, body.byteLength);
      out.reserve(body.byteLength + frameOverhead * Math.ceil(body.byteLength / this.#mostBody));
    } catch (error) {
      out.at = start;
      throw error;
    }
    for (let from = 0; from < body.byteLength; from += this.#mostBody) {
      const frame = this.#begin(bodyFrame);
      out.bytes(body.subarray(from, from + this.#mostBody));
      this.#end(frame);
    }
    this.#unwritten += 1;
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** How many of the last ones were not written, and never are. */
  close(): number {
    this.#closed = true;
    return this.#unwritten;
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
    const { headers, deliveryMode, priority, timestamp } = properties;
    const out = this.#out;
    const frame = this.#begin(headerFrame);
    out.uint32(basicHeader);
    out.uint64(size);
    const flagsAt = out.at;
    out.uint16(0);
    let set = this.#text("contentType", properties) | this.#text("contentEncoding", properties);
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
    if (priority !== undefined) {
      set |= flags.priority;
      out.uint8(priority);
    }
    for (const name of ["correlationId", "replyTo", "expiration", "messageId"] as const)
      set |= this.#text(name, properties);
    if (timestamp !== undefined) {
      set |= flags.timestamp;
      out.uint64(timestamp);
    }
    set |= this.#text("type", properties) | this.#text("appId", properties);
    const end = out.at;
    out.at = flagsAt;
    out.uint16(set);
    out.at = end;
    this.#end(frame);
  }

  /** Its flag, if there is one. */
  #text(name: TextProperty, properties: AmqpProperties): number {
    const text = properties[name];
    if (text === undefined) return 0;
    this.#out.shortText(name, text);
    return flags[name];
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
    if (size > this.#mostBody) throw new RangeError(`a frame may have at most ${this.#mostBody} bytes`);
    out.uint8(frameEnd);
    const end = out.at;
    out.at = from + 3;
    out.uint32(size);
    out.at = end;
  }

  #flush(): void {
    if (this.#closed || this.#unwritten === 0) return;
    const bytes = this.#out.take();
    if (!this.#socket.writable) return; // its end, which is about to be told, says what was not written
    this.#unwritten = 0;
    this.#socket.write(bytes);
  }
}
