import type { StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { type AttachedExchange, bindAttached, declareAttachedQueue, patternKey } from "./attach.ts";
import { pasts } from "./definition-fold.ts";
import type { Definitions } from "./definitions.ts";
import { isMissing } from "./errors.ts";
import { laneQueues, partitionsOf, pastOfLane } from "./group-setup.ts";
import { joinRemains, noRemains } from "./remains.ts";
import { randomHex, type Session } from "./session.ts";
import { planStream, type StoredStream } from "./stream-plan.ts";

const smallestSegment = 1_000_000;
const largestSegment = 500_000_000;

/** Streams: an exchange, and a log behind it. */
export class Streams {
  readonly #session: Session;
  readonly #definitions: Definitions;

  constructor(session: Session, definitions: Definitions) {
    this.#session = session;
    this.#definitions = definitions;
  }

  async ensure(options: StreamOptions, dryRun: boolean): Promise<"created" | "unchanged" | "updated"> {
    const definitions = this.#definitions;
    for (;;) {
      await definitions.current();
      if (!dryRun) await definitions.clear(`stream ${options.name}`); // of a former one of the name
      const { streams, streamsRev } = definitions;
      const stored = streams.get(options.name);
      const read = new Set(definitions.groups.flatMap(({ lanes }) => Object.keys(lanes)));
      const planned = planStream(
        options,
        streams,
        read,
        randomHex(this.#session.clock),
        this.#session.options.attach[options.name],
      );
      const outcome =
        stored === undefined ? "created" : JSON.stringify(stored) === JSON.stringify(planned) ? "unchanged" : "updated";
      if (dryRun) return outcome;
      // nobody publishes to what is only said to be there
      if (outcome === "created") await definitions.exclusively(`stream ${planned.name}`, () => this.declare(planned));
      else if (!(await this.#isThere(planned))) {
        await this.heal(planned.name);
        continue;
      }
      if (outcome === "unchanged" || (await definitions.putStream(options.name, planned, streamsRev))) return outcome;
    }
  }

  /** Its exchange or its log was deleted behind us: it is another log from now on, and groups are bound to it again. */
  async heal(name: string): Promise<void> {
    const definitions = this.#definitions;
    if (this.#session.context.manage !== "create") return;
    await definitions.exclusively(`stream ${name}`, async () => {
      const stream = definitions.streams.get(name);
      if (stream === undefined || (await this.#isThere(stream))) return;
      const { attached } = stream;
      const isOurs = await this.#isThere({ name, attached: undefined });
      if (isOurs && attached !== undefined)
        await this.#session.ask((channel) => bindAttached(channel, this.#session.names.stream(name), attached));
      else await this.declare(stream);
      for (const { spec, lanes } of definitions.groups) {
        const lane = lanes[name];
        if (lane === undefined) continue;
        const exchange = this.#session.names.group(spec.group, name);
        const { queue } = lane;
        await this.#session.ask(async (channel) => {
          if (queue !== undefined) return await declareAttachedQueue(channel, queue, lane.patterns);
          await channel.assertExchange(exchange, "topic", { durable: true });
          for (const pattern of lane.patterns)
            await channel.bindExchange(exchange, this.#session.names.stream(name), patternKey(stream, pattern));
        });
      }
      if (isOurs) return; // its log is the same
      await definitions.putStream(name, { ...stream, born: randomHex(this.#session.clock) }, definitions.streamsRev);
    });
  }

  async #isThere({
    name,
    attached,
  }: Pick<StoredStream, "name"> & { readonly attached?: AttachedExchange | undefined }): Promise<boolean> {
    const log = this.#session.names.stream(name);
    try {
      await this.#session.ask(async (channel) => {
        await channel.checkExchange(log);
        await channel.checkQueue(log);
        if (attached !== undefined) await channel.checkExchange(attached.name);
      });
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async declare(stream: StoredStream): Promise<void> {
    const name = this.#session.names.stream(stream.name);
    await this.#session.ask(async (channel) => {
      const { maxAgeMs, maxBytes } = stream.log;
      await channel.assertExchange(name, "topic", { durable: true });
      await channel.assertQueue(name, {
        durable: true,
        arguments: {
          "x-queue-type": "stream",
          "x-max-age": `${Math.max(Math.ceil(maxAgeMs / 1_000), 1)}s`,
          "x-max-length-bytes": maxBytes,
          "x-stream-max-segment-size-bytes": Math.min(
            Math.max(Math.floor(maxBytes / 16), smallestSegment),
            largestSegment,
          ),
          ...(stream.replicas > 1 ? { "x-initial-cluster-size": stream.replicas } : {}),
        },
      });
      await channel.bindQueue(name, name, "#");
      if (stream.attached !== undefined) await bindAttached(channel, name, stream.attached);
    });
  }

  get(name: string): StoredStream {
    const stream = this.#definitions.streams.get(name);
    if (stream === undefined) throw new DriverError("BUS_NOT_FOUND", `stream (${name}): there is none`);
    return stream;
  }

  /** Rejects when exchange or log is not there; the rest can't be looked at. */
  async verify(options: StreamOptions): Promise<void> {
    await this.#definitions.current();
    const stored = this.#definitions.streams.get(options.name);
    const name = this.#session.names.stream(options.name);
    const missing = (what: string): DriverError =>
      new DriverError(
        "BUS_NOT_FOUND",
        `stream (${options.name}): there is no ${what} "${name}"; connect once with "manage": "create"`,
      );
    if (stored === undefined) throw missing("definition of");
    try {
      await this.#session.ask(async (channel) => {
        await channel.checkExchange(name);
        await channel.checkQueue(name);
      });
    } catch (error) {
      throw isMissing(error) ? missing("exchange or queue") : error;
    }
  }

  /** False: there was none. A crash on the way leaves it to the next one who connects, or makes a stream of that name. */
  async delete(name: string): Promise<boolean> {
    const definitions = this.#definitions;
    const what = `stream ${name}`;
    for (;;) {
      await definitions.current();
      if (!definitions.streams.has(name)) {
        await definitions.clear(what);
        return false;
      }
      const log = this.#session.names.stream(name);
      const groups = definitions.groups.filter(({ lanes }) => lanes[name] !== undefined);
      const queues = groups.flatMap((group) =>
        laneQueues(this.#session, group.spec.group, name, partitionsOf(group, group.lanes[name]!)),
      );
      const past = groups.map((group) => pastOfLane(this.#session, group, name)).reduce(joinRemains, noRemains);
      const left = { exchanges: [log], queues: [log, ...queues] };
      if (await definitions.deleteStream(name, left, past, definitions.streamsRev)) break;
    }
    await definitions.clear(what);
    await definitions.clear(pasts);
    return true;
  }
}
