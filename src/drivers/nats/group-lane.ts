import { TopicTrie } from "../../internal/topic-trie.ts";
import { type GroupDefinition, type Part, verdict } from "./group-plan.ts";
import type { NatsMessage } from "./message.ts";
import type { Pull } from "./pull.ts";

/** What a member reads of an unordered group by one consumer: a part of a stream, or the queue. */
export interface Lane {
  /** Of ours, or the queue's. */
  readonly stream: string;
  readonly native: string;
  readonly part: Part | undefined;
  readonly consumer: string;
  /** How long the server waits for a word of us. */
  readonly ackWaitMs: number;
  /** Undefined: the server delivers nothing but what the part's patterns match. */
  readonly wanted: TopicTrie<true> | undefined;
  /** Delivered and unsettled, whether the core has them or not. */
  readonly hand: Map<number, NatsMessage>;
  pull: Pull | undefined;
  /** Everything that comes is to be handed out. */
  trusted: boolean;
  /** Something came or was settled since it was last looked at. */
  touched: boolean;
  waiting: number;
  /** Its consumer was deleted, and nothing waited there. */
  idle: boolean;
}

/** Whether the definition as it is asks for no look at each message but that at its topic. */
export function isTrusted(definition: GroupDefinition, { part }: Lane): boolean {
  if (part === undefined) return true;
  const known = partIn(definition, part);
  if (known === undefined || known.end !== undefined || definition.change !== undefined) return false;
  const wanted = definition.reads.find(({ stream }) => stream === part.stream)?.patterns ?? [];
  return wanted.join(" ") === known.patterns.join(" ");
}

export const partIn = (definition: GroupDefinition, part: Part): Part | undefined =>
  definition.parts.find(({ stream, revision }) => stream === part.stream && revision === part.revision);

export function verdictOf(
  definition: GroupDefinition,
  { part, trusted, wanted }: Lane,
  { topic, sequence }: NatsMessage,
): ReturnType<typeof verdict> {
  if (part === undefined) return "take";
  if (trusted) return wanted === undefined || wanted.match(topic).length > 0 ? "take" : "skip";
  return verdict(definition, part, topic, sequence);
}

/** For topics that come again and again. */
export function trieOf(patterns: readonly string[]): TopicTrie<true> {
  const trie = new TopicTrie<true>();
  for (const pattern of patterns) trie.add(pattern, true);
  return trie;
}
