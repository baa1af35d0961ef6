import type { InMessage, StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { covers } from "../../internal/topic-trie.ts";
import type { Attachment } from "./attach-options.ts";
import type { FullStream, StreamEntry } from "./control-fold.ts";
import type { Place } from "./message.ts";

/** A topic that a stream is, by the name that somebody else gave it. */
export interface AttachedTopic {
  readonly topic: string;
  readonly topicHeader?: string | undefined;
  /** The event topic of what others publish without saying one. */
  readonly eventTopic: string;
}

/** What a stream is attached to by the options and what is known of it; undefined: a topic of ours. Throws where these disagree. */
export function attachmentOf(
  { name, topics }: StreamOptions,
  wanted: Attachment | undefined,
  streams: ReadonlyMap<string, StreamEntry>,
): AttachedTopic | undefined {
  const entry = streams.get(name);
  const stored = entry?.options.attached;
  const { topic, topicHeader } = wanted ?? stored ?? {};
  if (topic === undefined) return undefined;
  if (entry !== undefined && stored === undefined)
    throw new DriverError("BUS_CONFLICT", `stream (${name}): it has a topic of its own, and can't be "${topic}"`);
  if (stored !== undefined && (stored.topic !== topic || stored.topicHeader !== topicHeader))
    throw new DriverError(
      "BUS_CONFLICT",
      `stream (${name}): it is ${described(stored)} already, and can't be ${described({ topic, topicHeader })}`,
    );
  for (const { options: other } of streams.values())
    if (other.name !== name && other.attached?.topic === topic)
      throw new DriverError("BUS_CONFLICT", `stream (${name}): "${topic}" is the stream ${other.name} already`);
  const eventTopic = topics.find(isLiteral) ?? (topics.some((each) => isWithin(each, topic)) ? topic : name);
  return { topic, ...(topicHeader === undefined ? {} : { topicHeader }), eventTopic };
}

/** It is used as it is: options that would change it are refused. */
export function refuseChanging(options: StreamOptions, { topic }: AttachedTopic): void {
  const changing = (["maxAgeMs", "maxBytes", "maxMessages", "whenFull", "replicas"] as const).find(
    (name) => options[name] !== undefined,
  );
  if (changing !== undefined) throw notOurs(options.name, topic, `change: leave out "${changing}"`);
}

export const notOurs = (stream: string, topic: string, what: string): DriverError =>
  new DriverError(
    "BUS_CONFLICT",
    `kafka: stream "${stream}", which is the topic "${topic}", is not the bus's to ${what}`,
  );

/** How messages of a stream's partition are read. */
export const placeIn = (
  options: FullStream | undefined,
  lane: InMessage["lane"],
  ref: string,
  name: string,
): Place => ({
  lane,
  partition: ref,
  topic: options?.attached?.eventTopic ?? name,
  topicHeader: options?.attached?.topicHeader,
});

const described = ({ topic, topicHeader }: Attachment | AttachedTopic): string =>
  `the topic "${topic}"${topicHeader === undefined ? "" : ` with the header "${topicHeader}"`}`;
const isLiteral = (topic: string): boolean => !/[*>]/.test(topic);
const isWithin = (pattern: string, topic: string): boolean =>
  /^[A-Za-z0-9_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*$/.test(topic) && covers(pattern, topic);
