import { Part, type NoteRow, type PartEntry } from "../../internal/rows/part.ts";
import type { RowMessage } from "../../internal/rows/message.ts";
import type { HandedOut } from "../../internal/rows/handed-out.ts";

export type OwnMessage = RowMessage<PartEntry>;

interface Taken {
  readonly stream: number;
  readonly partition: number;
  /** Ours. */
  readonly epoch: number;
  readonly cursor: number;
  readonly done: Uint8Array | null;
  /** How far each former owner that died had handed out. */
  readonly outs: readonly number[];
}

/** A partition in this member's hands, and what of it is to be asked and written. */
export class OwnPart extends Part {
  /** Counts what was written under this epoch. */
  #written = 1;
  dirty = false;
  /** There may be more behind \`next\`. */
  news = true;

  constructor({ stream, partition, epoch, cursor, done, outs }: Taken, name: string, notes: readonly NoteRow[]) {
    const counts = JSON.stringify(handedOut(outs));
    super({ stream, partition, epoch: epoch - 1, cursor, done, counts }, name, notes);
  }

  /** The number of what is written next: the epoch in its high half, so that the newest is the last. */
  get n(): string {
    return String((BigInt(this.epoch) << 32n) + BigInt(this.#written));
  }

  wrote(): void {
    this.#written += 1;
  }
}

function handedOut(outs: readonly number[]): HandedOut {
  const bounds = [...new Set(outs)].toSorted((a, b) => a - b);
  return bounds.map((bound) => [bound, outs.filter((out) => out >= bound).length] as const);
}
