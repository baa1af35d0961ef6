import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Bus, connect } from "../../src/index.ts";
import { type Child, type HistoryRecord, spawnChild, until } from "../../src/testing/index.ts";
import { Audit, type DeployMemberInput, driverOf, group, startMember, Task } from "./deploy-member.ts";

export interface DeploymentOptions extends Omit<DeployMemberInput, "version"> {
  readonly events: number;
  readonly perSecond: number;
}

/** What a member or the publisher noted, in the order of their common clock. */
export interface DeployRecord {
  readonly at: number;
  readonly process: string;
  readonly op: HistoryRecord["op"] | "ready" | "delivered" | "kept" | "retry" | "release" | "closed";
  readonly id: string;
  readonly key?: string;
  readonly sequence?: number;
  readonly type?: string;
  readonly handOn?: boolean;
  readonly unfinished?: number;
}

interface Place {
  readonly leave: () => Promise<void>;
}

const keys = 60;
/** Before this step nothing waits any more; in an ordered group what version 1 owns and can't handle does, until it leaves. */
const atRest = 3;
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Version 1 runs twice, version 2 joins twice, version 1 leaves twice; events are published all the time. */
export class Deployment {
  readonly records: DeployRecord[] = [];
  readonly #options: DeploymentOptions;
  readonly #bus: Bus;
  /** How each event was published. */
  readonly #sequences = new Map<string, number>();
  #published = 0;
  /** How many were published when version 2 had subscribed: what it alone knows is published from then on. */
  #grownAt: number | undefined;
  #audits = 0;

  private constructor(options: DeploymentOptions, bus: Bus) {
    this.#options = options;
    this.#bus = bus;
  }

  static async run(options: DeploymentOptions): Promise<Deployment> {
    const bus = await connect({ driver: driverOf(options), prefix: options.prefix, name: "publisher" });
    const deployment = new Deployment(options, bus);
    try {
      await deployment.#run();
    } finally {
      await bus.close();
    }
    return deployment;
  }

  async #run(): Promise<void> {
    const old = [await this.#join("v1-a", 1), await this.#join("v1-b", 1)];
    const young: Place[] = [];
    const steps = [
      async () => undefined,
      async () => {
        young.push(await this.#join("v2-a", 2));
        this.#grownAt = this.#published;
      },
      async () => young.push(await this.#join("v2-b", 2)),
      async () => undefined, // all four, at rest before
      () => old[0]?.leave(),
      () => old[1]?.leave(),
      async () => undefined,
    ];
    for (const [at, step] of steps.entries()) {
      if (at === atRest && this.#options.order === "none") await this.#drained();
      const share = Math.floor((this.#options.events * (at + 1)) / steps.length) - this.#published;
      await Promise.all([this.#publish(share), step()]);
    }
    await this.#drained();
    for (const place of young) await place.leave();
    this.letters = await this.#bus.deadLetters.count({ group });
    this.records.sort((a, b) => a.at - b.at);
  }

  letters = 0;

  async #join(name: string, version: 1 | 2): Promise<Place> {
    const input: DeployMemberInput = { ...this.#options, version };
    const add = (line: object): void => {
      const record = { ...(line as DeployRecord), process: name };
      const sequence = this.#sequences.get(record.id);
      this.records.push(sequence === undefined ? record : { ...record, sequence });
    };
    if (input.driver === "memory") {
      const bus = await startMember(input, (record) => add({ ...record, at: now() }));
      return { leave: async () => add({ op: "closed", ...(await bus.close()), at: now() }) };
    }
    const child = spawnChild(fileURLToPath(new URL("deploy-member.ts", import.meta.url)), { input, onLine: add });
    await until(() => child.gone || child.lines.some(({ op }) => op === "ready"), `${name} to be ready`);
    return { leave: () => terminated(child) };
  }

  /** At its pace. */
  async #publish(count: number): Promise<void> {
    const started = now();
    const outcomes: Promise<void>[] = [];
    for (let done = 0; done < count;) {
      const due = Math.min(count, Math.ceil(((now() - started) / 1_000) * this.#options.perSecond));
      for (; done < due; done += 1) outcomes.push(this.#publishNext());
      await pause(10);
    }
    await Promise.all(outcomes);
  }

  async #publishNext(): Promise<void> {
    const n = this.#published++;
    const record = { id: `e${n}`, key: `k${n % keys}`, sequence: Math.floor(n / keys), process: "publisher" };
    this.#sequences.set(record.id, record.sequence);
    const type = this.#isAudit(n) ? Audit : Task;
    const lane = n % 4 === 1 ? "new" : "old";
    this.records.push({ ...record, op: "publish-started", at: now(), type: type.type });
    await this.#bus.publish(type, { n, lane }, { id: record.id, key: record.key });
    this.records.push({ ...record, op: "published", at: now(), type: type.type });
  }

  /** Half of all, spread evenly over what comes since version 2 is there. */
  #isAudit(n: number): boolean {
    if (this.#grownAt === undefined) return false;
    const { events } = this.#options;
    const wanted = Math.floor(((n + 1 - this.#grownAt) / (events - this.#grownAt)) * (events / 2));
    if (wanted <= this.#audits) return false;
    this.#audits += 1;
    return true;
  }

  async #drained(): Promise<void> {
    let state = "";
    await until(
      async () => {
        const { waiting, inFlight } = await this.#bus.groups.info(group);
        state = `${waiting} wait, ${inFlight} are in flight`;
        return waiting + inFlight === 0;
      },
      () => `everything to be handled: ${state}`,
      90_000,
    );
  }
}

/** As whoever deploys ends a process. */
async function terminated(child: Child): Promise<void> {
  process.kill(child.pid, "SIGTERM");
  await until(() => child.gone, `process ${child.pid} to end after SIGTERM`, 40_000);
}
