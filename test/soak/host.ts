/**
 * The process of the soak that must stay as it is: two buses, one of which is closed and connected again at each beat. It keeps
 * no history; what happens is noted, once a second with what it holds and how fast it was.
 */
import { readdirSync, statSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Bus, isBusError } from "../../src/index.ts";
import { type ChildSide, ProcessWatch, resources, runChild, until } from "../../src/testing/index.ts";
import { badMs, connectTo, Double, ordered, pause, type SoakInput, tail, unordered } from "./events.ts";
import { Membership } from "./member.ts";
import type { Sample } from "./growth.ts";

const drainMs = 60_000;
const collectMs = 10_000;
/** With gigabytes free V8 lets garbage lie for minutes: what is resident would say little of what is held. */
setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

class Host {
  readonly #side: ChildSide<SoakInput>;
  readonly #member: Membership;
  readonly #stop = new AbortController();
  readonly #loop = monitorEventLoopDelay({ resolution: 10 });
  readonly #said = new Set<string>();
  #answers = 0;
  #replayed = 0;

  constructor(side: ChildSide<SoakInput>) {
    this.#side = side;
    this.#member = new Membership(side.note);
    side.onTold((command) => void (command === "stop" && this.#stop.abort()));
  }

  async run(): Promise<void> {
    const { input, note } = this.#side;
    const watch = new ProcessWatch();
    const first = await connectTo(input, "first");
    const before = resources(); // with the first bus, so that what is made once per process is there
    this.#listen(first);
    await first.subscribePattern("soak.>", ({ id }) => note({ op: "handled", id, group: tail }), { group: false });
    await this.#member.join(first, ordered);
    await this.#member.join(first, unordered);
    await first.respond(Double, ({ n }) => ({ n: n * 2 }));
    note({ op: "ready" });
    this.#loop.enable();
    const sampling = this.#sampling(first);
    await Promise.all([this.#chapters(first), this.#reconnecting(), this.#replaying(first)]);
    note({ op: "stopped" });
    await this.#drained(first);
    this.#loop.disable();
    await sampling;
    await this.#member.pending.of("close", first.close());
    const after = await settled(before.handles);
    note({ op: "ended", before, after, complaints: watch.complaints, said: [...this.#said], replayed: this.#replayed });
    if (this.#member.pending.size > 0)
      this.#member.complain(`pending at the end: ${this.#member.pending.oldest().what}`);
    watch[Symbol.dispose]();
  }

  #listen(bus: Bus): void {
    bus.onStatus((status) => {
      this.#said.add(status.type);
      if (["messages-lost", "error", "disconnected", "unhandled"].includes(status.type))
        this.#member.complain(`${bus.name} said ${status.type} ${"reason" in status ? status.reason : ""}`);
    });
  }

  /** Publishes by a bus that stays; its keys change at each beat. */
  async #chapters(bus: Bus): Promise<void> {
    const { rate, beatMs } = this.#side.input;
    for (let n = 0; !this.#stop.signal.aborted; n++) {
      const end = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(beatMs)]);
      await this.#member.publish(bus, `a${n}`, rate / 2, end, () => false);
    }
  }

  /** The bus that is closed, while it publishes, and connected again. */
  async #reconnecting(): Promise<void> {
    const { input } = this.#side;
    const { pending } = this.#member;
    for (let n = 0; !this.#stop.signal.aborted; n++) {
      const bus = await pending.of("connect", connectTo(input, "second"));
      this.#listen(bus);
      await this.#member.join(bus, ordered);
      const end = new AbortController();
      const closing = new AbortController();
      const work = [
        this.#member.publish(bus, `b${n}`, input.rate / 2, end.signal, () => closing.signal.aborted),
        this.#member.comeAndGo(bus, input.beatMs, closing.signal),
        this.#asking(bus, closing.signal),
      ];
      await this.#pause(input.beatMs);
      closing.abort();
      const { unfinished } = await pending.of("close", bus.close());
      if (unfinished > 0) this.#member.complain(`closing left ${unfinished} unfinished`);
      end.abort();
      await Promise.all(work);
    }
  }

  async #asking(bus: Bus, closing: AbortSignal): Promise<void> {
    for (let n = 0; !closing.aborted; n++) {
      try {
        const answer = await this.#member.pending.of(`request ${n}`, bus.request(Double, { n }));
        if (answer.n !== n * 2) this.#member.complain(`${answer.n} is not the answer to ${n}`);
        this.#answers++;
      } catch (error) {
        if (!closing.aborted || !isBusError(error)) this.#member.complain(`request ${n}: ${String(error)}`);
      }
      await pause(100);
    }
  }

  async #replaying(bus: Bus): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#pause(2 * this.#side.input.beatMs);
      await this.#replay(bus);
    }
  }

  /** Only letters that will be handled. */
  async #replay(bus: Bus): Promise<void> {
    for (const group of [ordered, unordered]) {
      const query = { group, before: new Date(Date.now() - badMs) };
      const { replayed, failed } = await this.#member.pending.of("replay", bus.deadLetters.replay(query));
      this.#replayed += replayed;
      if (failed > 0) this.#member.complain(`${failed} letters could not be replayed`);
    }
  }

  /** After the last publish: letters replayed, everything handled, by what the groups say themselves. */
  async #drained(bus: Bus): Promise<void> {
    const { note } = this.#side;
    const from = performance.now();
    for (;;) {
      await pause(badMs);
      await this.#replay(bus);
      const letters = await bus.deadLetters.count({});
      const backlog = (await this.#backlog(bus)) + letters;
      note({ op: "backlog", backlog });
      if (backlog === 0) return;
      if (performance.now() - from > drainMs) return;
    }
  }

  async #backlog(bus: Bus): Promise<number> {
    const infos = await Promise.all([ordered, unordered].map((group) => bus.groups.info(group)));
    return infos.reduce((sum, { waiting, inFlight }) => sum + waiting + inFlight, 0);
  }

  async #sampling(bus: Bus): Promise<void> {
    const { input, note } = this.#side;
    let collected = -Infinity;
    let heldBytes = 0;
    while (!this.#stop.signal.aborted) {
      await this.#pause(1_000);
      if (performance.now() - collected >= collectMs) {
        collectGarbage();
        collected = performance.now();
        const { heapUsed, external } = process.memoryUsage();
        heldBytes = heapUsed + external;
      }
      const latencies = this.#member.latencies.toSorted((a, b) => a - b);
      this.#member.latencies = [];
      const oldest = this.#member.pending.oldest();
      const sample: Sample = {
        ...resources(),
        heldBytes,
        fileBytes: input.driver === "sqlite" ? bytesOf(input.folder) : 0,
        p50Ms: latencies[latencies.length >> 1] ?? 0,
        p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
        loopMs: this.#loop.max / 1e6,
        pendingMs: oldest.ms,
        pending: oldest.what,
        backlog: await this.#member.pending.of("groups.info", this.#backlog(bus)),
        published: this.#member.published,
        answers: this.#answers,
      };
      this.#loop.reset();
      note({ op: "sample", sample });
    }
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stop;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, ms);
      function done(): void {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      }
      signal.addEventListener("abort", done);
      if (signal.aborted) done();
    });
  }
}

function bytesOf(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => {
    return sum + (statSync(`${folder}/${name}`, { throwIfNoEntry: false })?.size ?? 0);
  }, 0);
}

/** What is held once nothing more is let go. */
async function settled(handles: number): Promise<ReturnType<typeof resources>> {
  await until(() => resources().handles <= handles, "handles to be closed", 5_000).catch(() => undefined);
  return resources();
}

await runChild<SoakInput>(async (side) => {
  await new Host(side).run();
  await side.ended;
});
