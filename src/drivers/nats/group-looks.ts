import type { NativeConsumer } from "./api-types.ts";
import { type GroupDefinition, withoutPart } from "./group-plan.ts";
import { type Lane, partIn } from "./group-lane.ts";
import { positionOf } from "./group-start.ts";
import { filtersOf } from "./filters.ts";
import { nothingBetween } from "./nothing-between.ts";
import { SeenMark } from "./seen.ts";
import type { Shared } from "./shared.ts";
import { sweep } from "./sweeping.ts";

/** What is said of the looks. */
export interface Looker {
  current(): GroupDefinition;
  lanes(): Iterable<Lane>;
  floor(partition: string, position: string): void;
  lost(count: number | undefined, reason: string): void;
}

const idleMs = 10_000;
const writeMs = 60_000;
const dropped = "dropped by retention before it was handled";

interface Looked {
  readonly mark: SeenMark;
  readonly created: string;
  floor: number;
  at: number;
  written: number;
}

/** How far the group is, what was dropped before it, and which part is done: every second while something moves, else rarely. */
export class Looks {
  readonly #shared: Shared;
  readonly #looker: Looker;
  readonly #streams = new Map<string, Looked>();
  /** It has been read before: what is gone since then is lost. */
  readonly #known: boolean;

  constructor(shared: Shared, looker: Looker, known: boolean) {
    this.#shared = shared;
    this.#looker = looker;
    this.#known = known;
  }

  async look(): Promise<void> {
    const streams = new Map<string, Lane[]>();
    for (const lane of this.#looker.lanes()) {
      if (lane.part === undefined) continue;
      const lanes = streams.get(lane.stream);
      if (lanes === undefined) streams.set(lane.stream, [lane]);
      else lanes.push(lane);
    }
    await Promise.all([...streams].map(([stream, lanes]) => this.#stream(stream, lanes)));
  }

  /** At the end: the next one begins to look from here. */
  async close(): Promise<void> {
    await Promise.all([...this.#streams.values()].map(({ mark }) => mark.write()));
  }

  async #stream(stream: string, lanes: readonly Lane[]): Promise<void> {
    const now = this.#shared.session.clock.ticks();
    const { created } = lanes[0]!.part!;
    let looked = this.#streams.get(stream);
    const fresh = looked?.created !== created;
    if (looked === undefined || fresh) looked = await this.#begin(stream, created);
    const moving = lanes.some(
      (lane) => lane.touched || lane.waiting > 0 || lane.hand.size > 0 || this.#end(lane) !== undefined,
    );
    if (!fresh && !moving && now - looked.at < idleMs) return;
    looked.at = now;
    for (const lane of lanes) lane.touched = false;
    const state = (await this.#shared.api.streamInfo(lanes[0]!.native))?.state; // before the consumers: what they passed by then
    const infos = await Promise.all(
      lanes.map(({ native, consumer }) => this.#shared.api.consumerInfo(native, consumer)),
    );
    let floor = Infinity;
    let pending = 0;
    let unsettled = 0;
    for (const [index, lane] of lanes.entries()) {
      const info = infos[index];
      if (info === undefined || state === undefined) return; // whoever reads it hears that it is gone
      lane.waiting = info.num_pending;
      if (info.num_ack_pending > 0) lane.touched = true; // the floor will move
      if (await this.#isDone(lane, info)) await this.#finish(lane);
      else floor = Math.min(floor, floorOf(info));
      pending += info.num_pending;
      unsettled += info.num_ack_pending;
      looked.mark.reached(info.delivered.stream_seq); // or in hand, until it is settled
    }
    if (fresh && looked.mark.seen < floor && floor !== Infinity) looked.mark.reached(floor);
    const gone = state!.first_seq - 1;
    if (gone > looked.mark.seen && (pending > 0 || (fresh && this.#known)) && (await looked.mark.gone(gone)))
      this.#looker.lost(undefined, dropped);
    if (pending + unsettled === 0) looked.mark.reached(state!.last_seq);
    if (now - looked.written >= writeMs) {
      looked.written = now;
      await looked.mark.write();
    }
    if (floor === Infinity || looked.floor >= floor) return;
    looked.floor = floor;
    this.#looker.floor(stream, positionOf(floor, created));
  }

  async #begin(stream: string, created: string): Promise<Looked> {
    const { group, first } = this.#looker.current();
    const mark = new SeenMark(this.#shared, group, first, stream, created);
    await mark.read();
    const looked = { mark, created, floor: -1, at: 0, written: this.#shared.session.clock.ticks() };
    this.#streams.set(stream, looked);
    return looked;
  }

  #end({ part }: Lane): number | undefined {
    return part === undefined ? undefined : partIn(this.#looker.current(), part)?.end;
  }

  /** All below its end is settled; what comes behind it nobody hands out. */
  async #isDone(lane: Lane, info: NativeConsumer): Promise<boolean> {
    const end = this.#end(lane);
    if (end === undefined) return false;
    if (floorOf(info) >= end - 1) return true;
    if (info.num_pending > 0 || info.num_ack_pending > 0) return false;
    const { api } = this.#shared;
    return await nothingBetween(api, lane.native, filtersOf(info.config), info.delivered.stream_seq + 1, end - 1);
  }

  /** Everything below its end is settled: it goes, whoever sees it first. */
  async #finish({ part }: Lane): Promise<void> {
    const { definitions } = this.#shared;
    const found = await definitions.get(this.#looker.current().group);
    const known = found === undefined ? undefined : partIn(found.definition, part!);
    if (found === undefined || known?.end === undefined) return;
    const next = await definitions.swap(withoutPart(found.definition, known), found.revision);
    if (next !== undefined) await sweep(this.#shared, next, { notes: false, queue: false });
  }
}

/** While nothing was acknowledged the floor that a server says may lie below the start. */
function floorOf({ ack_floor, delivered, config }: NativeConsumer): number {
  if (delivered.consumer_seq === 0) return delivered.stream_seq;
  if (ack_floor.consumer_seq === 0) return Math.max(ack_floor.stream_seq, (config.opt_start_seq ?? 1) - 1);
  return ack_floor.stream_seq;
}
