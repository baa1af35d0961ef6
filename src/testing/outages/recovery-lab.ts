import { readFileSync } from "node:fs";
import { type Bus, type BusConfig, type BusOptions, connect, createBus, defineEvent, typed } from "../../index.ts";
import type { BusStatus } from "../../status.ts";
import { type Child, type Line, spawnChild } from "../child.ts";
import { FaultProxy } from "../fault-proxy.ts";
import { ProcessWatch } from "../invariants/faults.ts";
import type { HistoryRecord } from "../invariants/history.ts";
import type { Item, ItemEvent } from "../lab.ts";
import { randomFor } from "../settings.ts";
import { until, within } from "../until.ts";
import { Journal } from "./journal.ts";
import type { RecoveryMemberInput } from "./recovery-member.ts";
import type { EmbeddedStore, RecoveryBroker, RecoveryNames, RecoveryUnderTest } from "./recovery-under-test.ts";

let labs = 0;
const run = `${process.pid.toString(36)}${Date.now().toString(36)}`;

/** What one test of the recovery suite works with: a broker of its own, names of its own; disposing it closes everything. */
export class RecoveryLab implements AsyncDisposable {
  readonly driver: RecoveryUnderTest;
  readonly random: () => number;
  readonly journal: Journal = new Journal();
  readonly watch: ProcessWatch = new ProcessWatch();
  readonly #store: RecoveryBroker | EmbeddedStore;
  readonly #id: string = `r${run}${(labs++).toString(36)}`;
  readonly #buses = new Map<Bus, BusStatus[]>();
  readonly #proxies: FaultProxy[] = [];
  readonly #children: Child[] = [];

  static async open(driver: RecoveryUnderTest, title: string): Promise<RecoveryLab> {
    const { broker } = driver;
    const store = await within<RecoveryBroker | EmbeddedStore>(
      "create" in broker ? broker.create() : broker.embedded(),
      "a broker",
      60_000,
    );
    return new RecoveryLab(driver, store, title);
  }

  private constructor(driver: RecoveryUnderTest, store: RecoveryBroker | EmbeddedStore, title: string) {
    this.driver = driver;
    this.#store = store;
    this.random = randomFor(title);
  }

  get broker(): RecoveryBroker {
    if (!("kill" in this.#store)) throw new Error(`${this.driver.name} has no broker`);
    return this.#store;
  }
  get leaseMs(): number {
    return this.driver.leaseMs ?? 10_000;
  }
  get silenceMs(): number {
    return this.driver.silenceMs ?? 15_000;
  }
  get repeatsMs(): number {
    return this.driver.repeatsMs ?? 100;
  }
  get names(): RecoveryNames {
    return { url: this.#store.url, prefix: this.#id };
  }

  topic(name: string): string {
    return `${this.#id}.${name}`;
  }
  group(name: string): string {
    return `${this.#id}-${name}`;
  }
  event(name = "item"): ItemEvent {
    return defineEvent(this.topic(name), { schema: typed<Item>() });
  }

  /** Connected, with quick retries; closed at the end of the test. */
  async bus(options: BusOptions = {}, url: string = this.#store.url): Promise<Bus> {
    return this.#adopt(await within(connect(this.config(options, url)), "connect"));
  }

  /** Not connected yet. */
  unconnected(options: BusOptions = {}, url: string = this.#store.url): Bus {
    return this.#adopt(createBus(this.config(options, url)));
  }

  config(options: BusOptions = {}, url: string = this.#store.url): BusConfig {
    const publishing: BusOptions["publishing"] = {
      attemptTimeoutMs: 1_000,
      retry: { maxAttempts: 3, backoff: { baseMs: 50, maxMs: 200 } },
    };
    return { publishing, ...this.driver.config(url), prefix: this.#id, ...options };
  }

  #adopt(bus: Bus): Bus {
    const said: BusStatus[] = [];
    bus.onStatus((status) => said.push(status));
    this.#buses.set(bus, said);
    return bus;
  }

  /** What a bus was told so far. */
  said(bus: Bus): readonly BusStatus[] {
    return this.#buses.get(bus) ?? [];
  }

  /** In front of the broker. */
  async proxy(): Promise<{ readonly proxy: FaultProxy; readonly url: string }> {
    const { url } = this.#store;
    const { rewriteReply } = this.driver;
    const proxy = await FaultProxy.start(url, {
      rewriteReply: rewriteReply && ((reply, port) => rewriteReply(reply, url, port)),
    });
    this.#proxies.push(proxy);
    return { proxy, url: proxy.url(url) };
  }

  /** A member in a process of its own, that runs; what it notes goes into the journal under its name. */
  async member(name: string, input: Omit<RecoveryMemberInput, "url" | "prefix">): Promise<Child> {
    const child = spawnChild(this.driver.member, {
      input: { ...this.names, ...input } satisfies RecoveryMemberInput,
      onLine: (line: Line) => {
        if (typeof line["id"] === "string") this.journal.add({ ...(line as unknown as HistoryRecord), process: name });
      },
    });
    this.#children.push(child);
    await until(
      () => child.lines.some(({ op }) => op === "ready"),
      () => `${name} to be ready; it noted ${JSON.stringify(child.lines.slice(-3))}${child.gone ? " and is gone" : ""}`,
      30_000,
    );
    return child;
  }

  /** Resolves when it stands still. */
  async stop(child: Child): Promise<void> {
    const { stop = async (pid: number): Promise<void> => void process.kill(pid, "SIGSTOP") } = this.driver;
    await stop(child.pid, this.#store.url);
    if (process.platform === "linux") await until(() => stateOf(child.pid) === "T", "it to stand still");
  }

  /** No bus takes longer than it was given. */
  async closeAll(): Promise<void> {
    const buses = [...this.#buses.keys()];
    this.#buses.clear();
    await within(Promise.all(buses.map((bus) => bus.close({ timeoutMs: 5_000 }))), "closing every bus", 10_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      for (const child of this.#children) await child[Symbol.asyncDispose]();
      await this.closeAll();
    } finally {
      this.watch[Symbol.dispose]();
      await Promise.all(this.#proxies.map((proxy) => proxy.close()));
      await within(Promise.resolve(this.#store[Symbol.asyncDispose]()), "the broker's end", 30_000);
    }
  }
}

/** The letter behind the program's name, which may hold anything. */
function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.charAt(stat.lastIndexOf(")") + 2);
}
