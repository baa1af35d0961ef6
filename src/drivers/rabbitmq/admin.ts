import type { DriverAdmin, GroupState, StreamInfo } from "../../driver.ts";
import { matchesPattern } from "../../internal/topic-trie.ts";
import type { AmqpDelivery } from "./client.ts";
import type { GroupDefinition } from "./definition-fold.ts";
import type { Delays } from "./delayed.ts";
import type { Scheduled } from "./due-list.ts";
import type { Answer } from "./presence.ts";
import type { Shared } from "./shared.ts";
import type { StoredStream } from "./stream-plan.ts";
import { positionOf } from "./tail.ts";
import { splitPlace, timeOf } from "./wire.ts";

const topicOf = ({ attached }: StoredStream, { fields: { routingKey } }: AmqpDelivery): string =>
  attached === undefined ? splitPlace(routingKey).topic : routingKey;

const isHeld = (answers: readonly Answer[], { spec }: GroupDefinition): boolean =>
  answers.some(({ holdings }) =>
    holdings.some(({ group, given, buffered, parked }) => group === spec.group && given + buffered + parked > 0),
  );

export function adminOf(shared: Shared, delays: Delays): DriverAdmin {
  const { definitions, groups, letters, logs, presence, session, streams } = shared;

  async function infoOf(stream: StoredStream): Promise<StreamInfo> {
    const { messages, first, last } = await logs.extent(stream.name, session.clock.now() - stream.maxAgeMs);
    return {
      name: stream.name,
      topics: stream.topics,
      partitions: stream.partitions,
      messages: Math.min(messages, stream.maxMessages ?? Number.MAX_SAFE_INTEGER),
      bytes: undefined,
      first,
      last,
      groups: definitions.groups
        .filter(({ lanes }) => Object.hasOwn(lanes, stream.name))
        .map(({ spec }) => spec.group)
        .toSorted(),
    };
  }

  async function stateOf(
    definition: GroupDefinition,
    answers: readonly Answer[],
    scheduled: readonly Scheduled[],
    again = true,
  ): Promise<GroupState> {
    const { spec } = definition;
    const past = await uncopied(definition);
    const counts = await shared.counts.of(definition);
    // what was handed out meanwhile: it went from there to members
    if (again && past === 0 && [...counts.values()].every(({ ready }) => ready === 0) && !isHeld(answers, definition))
      return await stateOf(definition, await presence.ask(), scheduled, false);
    const holdings = answers.flatMap((answer) => answer.holdings.filter(({ group }) => group === spec.group));
    const sum = (of: (holding: (typeof holdings)[number]) => number): number =>
      holdings.reduce((total, holding) => total + of(holding), 0);
    const reads = (stream: string, topic: string): boolean =>
      definition.lanes[stream]?.patterns.some((pattern) => matchesPattern(pattern, topic)) === true;
    const later =
      scheduled.filter(({ group, stream = "", topic = "" }) =>
        group === undefined ? reads(stream, topic) : group === spec.group,
      ).length + answers.flatMap(({ landing }) => landing).filter(({ stream, topic }) => reads(stream, topic)).length;
    const parked = sum((holding) => holding.parked);
    const ready = [...counts.values()].reduce((total, each) => total + each.ready, 0);
    const due = past + ready + sum((each) => each.buffered);
    return {
      spec,
      waiting: due + parked + later,
      inFlight: sum(({ given }) => given),
      scheduled: parked + later,
      oldestWaitingMs: due === 0 ? undefined : await oldest(definition, holdings),
    };
  }

  /** What a new group is still to have of the past: what came before it was begun with, since what is live is in its queues. */
  async function uncopied({ id, lanes }: GroupDefinition): Promise<number> {
    let count = 0;
    for (const [stream, { patterns, from, m0 }] of Object.entries(lanes)) {
      const stored = definitions.streams.get(stream);
      const replay = definitions.replay(id, stream);
      if (from === undefined || stored === undefined || replay?.copied === true) continue;
      const start = "time" in from ? { time: Math.max(from.time - 1_000, 0) } : "first";
      const at = replay === undefined || replay.offset < 0 ? start : replay.offset + 1;
      const wanted = (message: AmqpDelivery): boolean => {
        if ("time" in from && (timeOf(message) ?? from.time) < from.time) return false;
        return patterns.some((pattern) => matchesPattern(pattern, topicOf(stored, message)));
      };
      count += await logs.count(stream, at, wanted, m0);
    }
    return count;
  }

  /** How long the first one waits that was published after what was handed out last. */
  async function oldest(
    definition: GroupDefinition,
    holdings: readonly { readonly reached: Readonly<Record<string, number>> }[],
  ): Promise<number> {
    let age = 0;
    for (const [stream, { patterns, from }] of Object.entries(definition.lanes)) {
      const stored = definitions.streams.get(stream);
      if (stored === undefined) continue;
      const start = from === undefined ? definition.createdAt : 0;
      const since = holdings.reduce((most, { reached }) => Math.max(most, reached[stream] ?? 0), start);
      const first = await logs.oldestAfter(stream, since, (message) =>
        patterns.some((pattern) => matchesPattern(pattern, topicOf(stored, message))),
      );
      if (first !== undefined) age = Math.max(age, session.clock.now() - first.getTime());
    }
    return age;
  }

  return {
    async streams() {
      await definitions.seen();
      return await Promise.all([...definitions.streams.values()].map(infoOf));
    },

    async positions(name) {
      await definitions.current();
      const stream = streams.get(name);
      return { [name]: positionOf(await logs.lastOffset(name), stream) };
    },

    async deleteStream(name) {
      return await streams.delete(name);
    },

    async groups() {
      await definitions.seen();
      const [answers, scheduled] = await Promise.all([presence.ask(), delays.scheduled()]);
      return await Promise.all(definitions.groups.map((each) => stateOf(each, answers, scheduled)));
    },

    members: (group) => Promise.resolve(presence.members(group)),
    updateGroup: (group, reads) => groups.update(group, reads),

    resetGroup: (group, to) => groups.reset(group, to),

    async deleteGroup(group) {
      const was = await groups.delete(group);
      await letters.forget(group); // also where another one died before it came so far
      return was;
    },

    letters: (group, after, limit) => letters.list(group, after, limit),
    letter: (id) => letters.get(id),
    countLetters: (group) => letters.count(group),
    claimLetters: (ids, token, leaseMs) => letters.claim(ids, token, leaseMs),
    removeLetters: (ids, token) => letters.remove(ids, token),
  };
}
