import type { Cluster } from "./cluster.ts";
import { partly, passes } from "./cluster.ts";
import type { DescribedGroup, KafkaApi } from "./client.ts";
import { apiIdOf, NoAnswer } from "./errors.ts";
import type { Host, Link } from "./link.ts";
import type { Links } from "./links.ts";

type Asked<Args extends readonly unknown[], Answer> = { readonly api: KafkaApi<Args, Answer> };

export interface Committed {
  readonly offset: number;
  readonly text: string | null;
}

const pauseMs = 50;
/** As long as a coordinator may be loading, however short a request may take. */
const leastMs = 5_000;

/** By topic and partition. */
export type CommittedOffsets = ReadonlyMap<string, ReadonlyMap<number, Committed>>;

/** The broker that keeps a group: asked for when it is not known, and again when it moved. */
export class Coordinator {
  readonly #cluster: Cluster;
  readonly #group: string;
  readonly #command: Links;
  readonly #join: Links;
  #host: Host | undefined;

  constructor(cluster: Cluster, group: string) {
    this.#cluster = cluster;
    this.#group = group;
    this.#command = cluster.links();
    this.#join = cluster.links();
  }

  async link(duty: "command" | "join"): Promise<Link> {
    const host = (this.#host ??= await findCoordinator(this.#cluster, this.#group));
    try {
      return await (duty === "join" ? this.#join : this.#command).to(host);
    } catch (error) {
      if (this.#host === host) this.#host = undefined;
      throw error;
    }
  }

  moved(): void {
    this.#host = undefined;
  }

  close(): void {
    this.#cluster.drop(this.#command);
    this.#cluster.drop(this.#join);
  }
}

async function findCoordinator(cluster: Cluster, group: string): Promise<Host> {
  const link = await cluster.any();
  const { coordinators } = await link.ask(cluster.module.findCoordinatorV6, [0, [group]], cluster.requestTimeoutMs);
  const [found] = coordinators;
  if (found === undefined || found.host === "") throw new NoAnswer("the group has no coordinator yet", false);
  return { host: found.host, port: found.port };
}

const elsewhere = new Set(["NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS"]);

/** What is asked about groups by whoever is no member of them. */
export class Groups {
  readonly #cluster: Cluster;
  readonly #links: Links;
  readonly #hosts = new Map<string, Host>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#links = cluster.links();
  }

  async ask<Args extends readonly unknown[], Answer>(
    group: string,
    message: Asked<Args, Answer>,
    args: Args,
  ): Promise<Answer> {
    const { clock, requestTimeoutMs } = this.#cluster;
    const until = clock.ticks() + Math.max(leastMs, requestTimeoutMs);
    for (;;) {
      try {
        let host = this.#hosts.get(group);
        if (host === undefined) this.#hosts.set(group, (host = await findCoordinator(this.#cluster, group)));
        const link = await this.#links.to(host);
        return await link.ask(message, args, requestTimeoutMs);
      } catch (error) {
        const apiId = apiIdOf(error);
        if (!elsewhere.has(apiId ?? "") && !passes(error)) throw error;
        this.#hosts.delete(group);
        if (clock.ticks() + pauseMs > until) throw error;
        await this.#cluster.pause(pauseMs);
      }
    }
  }

  async committed(group: string): Promise<CommittedOffsets> {
    const { offsetFetchV9 } = this.#cluster.module;
    const answer = await this.ask(group, offsetFetchV9, [[{ groupId: group, memberEpoch: -1, topics: null }], false]);
    return new Map(
      (answer.groups[0]?.topics ?? []).map(({ name, partitions }) => [
        name,
        new Map(
          partitions.flatMap(({ partitionIndex, committedOffset, metadata }) =>
            committedOffset < 0n
              ? []
              : [[partitionIndex, { offset: Number(committedOffset), text: metadata }] as const],
          ),
        ),
      ]),
    );
  }

  /** Undefined: there is none, as far as the coordinator knows. */
  async describe(group: string): Promise<DescribedGroup | undefined> {
    const { groups } = await partly(this.ask(group, this.#cluster.module.describeGroupsV5, [[group], false]));
    const found = groups[0];
    return found === undefined || found.groupState === "Dead" || found.groupState === "" ? undefined : found;
  }

  /** Whether it has members of Kafka's newer protocol, of which `describe` says nothing. */
  async hasNewMembers(group: string): Promise<boolean> {
    try {
      const { groups } = await this.ask(group, this.#cluster.module.consumerGroupDescribeV0, [[group], false]);
      return groups.some(({ members }) => members.length > 0);
    } catch (error) {
      if (apiIdOf(error) === undefined) throw error;
      return false; // it is none of these, or nobody may ask
    }
  }

  async putOut(group: string, memberIds: readonly string[]): Promise<void> {
    const members = memberIds.map((memberId) => ({ memberId, reason: "the group is deleted" }));
    if (members.length > 0) await partly(this.ask(group, this.#cluster.module.leaveGroupV5, [group, members]));
  }

  /** These members are put out. */
  async delete(group: string, memberIds: readonly string[]): Promise<void> {
    const { module } = this.#cluster;
    await this.putOut(group, memberIds);
    try {
      await this.ask(group, module.deleteGroupsV2, [[group]]);
    } catch (error) {
      const apiId = apiIdOf(error);
      // somebody joined again: what it commits is of a group that is not defined any more
      if (apiId !== "GROUP_ID_NOT_FOUND" && apiId !== "NON_EMPTY_GROUP") throw error;
    }
  }
}
