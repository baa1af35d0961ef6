import { type Bus, defineRequest, isBusError, type PublishError, type RequestDefinition, typed } from "../../index.ts";
import type { ItemEvent } from "../lab.ts";
import { upTo } from "../runs.ts";
import { until, within } from "../until.ts";
import { ticks } from "./journal.ts";
import type { RecoveryLab } from "./recovery-lab.ts";

/** How long any one publish or request may take: its tries, their waits, and some more. */
const promiseMs = 20_000;
const workMs = 5;

/**
 * Publishers, each with a key and one publish at a time, two groups of two members each, a tail, a requester and a responder. An
 * outcome that is unknown is tried again with its id until it is known; what was rejected is let go.
 */
export class Load {
  readonly item: ItemEvent;
  readonly ordered: string;
  readonly loose: string;
  readonly publisher: Bus;
  readonly consumers: readonly [Bus, Bus];
  /** Publishes that have not ended. */
  publishing = 0;
  /** When an answer came. */
  readonly answeredAt: number[] = [];
  readonly #lab: RecoveryLab;
  readonly #loops: Promise<void>[] = [];
  #stopping = false;

  /** Resolves when every reader has got something. With `url` all of it goes there: to a proxy. */
  static async start(
    lab: RecoveryLab,
    publishers: number,
    { url, from }: { readonly url?: string; readonly from?: "newest" } = {},
  ): Promise<Load> {
    const [publisher, first, second] = await Promise.all([lab.bus({}, url), lab.bus({}, url), lab.bus({}, url)]);
    const load = new Load(lab, publisher, [first, second]);
    await load.subscribe(from);
    load.run(publishers);
    await load.#flowing();
    return load;
  }

  constructor(lab: RecoveryLab, publisher: Bus, consumers: readonly [Bus, Bus]) {
    this.#lab = lab;
    this.item = lab.event();
    this.ordered = lab.group("ordered");
    this.loose = lab.group("loose");
    this.publisher = publisher;
    this.consumers = consumers;
  }

  get groups(): readonly string[] {
    return [this.ordered, this.loose];
  }
  get buses(): readonly Bus[] {
    return [this.publisher, ...this.consumers];
  }
  get #ask(): RequestDefinition<string, { readonly n: number }, { readonly n: number }> {
    return defineRequest(this.#lab.topic("ask"), {
      request: typed<{ readonly n: number }>(),
      response: typed<{ readonly n: number }>(),
    });
  }

  async subscribe(from?: "newest"): Promise<void> {
    const { journal, driver } = this.#lab;
    const work = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, workMs));
    for (const [index, bus] of this.consumers.entries()) {
      const options = { concurrency: 8, from } as const;
      await bus.subscribe(this.item, journal.handler(`ordered-${index}`, work), {
        ...options,
        group: this.ordered,
        order: driver.capabilities.order ? "group" : "process",
      });
      await bus.subscribe(this.item, journal.handler(`loose-${index}`, work), {
        ...options,
        group: this.loose,
        order: "none",
      });
    }
    await this.consumers[0].subscribe(
      this.item,
      journal.handler("tail", () => undefined),
    );
    await this.consumers[1].respond(this.#ask, ({ n }) => ({ n }));
  }

  run(publishers: number): void {
    this.#loops.push(...upTo(publishers).map((p) => this.#publish(`p${p}`)), this.#request());
    for (const loop of this.#loops) loop.catch(() => undefined); // told by `stop`
  }

  async #publish(name: string): Promise<void> {
    let sequence = 0;
    for (let number = 0; !this.#stopping; number++) {
      if (await this.publish(name, `${this.#lab.topic(name)}-${number}`, sequence)) sequence++;
      await pause(20 + this.#lab.random() * 40);
    }
  }

  /** True when it is stored, false when it certainly is not. */
  async publish(name: string, id: string, sequence: number): Promise<boolean> {
    const { journal } = this.#lab;
    const record = { id, key: name, sequence, hash: `body of ${id}` };
    journal.note("publish-started", name, record);
    this.publishing++;
    try {
      for (let doubtful = false; ;) {
        try {
          const sent = this.publisher.publish(this.item, { n: sequence, text: record.hash }, { id, key: name });
          await within(sent, `the publish of ${id} to end`, promiseMs);
          journal.note("published", name, record);
          return true;
        } catch (error) {
          if (!(isBusError(error) && "outcome" in error)) throw error;
          doubtful ||= (error as PublishError).outcome === "unknown";
          journal.note(doubtful ? "publish-unknown" : "publish-failed", name, record);
          if (!doubtful) return false;
          await pause(50);
        }
      }
    } finally {
      this.publishing--;
    }
  }

  async #request(): Promise<void> {
    for (let n = 0; !this.#stopping; n++) {
      const asked = this.publisher.request(this.#ask, { n }, { timeoutMs: 1_000 });
      const answer = await within(
        asked.catch((error: unknown) => {
          if (!isBusError(error)) throw error;
        }),
        `request ${n} to end`,
        promiseMs,
      );
      if (answer?.n === n) this.answeredAt.push(ticks());
      await pause(50);
    }
  }

  /** Long enough for something to be settled for good: what a fault may then repeat is not all that there is. */
  async #flowing(): Promise<void> {
    const { journal, repeatsMs } = this.#lab;
    const from = ticks();
    const count = (): readonly number[] => [...this.groups, undefined].map((group) => journal.handledBy(group));
    await until(
      () => ticks() - from > repeatsMs + 300 && count().every((handled) => handled >= 40) && this.answeredAt.length > 0,
      () => `the load to run; handled were ${count().join(", ")}, answered ${this.answeredAt.length}`,
      30_000,
    );
  }

  /** Resolves at a moment when something is being published and something is being handled: a fault hits both. */
  async busy(): Promise<void> {
    await until(() => this.publishing > 0 && this.#lab.journal.active > 0, "something in flight");
  }

  /** Every publish and request under way ends, and no other begins. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await within(Promise.all(this.#loops), "every publisher to stop", 40_000);
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
