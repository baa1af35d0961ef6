import type {
  Address,
  ConnectContext,
  Consumption,
  Driver,
  DriverConnection,
  GroupSpec,
  InMessage,
  Member,
  OutMessage,
  Sink,
  Source,
  StoredMessage,
  Window,
} from "../../src/driver.ts";
import { systemClock, type Clock } from "../../src/clock.ts";

const inEachTurn = 50;

/** Waits for a condition, looked at in every turn of the event loop, later every millisecond; fails with what was waited for. */
export async function until(
  condition: () => boolean,
  what: string | (() => string),
  deadlineMs = 8_000, // less than a lease, by which a lost wake-up would heal
): Promise<void> {
  const start = performance.now();
  for (let turn = 0; !condition(); turn += 1) {
    if (performance.now() - start > deadlineMs)
      throw new Error(`not within ${deadlineMs} ms: ${typeof what === "string" ? what : what()}`);
    await new Promise((resolve) => (turn < inEachTurn ? setImmediate(resolve) : setTimeout(resolve, 1)));
  }
}

/** So many turns of the event loop: for what must not happen, after a turn in which it would have. */
export async function turns(count = 5): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export interface TestConnection {
  readonly connection: DriverConnection;
  /** How often the routing table was said to have changed. */
  readonly changes: () => number;
}

let members = 0;

export async function connectTo(
  driver: Driver,
  options: {
    readonly clock?: Clock;
    readonly member?: string;
    readonly prefix?: string;
    readonly manage?: ConnectContext["manage"];
  } = {},
): Promise<TestConnection> {
  let changes = 0;
  members += 1;
  const member: Member = {
    id: options.member ?? `member-${members}`,
    name: "test",
    host: "here",
    pid: 1,
    since: new Date(0),
    lastSeen: new Date(0),
    partitions: undefined,
  };
  const context: ConnectContext = {
    name: "test",
    prefix: options.prefix ?? "omnibus",
    member,
    manage: options.manage ?? "create",
    clock: options.clock ?? systemClock,
    signal: new AbortController().signal,
    status: () => {},
    changed: () => void (changes += 1),
    warn: () => undefined,
  };
  return { connection: await driver.connect(context), changes: () => changes };
}

/** The core's side of a consumption, written down. Acknowledges nothing by itself. */
export class RecordingSink implements Sink {
  readonly messages: InMessage[] = [];
  readonly batches: number[] = [];
  readonly revocations: (readonly InMessage[] | { readonly partition: string })[] = [];
  readonly floors = new Map<string, string>();
  readonly specs: GroupSpec[] = [];
  readonly losses: { readonly count: number | undefined; readonly reason: string }[] = [];
  readonly ends: { readonly error: unknown; readonly kept: boolean }[] = [];

  deliver(messages: readonly InMessage[]): void {
    this.messages.push(...messages);
    this.batches.push(messages.length);
  }

  revoked(messages: readonly InMessage[] | { readonly partition: string }): void {
    this.revocations.push(messages);
  }

  floor(partition: string, position: string): void {
    this.floors.set(partition, position);
  }

  spec(spec: GroupSpec): void {
    this.specs.push(spec);
  }

  lost(count: number | undefined, reason: string): void {
    this.losses.push({ count, reason });
  }

  ended(error: unknown, kept: boolean): void {
    this.ends.push({ error, kept });
  }

  /** What the messages carry, as text. */
  get texts(): readonly string[] {
    return this.messages.map(textOf);
  }
}

export interface TestConsumption {
  readonly consumption: Consumption;
  readonly sink: RecordingSink;
}

export const wide: Window = { messages: 1_000, bytes: 1_000_000 };

export async function consume(
  connection: DriverConnection,
  source: Source,
  window: Window = wide,
): Promise<TestConsumption> {
  const sink = new RecordingSink();
  return { sink, consumption: await connection.consume(source, sink, window) };
}

export async function joinGroup(
  connection: DriverConnection,
  group: string,
  window: Window = wide,
): Promise<TestConsumption> {
  return await consume(connection, { kind: "group", group, resume: undefined }, window);
}

export function groupSpec(
  group: string,
  options: Partial<GroupSpec> & { readonly patterns?: readonly string[]; readonly stream?: string } = {},
): GroupSpec {
  const { patterns = [">"], stream = "events", ...rest } = options;
  return { group, reads: [{ stream, patterns }], from: { at: "oldest" }, order: "none", live: false, ...rest };
}

export interface Sent {
  readonly message: OutMessage;
  outcome: "waiting" | "stored" | "duplicate" | "no" | "unknown";
  position: string | undefined;
  error: unknown;
}

let minted = 0;

/** A message with a text as its body; `hash` 0 unless told, so that everything is in partition 0. */
export function outgoing(to: Address, text: string, options: Partial<OutMessage> = {}): Sent {
  minted += 1;
  const id = options.id ?? `id-${minted}`;
  const sent: Sent = {
    message: undefined as unknown as OutMessage,
    outcome: "waiting",
    position: undefined,
    error: undefined,
  };
  const message: OutMessage = {
    to,
    id,
    brokerId: id,
    key: undefined,
    hash: 0,
    replyTo: undefined,
    notBefore: undefined,
    expiresAt: undefined,
    durable: true,
    priority: 1,
    headers: [],
    body: new TextEncoder().encode(text),
    value: undefined,
    stored: (position, duplicate) => {
      if (sent.outcome !== "waiting") throw new Error("completed twice");
      sent.outcome = duplicate === true ? "duplicate" : "stored";
      sent.position = position;
    },
    failed: (stored, error) => {
      if (sent.outcome !== "waiting") throw new Error("completed twice");
      sent.outcome = stored;
      sent.error = error;
    },
    ...options,
  };
  return Object.assign(sent, { message });
}

export const toTopic = (topic: string, stream = "events"): Address => ({ kind: "topic", stream, topic });
export const toQueue = (group: string, topic = "jobs"): Address => ({ kind: "queue", group, topic });
export const toDirect = (topic: string): Address => ({ kind: "direct", topic });

/** Sends texts to `a.b` of the stream `events`, one after another in one batch. */
export function publish(
  connection: DriverConnection,
  texts: readonly string[],
  options: Partial<OutMessage> & { readonly topic?: string } = {},
): readonly Sent[] {
  const { topic = "a.b", ...rest } = options;
  const sent = texts.map((text) => outgoing(toTopic(topic), text, rest));
  connection.send(sent.map(({ message }) => message));
  return sent;
}

export function textOf(message: { readonly body: Uint8Array }): string {
  return new TextDecoder().decode(message.body);
}

export function letterOf(message: InMessage, group: string, id: string = `${group}/${textOf(message)}`): StoredMessage {
  return {
    id,
    to: { kind: "queue", group, topic: message.topic },
    group,
    topic: message.topic,
    key: message.key,
    headers: [],
    body: message.body,
    storedAt: 0,
    notBefore: undefined,
  };
}

/** The code of what a promise is rejected with; fails when it is not. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return (error as { readonly code: string }).code;
  }
  throw new Error("was not rejected");
}

/** n texts: `1`, `2`, … */
export const numbered = (count: number, from = 1): readonly string[] =>
  Array.from({ length: count }, (_, index) => String(from + index));
