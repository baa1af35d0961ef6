import type { StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { Api } from "./api.ts";
import type { NativeStream, StreamConfig } from "./api-types.ts";
import type { Bucket } from "./bucket.ts";
import { apiCode, isApiError } from "./errors.ts";
import { checkAttached } from "./attach.ts";
import { keys } from "./names.ts";
import type { Session } from "./session.ts";
import { checkStream, differs, isOurs, layout, ownStreams, StreamFacts, streamConfig } from "./stream-plan.ts";

/** Our streams as the server has them, which is where the routes stand too; and what the driver keeps for itself. */
export class Streams {
  readonly #session: Session;
  readonly #api: Api;
  readonly #bucket: Bucket;
  #known: ReadonlyMap<string, StreamFacts> = new Map();
  /** Of those that the driver keeps for itself, when each was made. */
  readonly #made = new Map<string, string>();
  readonly #madeAgain = new Set<string>();

  constructor(session: Session, api: Api, bucket: Bucket) {
    this.#session = session;
    this.#api = api;
    this.#bucket = bucket;
  }

  /** As it was when last looked at; undefined: there is none. */
  get(name: string): StreamFacts | undefined {
    return this.#known.get(name);
  }

  get all(): readonly StreamFacts[] {
    return [...this.#known.values()];
  }

  /** Looks again. */
  async list(): Promise<readonly { readonly facts: StreamFacts; readonly native: NativeStream }[]> {
    const { names, options } = this.#session;
    const found: { readonly facts: StreamFacts; readonly native: NativeStream }[] = [];
    for (const native of await this.#api.streams(names.allEvents())) {
      const name = names.streamName(native.config.name);
      if (name !== undefined && !options.attach.has(name))
        found.push({ facts: new StreamFacts(name, names, native), native });
    }
    for (const [name, attached] of options.attach) {
      const native = await this.#api.streamInfo(attached.stream);
      if (native !== undefined) found.push({ facts: new StreamFacts(name, names, native, attached), native });
    }
    found.sort((left, right) => (left.facts.name < right.facts.name ? -1 : 1));
    this.#known = new Map(found.map(({ facts }) => [facts.name, facts]));
    return found;
  }

  /** One of them, looked at again. */
  async look(name: string): Promise<{ readonly facts: StreamFacts; readonly native: NativeStream } | undefined> {
    const { names, options } = this.#session;
    const attached = options.attach.get(name);
    const native = await this.#api.streamInfo(attached?.stream ?? names.stream(name));
    const known = new Map(this.#known);
    const facts = native === undefined ? undefined : new StreamFacts(name, names, native, attached);
    if (facts === undefined) known.delete(name);
    else known.set(name, facts);
    this.#known = known;
    return facts === undefined ? undefined : { facts, native: native! };
  }

  async ensure(options: StreamOptions, dryRun: boolean): Promise<"created" | "unchanged" | "updated"> {
    const { names, client, options: driver } = this.#session;
    if (driver.attach.has(options.name)) {
      await checkAttached(this, options, driver.attach.get(options.name)!);
      return "unchanged";
    }
    for (;;) {
      const all = await this.list();
      const found = all.find(({ facts }) => facts.name === options.name)?.facts;
      checkStream(
        options,
        all.map(({ facts }) => facts),
        client.info?.cluster !== undefined,
      );
      const wanted = streamConfig(options, names, found);
      if (found !== undefined) refuseForeign(wanted, found.config);
      if (found !== undefined && differs(wanted, found.config) === undefined) return "unchanged";
      const outcome = found === undefined ? "created" : "updated";
      if (dryRun) return outcome;
      try {
        await (found === undefined ? this.#api.createStream(wanted) : this.#api.updateStream(wanted));
      } catch (error) {
        if (found === undefined && isApiError(error, apiCode.streamNameInUse)) {
          const other = await this.#api.streamInfo(wanted.name);
          if (other !== undefined) refuseForeign(wanted, other.config);
          continue; // another process was faster
        }
        throw explained(error, options.name);
      }
      await this.list();
      await this.routed();
      return outcome;
    }
  }

  /** Others are to read the streams again; `deleted`: and this one is not to come back. */
  async routed(deleted?: string): Promise<void> {
    await this.#bucket.putJson(keys.routes, { id: this.#session.id(), deleted });
  }

  /** Everything else that the driver needs at the server, and the layout. */
  async prepare(): Promise<void> {
    const { names, version, options } = this.#session;
    const before = new Map(this.#made);
    await Promise.all(ownStreams(names, version, options.replicas).map((wanted) => this.#own(wanted)));
    await this.checkLayout();
    await this.#bucket.put(keys.layout, new TextEncoder().encode(String(layout)), { expect: 0 });
    for (const [name, created] of this.#made)
      if (before.has(name) && before.get(name) !== created) this.#madeAgain.add(name);
  }

  /** Those that the driver keeps for itself and has found made again, whoever asked for it; each is told once. */
  takeMadeAgain(): readonly string[] {
    const names = [...this.#madeAgain];
    this.#madeAgain.clear();
    return names;
  }

  async checkLayout(): Promise<void> {
    const entry = await this.#bucket.get(keys.layout);
    if (entry?.value === undefined) return;
    const text = new TextDecoder().decode(entry.value);
    if (Number(text) > layout)
      throw new DriverError(
        "BUS_UNSUPPORTED",
        `nats: what is stored under the prefix "${this.#session.names.prefix}" has layout ${text}, made by a newer version; this one knows ${layout}`,
      );
  }

  async #own(wanted: StreamConfig): Promise<void> {
    try {
      const { created } = await this.#api.createStream(wanted);
      this.#made.set(wanted.name, created);
      return;
    } catch (error) {
      if (!isApiError(error, apiCode.streamNameInUse)) throw explained(error, wanted.name);
    }
    const found = await this.#api.streamInfo(wanted.name);
    if (found === undefined) return await this.#own(wanted);
    refuseForeign(wanted, found.config);
    this.#made.set(wanted.name, found.created);
    // made by an older server, or with other replicas
    const next: StreamConfig = {
      ...found.config,
      ...wanted,
      // whoever was told nothing of replicas leaves what others made
      num_replicas: this.#session.options.replicas ?? found.config.num_replicas ?? 1,
      metadata: { ...found.config.metadata, ...wanted.metadata },
    };
    if (differs(next, found.config) !== undefined) await this.#api.updateStream(next);
  }
}

/** A stream that has our name and is not ours is left as it is: a bucket of the user's may be called like the prefix. */
export function refuseForeign(wanted: StreamConfig, found: StreamConfig): void {
  const covered = wanted.subjects.every((subject) => (found.subjects ?? []).includes(subject));
  if (isOurs(found) && covered && (found.retention ?? "limits") === (wanted.retention ?? "limits")) return;
  throw new DriverError(
    "BUS_CONFLICT",
    `nats: the server has a stream "${wanted.name}" that is not the bus's: it captures ${(found.subjects ?? []).join(", ") || "nothing"}, retention ${found.retention ?? "limits"}, ${isOurs(found) ? "made by the bus" : "made by somebody else"}; give the bus another prefix`,
  );
}

function explained(error: unknown, name: string): unknown {
  if (isApiError(error, apiCode.subjectsOverlap))
    return new DriverError(
      "BUS_CONFLICT",
      `nats: stream "${name}": another stream of the server captures its subjects: \`nats stream ls --subject\` shows it`,
      { cause: error },
    );
  if (isApiError(error, apiCode.maximumStorage))
    return new DriverError(
      "BUS_FULL",
      `nats: stream "${name}": the server has no storage left for it: each stream reserves its "maxBytes" when it is made`,
      { cause: error },
    );
  return error;
}
