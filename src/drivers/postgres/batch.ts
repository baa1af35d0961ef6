import type { Headers, OutMessage } from "../../driver.ts";
import { bigintArray, bytesArray, smallintArray, textArray } from "./binary-array.ts";
import { brokerKey } from "./broker-key.ts";
import type { Value } from "./link.ts";
import { escapeText } from "./text-escape.ts";

/** A stream, or a group's queue. */
export interface Lane {
  readonly id: number;
  readonly partitions: number;
}

/** Below 1,024, which is what a place has room for. */
const mostMessages = 1_000;
const mostBytes = 4 * 1_048_576;

/** Messages for one lane that go in one call, in call order. */
export class Batch {
  readonly lane: Lane;
  readonly messages: OutMessage[] = [];
  bytes = 0;

  constructor(lane: Lane, messages: readonly OutMessage[] = []) {
    this.lane = lane;
    for (const message of messages) this.add(message);
  }

  get full(): boolean {
    return this.messages.length >= mostMessages || this.bytes >= mostBytes;
  }

  add(message: OutMessage): void {
    this.messages.push(message);
    this.bytes += message.body.byteLength;
  }

  partitionOf({ hash }: OutMessage): number {
    return hash % this.lane.partitions;
  }

  get partitions(): readonly number[] {
    return this.messages.map((message) => this.partitionOf(message));
  }

  /** How many from the first on are no more than that together. */
  fitting(messages: number, bytes: number): number {
    let left = bytes;
    let count = 0;
    while (count < this.messages.length && count < messages && this.messages[count]!.body.byteLength <= left)
      left -= this.messages[count++]!.body.byteLength;
    return count;
  }
}

/** The arguments of `append`, and of each message in call order how far it comes behind its partition's newest. */
export interface Appending {
  readonly values: readonly Value[];
  /** Index into the answer, and what is to be added. */
  readonly parts: Int32Array;
  readonly numbers: Int32Array;
}

export function appending(batch: Batch, now: number, checked: boolean): Appending {
  const { lane, messages } = batch;
  const count = messages.length;
  const { used, parts, places } = sorted(batch);
  const numbers = new Int32Array(count);
  const [counts, bytes] = [new Int32Array(used.length), new Float64Array(used.length)];
  const packed = new Float64Array(count);
  const order: OutMessage[] = Array.from({ length: count });
  for (let index = 0; index < count; index += 1) {
    const [part, place] = [parts[index]!, places[index]!];
    numbers[index] = counts[part] = counts[part]! + 1;
    bytes[part] = bytes[part]! + messages[index]!.body.byteLength;
    packed[place] = ((part + 1) * 1_024 + numbers[index]!) * 0x1_0000_0000 + bytes[part]!;
    order[place] = messages[index]!;
  }
  return {
    parts,
    numbers,
    values: [String(lane.id), smallintArray(used), bigintArray(packed), ...messageValues(order, now), String(checked)],
  };
}

/** The partitions that are used, in order; of each message the index of its own, and its place when they are sorted by that. */
function sorted(batch: Batch): { readonly used: number[]; readonly parts: Int32Array; readonly places: Int32Array } {
  const { lane, messages } = batch;
  const next = new Int32Array(lane.partitions);
  for (const message of messages) next[batch.partitionOf(message)]! += 1;
  const used: number[] = [];
  const indexes = new Int32Array(lane.partitions);
  let from = 0;
  for (let partition = 0; partition < lane.partitions; partition += 1) {
    const count = next[partition]!;
    if (count > 0) indexes[partition] = used.push(partition) - 1;
    next[partition] = from;
    from += count;
  }
  const [parts, places] = [new Int32Array(messages.length), new Int32Array(messages.length)];
  for (let index = 0; index < messages.length; index += 1) {
    const partition = batch.partitionOf(messages[index]!);
    parts[index] = indexes[partition]!;
    places[index] = next[partition]!;
    next[partition]! += 1;
  }
  return { used, parts, places };
}

/** Topics, keys, headers, ids, how long they last, bodies: an array each. Times are from now on, so no two clocks are compared. */
export function messageValues(messages: readonly OutMessage[], now: number): readonly Value[] {
  const headers = messages.map((message) => textOf(message.headers));
  const expires = messages.map(({ expiresAt }) => (expiresAt === undefined ? null : Math.ceil(expiresAt - now)));
  return [
    textArray(messages.map(({ to }) => (to.kind === "inbox" ? "" : to.topic))),
    textArray(messages.map(({ key }) => (key === undefined ? null : escapeText(key)))),
    headers.every((text) => text === null) ? null : textArray(headers),
    bytesArray(messages.map(({ brokerId }) => brokerKey(brokerId))),
    expires.every((ms) => ms === null) ? null : bigintArray(expires),
    bytesArray(messages.map(({ body }) => body)),
  ];
}

const texts = new WeakMap<Headers, string>();

/** The list is never changed once sent, so that of a shared one the text is kept. */
function textOf(headers: Headers): string | null {
  if (headers.length === 0) return null;
  let text = texts.get(headers);
  if (text === undefined) texts.set(headers, (text = JSON.stringify(headers)));
  return text;
}

/** `{1,2,3}` */
export function numbersOf(array: string | null | undefined): readonly number[] {
  return (array ?? "{}").slice(1, -1).split(",").map(Number);
}
