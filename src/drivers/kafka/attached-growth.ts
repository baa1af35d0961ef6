import type { Session } from "./session.ts";

const everyMs = 30_000;

/** Sees the partitions that others add to their topics, and makes them known: groups and tails read them from their beginning. */
export class AttachedGrowth {
  readonly #session: Session;
  #timer: Disposable | undefined;
  #closed = false;

  constructor(session: Session) {
    this.#session = session;
  }

  start(): void {
    if (this.#session.context.manage === "create") this.#later();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
  }

  #later(): void {
    const { clock } = this.#session;
    this.#timer = clock.after(everyMs * (0.75 + clock.random() / 4), () => {
      void this.look()
        .catch(() => undefined) // with the next
        .then(() => !this.#closed && this.#later());
    });
  }

  async look(): Promise<void> {
    const { cluster, control } = this.#session;
    const all = [...control.fold.streams.values()].flatMap(({ options: { name, attached } }) =>
      attached === undefined ? [] : [{ name, topic: attached.topic }],
    );
    if (all.length === 0) return;
    for (const { topic } of all) cluster.topology.watch(topic);
    await cluster.retried(() => cluster.topology.refresh());
    for (const { name, topic } of all) {
      const partitions = cluster.topology.place(topic)?.partitions ?? 0;
      if (partitions <= (control.fold.streams.get(name)?.options.partitions ?? partitions)) continue;
      await control.change(({ streams }) => {
        const { options, revision } = streams.get(name) ?? {};
        if (options?.attached?.topic !== topic || options.partitions >= partitions) return undefined;
        return { is: "stream", expect: revision ?? 0, options: { ...options, partitions } };
      });
    }
  }
}
