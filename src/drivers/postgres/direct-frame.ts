import type { OutMessage } from "../../driver.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";
import { RowMessage } from "../../internal/rows/message.ts";

interface Head {
  readonly topic: string;
  readonly key: string | null;
  readonly headers: string | null;
  readonly replyTo: string | null;
  /** In how many milliseconds it is of no use any more. */
  readonly lasts: number | null;
}

/** Its head's length, its head as JSON, its body. */
export function frameOf({ to, key, headers, replyTo, expiresAt, body }: OutMessage, now: number): Buffer {
  const head: Head = {
    topic: to.kind === "inbox" ? "" : to.topic,
    key: key ?? null,
    headers: encodeHeaders(headers),
    replyTo: replyTo ?? null,
    lasts: expiresAt === undefined ? null : Math.max(0, Math.ceil(expiresAt - now)),
  };
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text, body]);
}

export interface DirectMessage {
  readonly message: RowMessage;
  readonly expires: number | undefined;
}

export function messageOfFrame(frame: Buffer, lane: "direct" | "inbox", now: number): DirectMessage {
  const end = 4 + frame.readUInt32BE(0);
  const head = JSON.parse(frame.toString("utf8", 4, end)) as Head;
  const row = { seq: 0, topic: head.topic, key: head.key, headers: head.headers, body: frame.subarray(end) };
  const place = { deliveries: 1, attempts: 0, notBefore: undefined, notes: null, replyTo: head.replyTo ?? undefined };
  return {
    message: new RowMessage(row, undefined, lane, undefined, place),
    expires: head.lasts === null ? undefined : now + head.lasts,
  };
}
