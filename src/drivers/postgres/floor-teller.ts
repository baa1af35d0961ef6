import type { Sink } from "../../driver.ts";
import type { GroupContext } from "./group-view.ts";
import { partitionName } from "./streams.ts";
import { numberOf } from "./values.ts";

const everyMs = 250;

/** Says up to where a group has handled everything, what others handled included; not more often than that. */
export class FloorTeller {
  readonly #context: GroupContext;
  readonly #group: number;
  readonly #sink: Sink;
  readonly #said = new Map<string, number>();
  #timer: Disposable | undefined;
  #closed = false;

  constructor(context: GroupContext, group: number, sink: Sink) {
    this.#context = context;
    this.#group = group;
    this.#sink = sink;
  }

  later(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = this.#context.session.later(everyMs, () => {
      this.#timer = undefined;
      this.tell();
    });
  }

  tell(): void {
    this.#ask().catch(() => this.later());
  }

  close(): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
  }

  async #ask(): Promise<void> {
    const { session, streams } = this.#context;
    if (this.#closed || session.closed) return;
    const rows = await session.desk.query("SELECT * FROM {1:floors}(NULL, $1)", [String(this.#group)]);
    for (const [, stream, partition, floor] of rows) {
      const row = await streams.byId(numberOf(stream));
      if (row === undefined || this.#closed) continue;
      const name = partitionName(row, numberOf(partition));
      if (this.#said.get(name) === numberOf(floor)) continue;
      this.#said.set(name, numberOf(floor));
      this.#sink.floor(name, String(floor));
    }
  }
}
