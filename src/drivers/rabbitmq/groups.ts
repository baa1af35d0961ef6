import type { GroupSpec, StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { changedSpec, grownSpec, newSpec } from "../../internal/group-spec.ts";
import { type AttachedQueue, checkQueue, patternKey, unbindAttachedQueue, wantedQueue } from "./attach.ts";
import { type GroupDefinition, type GroupLane, isReady, pasts } from "./definition-fold.ts";
import { copied } from "./copied.ts";
import type { Definitions } from "./definitions.ts";
import { isMissing } from "./errors.ts";
import type { FeedSource } from "./feed.ts";
import {
  declareBeside,
  laneQueues,
  objectsOf,
  partitionsOf,
  pastOf,
  pastOfLane,
  putMarker,
  setUpLane,
} from "./group-setup.ts";
import type { QueueLanes } from "./queue-lanes.ts";
import { queueLabel } from "./seats.ts";
import { isLater, isPastHandled, startAgain, startOf } from "./making-again.ts";
import { joinRemains, removeRemains } from "./remains.ts";
import { ResumePoints } from "./resume-points.ts";
import { randomHex, type Session } from "./session.ts";
import type { Streams } from "./streams.ts";
import { together } from "./together.ts";

/** The groups' definitions, and that what they say is there. */
export class Groups {
  readonly #session: Session;
  readonly #definitions: Definitions;
  readonly #streams: Streams;
  readonly #lanes: QueueLanes;
  /** Where a group that was lost under our members goes on. */
  readonly #resume: ResumePoints;

  constructor(session: Session, definitions: Definitions, streams: Streams, lanes: QueueLanes) {
    this.#session = session;
    this.#definitions = definitions;
    this.#streams = streams;
    this.#lanes = lanes;
    this.#resume = new ResumePoints(session.clock);
  }

  async ensure(wanted: GroupSpec): Promise<GroupSpec> {
    const definitions = this.#definitions;
    const { manage } = this.#session.context;
    for (;;) {
      await definitions.current();
      if (manage === "create") await definitions.clear(`group ${wanted.group}`); // of a former one of the name
      const { definition, rev } = definitions.group(wanted.group);
      if (manage !== "create" && definition === undefined)
        throw new DriverError(
          "BUS_NOT_FOUND",
          `group (${wanted.group}): there is none; connect once with "manage": "create"`,
        );
      const planned = definition === undefined ? await this.#new(wanted) : await this.#grown(definition, wanted);
      if (planned !== definition && !(await this.#put(planned, definition, rev))) continue;
      if (!(await this.#prepare(planned.spec.group))) continue;
      this.#clearPasts();
      const { definition: prepared } = definitions.group(wanted.group);
      if (prepared?.id === planned.id) return prepared.spec; // another one is looked at as this one was
    }
  }

  /** The one way by which patterns shrink. */
  async update(group: string, reads: GroupSpec["reads"]): Promise<void> {
    const definitions = this.#definitions;
    for (;;) {
      await definitions.current();
      const { definition, rev } = definitions.group(group);
      if (definition === undefined) throw new DriverError("BUS_NOT_FOUND", `group (${group}): there is none`);
      const spec = changedSpec(definition.spec, reads);
      const planned = await this.#planned({ ...definition, spec });
      if (!(await definitions.putGroup(group, planned, rev))) continue;
      await this.#unbind(definition, planned);
      if (await this.#prepare(group)) return;
    }
  }

  /** It begins anew. A crash on the way leaves a definition that is not ready, which the next one finishes. */
  async reset(group: string, to: StartAt): Promise<void> {
    const definitions = this.#definitions;
    for (;;) {
      await definitions.current();
      const { definition, rev } = definitions.group(group);
      if (definition === undefined) throw new DriverError("BUS_NOT_FOUND", `group (${group}): there is none`);
      if (Object.values(definition.lanes).some(({ queue }) => queue !== undefined))
        throw new DriverError("BUS_UNSUPPORTED", `group (${group}): what it reads is attached, and has no past`);
      const sources = this.sourcesOf(definition);
      const states = await this.#session.ask((channel) =>
        Promise.all(sources.map(({ queue }) => channel.checkQueue(queue))),
      );
      if (states.some(({ consumerCount }) => consumerCount > 0))
        throw new DriverError("BUS_CONFLICT", `group (${group}): it has members; they must leave first`);
      const from = startOf(to);
      const lanes: Record<string, GroupLane> = {};
      for (const [stream, lane] of Object.entries(definition.lanes))
        lanes[stream] = {
          ...lane,
          ready: false,
          clean: true,
          again: false,
          grows: false,
          from,
          m0: from === undefined ? "" : await this.#marker(stream, group),
        };
      const id = randomHex(this.#session.clock);
      const planned = {
        ...definition,
        id,
        createdAt: this.#session.clock.now(),
        madeAt: this.#session.clock.now(),
        lanes,
      };
      if (!(await this.#put(planned, definition, rev)) || !(await this.#prepare(group))) continue;
      if (from !== undefined)
        await Promise.all(
          Object.keys(lanes).map((stream) => copied(definitions, { group, id, stream }, this.#session.closing)),
        ).catch((error: unknown) => {
          if (definitions.group(group).definition?.id === id) throw error; // else it is made again, from there
        });
      return;
    }
  }

  /** A crash on the way leaves it to the next one who connects, or makes a group of that name. */
  async delete(group: string): Promise<boolean> {
    const definitions = this.#definitions;
    for (;;) {
      await definitions.current();
      const { definition, rev } = definitions.group(group);
      if (definition === undefined) {
        await definitions.clear(`group ${group}`);
        return false;
      }
      const left = objectsOf(this.#session, this.#lanes, definition);
      if (!(await definitions.deleteGroup(group, left, pastOf(this.#session, definition), rev))) continue;
      await definitions.clear(`group ${group}`);
      await definitions.clear(pasts);
      return true;
    }
  }

  /** What is missing, and how it would be made. */
  async verify(group: string): Promise<void> {
    const { definition } = this.#definitions.group(group);
    if (definition !== undefined && (await this.#isThere(definition))) return;
    throw new DriverError(
      "BUS_NOT_FOUND",
      `group (${group}): its queues are not there; connect once with "manage": "create"`,
    );
  }

  sourcesOf({ spec: { group, order }, id, lanes }: GroupDefinition): readonly FeedSource[] {
    const { names } = this.#session;
    const ordered = order === "group";
    const sources: FeedSource[] = [
      {
        queue: this.#lanes.nameOf(group, ordered),
        lane: "queue",
        label: queueLabel,
        partition: ordered ? 0 : undefined,
        history: undefined,
      },
    ];
    for (const [stream, { partitions, queue: own }] of Object.entries(lanes)) {
      const stored = this.#definitions.streams.get(stream);
      if (stored === undefined) continue;
      const whole = stored.attached !== undefined;
      if (own !== undefined) {
        const partition = ordered ? 0 : undefined;
        sources.push({
          queue: own.name,
          lane: "stream",
          label: stream,
          partition,
          history: undefined,
          whole,
          prefetch: own.prefetch,
        });
        continue;
      }
      if (!ordered)
        sources.push({
          queue: names.group(group, stream),
          lane: "stream",
          label: stream,
          partition: undefined,
          history: undefined,
          whole,
        });
      else
        for (let partition = 0; partition < partitions; partition += 1)
          sources.push({
            queue: names.group(group, stream, partition),
            lane: "stream",
            label: stream,
            partition,
            history: names.history(group, id, stream, partition),
            whole,
          });
    }
    return sources;
  }

  /** Under a member that was at `since`. */
  lost({ spec, id, createdAt }: GroupDefinition, since: number, settled: ReadonlySet<string>, isGone: boolean): void {
    this.#resume.lost(spec.group, { id, createdAt, since, settled, isGone });
  }

  /** Ids that a former consumption of this process settled of a group that was lost. */
  settledBefore({ spec, createdAt }: GroupDefinition): ReadonlySet<string> {
    return this.#resume.get(spec.group, createdAt)?.settled ?? new Set();
  }

  /** A member of it runs again. */
  resumed(group: string): void {
    this.#resume.resumed(group);
  }

  /** A live group goes with its last member. */
  async left(group: string, id: string): Promise<void> {
    const { definition } = this.#definitions.group(group);
    if (definition === undefined || definition.id !== id) return;
    const [first] = this.sourcesOf(definition).filter(({ lane }) => lane === "stream");
    if (first === undefined) return;
    try {
      const { consumerCount } = await this.#session.ask((channel) => channel.checkQueue(first.queue));
      if (consumerCount === 0) await this.delete(group);
    } catch {
      // its queues expire by themselves
    }
  }

  /** False: another change was first. What a former making of it copied goes. */
  async #put(planned: GroupDefinition, former: GroupDefinition | undefined, rev: number): Promise<boolean> {
    const definitions = this.#definitions;
    const { group } = planned.spec;
    const isAgain = former !== undefined && former.id !== planned.id;
    return await definitions.putGroup(group, planned, rev, isAgain ? pastOf(this.#session, former) : undefined);
  }

  /** When nobody makes any more what is over. */
  #clearPasts(): void {
    if (this.#session.context.manage !== "create") return;
    // whoever connects or makes a group next removes it
    this.#definitions.clear(pasts).catch(() => undefined);
  }

  async #new(wanted: GroupSpec): Promise<GroupDefinition> {
    const spec = newSpec(wanted);
    const resume = this.#resume.get(wanted.group);
    const from: StartAt = resume === undefined ? spec.from : { time: resume.since };
    return await this.#planned({
      spec: { ...spec, from },
      id: randomHex(this.#session.clock),
      createdAt: resume?.createdAt ?? this.#session.clock.now(),
      madeAt: this.#session.clock.now(),
      lanes: {},
    });
  }

  async #grown(definition: GroupDefinition, wanted: GroupSpec): Promise<GroupDefinition> {
    for (const [stream, { queue }] of Object.entries(definition.lanes))
      checkQueue(wanted.group, queue, this.#queueOf(stream, wanted.group));
    const spec = grownSpec(definition.spec, wanted);
    const grown = spec === undefined ? definition : await this.#planned({ ...definition, spec });
    if (this.#session.context.manage !== "create") {
      if (grown === definition) return grown; // what is missing is said
      throw new DriverError(
        "BUS_NOT_FOUND",
        `group (${wanted.group}): it is not bound to all that it is to read; connect once with "manage": "create"`,
      );
    }
    const resume = this.#resume.get(wanted.group, definition.createdAt);
    const isElsewhere = resume !== undefined && resume.id !== definition.id && isLater(definition, resume.since);
    const isGone = resume?.id === definition.id && resume.isGone;
    if (!isElsewhere && !isGone && (!isReady(definition) || (await this.#isThere(definition)))) return grown;
    // somebody deleted its queues, or made it again from a place that members here had not reached
    return await this.#lost(grown);
  }

  /** Another making of it, that goes on where the members here were. */
  async #lost(definition: GroupDefinition): Promise<GroupDefinition> {
    const { spec, createdAt } = definition;
    const since = this.#resume.get(spec.group, createdAt)?.since ?? createdAt;
    return await this.#again(definition, (stream, lane) =>
      startAgain(lane, since, isPastHandled(this.#definitions, definition, stream, lane)),
    );
  }

  /** Another making of it. */
  async #again(
    definition: GroupDefinition,
    start: (stream: string, lane: GroupLane) => StartAt,
  ): Promise<GroupDefinition> {
    const { group, live } = definition.spec;
    const lanes: Record<string, GroupLane> = {};
    for (const [stream, lane] of Object.entries(definition.lanes))
      lanes[stream] = {
        ...lane,
        ready: false,
        again: true,
        grows: false,
        from: live || lane.queue !== undefined ? undefined : start(stream, lane),
        m0: await this.#marker(stream, group),
      };
    return { ...definition, id: randomHex(this.#session.clock), madeAt: this.#session.clock.now(), lanes };
  }

  #queueOf(stream: string, group: string): AttachedQueue | undefined {
    return wantedQueue(this.#definitions.streams.get(stream), this.#session.options.attach, group);
  }

  /** With a lane for each stream that it reads; what is new of them is to be made. */
  async #planned(definition: GroupDefinition): Promise<GroupDefinition> {
    const { group, reads, from, live } = definition.spec;
    const isNew = Object.keys(definition.lanes).length === 0;
    const lanes: Record<string, GroupLane> = {};
    for (const { stream, patterns } of reads) {
      const known = definition.lanes[stream];
      const { partitions } = this.#streams.get(stream);
      const queue = this.#queueOf(stream, group);
      if (known !== undefined) {
        const same = known.patterns.join(" ") === patterns.join(" ");
        lanes[stream] = same ? known : { ...known, patterns, ready: false, grows: known.ready || known.grows === true };
        continue;
      }
      if (queue !== undefined) {
        if (definition.spec.order === "group" && queue.prefetch !== undefined)
          throw new DriverError("BUS_UNSUPPORTED", `group (${group}): an ordered one has no prefetch of its own`);
        lanes[stream] = { partitions, ready: false, from: undefined, m0: "", patterns, queue };
        continue;
      }
      // a stream that is added later is read from its oldest
      const start = live ? undefined : isNew ? startOf(from) : ({ at: "oldest" } as const);
      const m0 = start === undefined ? "" : await this.#marker(stream, group);
      lanes[stream] = { partitions, ready: false, from: start, m0, patterns };
    }
    return { ...definition, lanes };
  }

  async #marker(stream: string, group: string): Promise<string> {
    const id = randomHex(this.#session.clock);
    await putMarker(this.#session, stream, group, id);
    return id;
  }

  /** Makes what is not there yet. False: somebody changed the definition meanwhile. */
  async #prepare(group: string): Promise<boolean> {
    const { definition } = this.#definitions.group(group);
    if (definition === undefined) return false;
    if (this.#session.context.manage !== "create" || isReady(definition)) return true;
    return await this.#definitions.exclusively(`group ${group}`, () => this.#make(group));
  }

  async #make(group: string): Promise<boolean> {
    const { definition, rev } = this.#definitions.group(group);
    if (definition === undefined) return false;
    const todo = Object.entries(definition.lanes).filter(([, { ready }]) => !ready);
    if (todo.length === 0) return true;
    if (todo.some(([, { again, clean }]) => again === true || clean === true)) {
      // its queues may have been lost once more since somebody began: of what is bound since then nothing is believed
      const begun = `making ${definition.id}`;
      if (this.#definitions.isMade(begun)) {
        const next = await this.#again(definition, (_, { from }) => from ?? { time: definition.createdAt });
        await this.#put(next, definition, rev);
        return false;
      }
      await this.#definitions.note(begun);
    } else if (
      todo.some(([, { grows }]) => grows) &&
      !(await this.#isThere(definition, ({ grows }) => grows === true))
    ) {
      // what is bound to more would hide that it was lost
      await this.#put(await this.#lost(definition), definition, rev);
      return false;
    }
    await together([
      this.#lanes.declare(group, definition.spec.order === "group"),
      declareBeside(this.#session, definition),
    ]);
    await together(
      todo.map(async ([stream, lane]) => {
        const stored = this.#definitions.streams.get(stream);
        if (stored !== undefined) await setUpLane(this.#session, definition, stored, lane);
      }),
    );
    const lanes = Object.fromEntries(
      Object.entries(definition.lanes).map(([stream, lane]) => [
        stream,
        { ...lane, ready: true, clean: false, again: false, grows: false },
      ]),
    );
    return await this.#definitions.putGroup(group, { ...definition, lanes }, rev);
  }

  async #isThere(definition: GroupDefinition, which: (lane: GroupLane) => boolean = () => true): Promise<boolean> {
    const sources = this.sourcesOf(definition).filter(({ label }) => {
      const lane = definition.lanes[label];
      return lane === undefined || which(lane);
    });
    try {
      await this.#session.ask(async (channel) => {
        await Promise.all(sources.map(({ queue }) => channel.checkQueue(queue)));
      });
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async #unbind(before: GroupDefinition, after: GroupDefinition): Promise<void> {
    const { names } = this.#session;
    const { group } = before.spec;
    for (const [stream, lane] of Object.entries(before.lanes)) {
      const { patterns, queue } = lane;
      const stored = this.#definitions.streams.get(stream);
      if (stored === undefined) continue;
      const kept = after.lanes[stream]?.patterns ?? [];
      if (queue !== undefined) {
        const over = patterns.filter((pattern) => !kept.includes(pattern));
        await this.#session.ask((channel) => unbindAttachedQueue(channel, queue, over));
        continue;
      }
      const exchange = names.group(group, stream);
      await this.#session.ask(async (channel) => {
        for (const pattern of patterns)
          if (!kept.includes(pattern))
            await channel.unbindExchange(exchange, names.stream(stream), patternKey(stored, pattern));
      });
      if (after.lanes[stream] !== undefined) continue;
      const queues = laneQueues(this.#session, group, stream, partitionsOf(before, lane));
      const left = joinRemains({ exchanges: [exchange], queues }, pastOfLane(this.#session, before, stream));
      await removeRemains(this.#session, this.#definitions, left);
    }
  }
}
