import { before, compareIds } from "./id.ts";

/** How far a group is settled in each partition, as far as this member can know. Pure. */
export class Floors {
  readonly #given = new Map<string, string>();
  readonly #said = new Map<string, string>();

  /** Was handed to this member, or to another one before it came. */
  reached(ref: string, id: string): void {
    const highest = this.#given.get(ref);
    if (highest === undefined || compareIds(id, highest) > 0) this.#given.set(ref, id);
  }

  /**
   * The lowest that is pending anywhere in the group; "": nothing is, so all that was handed to us is settled, and all before it
   * was handed to somebody and settled. A position that has moved, or undefined.
   */
  answered(ref: string, lowest: string): string | undefined {
    const floor = lowest === "" ? this.#given.get(ref) : before(lowest);
    const said = this.#said.get(ref);
    if (floor === undefined || (said !== undefined && compareIds(floor, said) <= 0)) return undefined;
    this.#said.set(ref, floor);
    return floor;
  }
}
