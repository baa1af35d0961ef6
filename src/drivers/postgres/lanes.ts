import type { Lane } from "./batch.ts";
import type { Link, Row } from "./link.ts";
import type { Names } from "./names.ts";
import { RoomCheck, type Limits } from "./room-check.ts";

export interface KnownLane extends Lane, Limits {
  readonly room: RoomCheck;
}

const day = 86_400_000;
/** A queue refuses nothing and forgets nothing but what its group has handled. */
const queue = { partitions: 16, maxAge: 3_650 * day, maxBytes: 2 ** 50, idleGroup: 3_650 * day } as const;

/** Streams and queues as this connection knows them; what is not known is asked for. */
export class Lanes {
  readonly #names: Pick<Names, "fill">;
  readonly #known = new Map<string, KnownLane>();

  constructor(names: Pick<Names, "fill">) {
    this.#names = names;
  }

  known(name: string, isQueue: boolean): KnownLane | undefined {
    return this.#known.get(`${isQueue} ${name}`);
  }

  /** Undefined: there is no such stream. A queue that is not there is made. */
  async find(link: Link, name: string, isQueue: boolean): Promise<KnownLane | undefined> {
    let row = await this.#look(link, name, isQueue);
    if (row === undefined && isQueue) {
      await this.#makeQueue(link, name);
      row = await this.#look(link, name, true);
    }
    if (row === undefined) return undefined;
    const [id, partitions, maxBytes, maxMessages = null] = row;
    const lane: KnownLane = {
      id: Number(id),
      partitions: Number(partitions),
      maxBytes: Number(maxBytes),
      maxMessages: maxMessages === null ? undefined : Number(maxMessages),
      room: new RoomCheck(),
    };
    this.#known.set(`${isQueue} ${name}`, lane);
    return lane;
  }

  /** Streams came, went or changed. */
  forget(): void {
    this.#known.clear();
  }

  async #look(link: Link, name: string, isQueue: boolean): Promise<Row | undefined> {
    const rows = await link.query(
      this.#names.fill(
        "SELECT id, partitions, max_bytes, max_messages FROM {stream} WHERE queue = $1 AND name = $2 AND NOT gone",
      ),
      [String(isQueue), name],
    );
    return rows[0];
  }

  /** Both or none; of two who make it at once one does. */
  async #makeQueue(link: Link, name: string): Promise<void> {
    await link.query(
      this.#names.fill(`WITH made AS (
          INSERT INTO {stream} (name, queue, topics, partitions, max_age, max_bytes, when_full, idle_group)
          VALUES ($1, true, '[]', $2, $3, $4, 'reject', $5) ON CONFLICT (queue, name) DO NOTHING RETURNING id, partitions)
        INSERT INTO {part} (stream, partition) SELECT id, number FROM made, generate_series(0, partitions - 1) number`),
      [name, String(queue.partitions), String(queue.maxAge), String(queue.maxBytes), String(queue.idleGroup)],
    );
  }
}
