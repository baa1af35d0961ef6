const lookEveryMs = 1_000;
/** Share of a limit up to which a stream can't become full between two looks. */
const safe = 0.8;
/** Limits below these are kept exactly. */
const smallBytes = 16 * 1_048_576;
const smallMessages = 10_000;

export interface Limits {
  readonly maxBytes: number;
  readonly maxMessages: number | undefined;
}

/**
 * When an append has to look whether there is room, which costs as much as appending ten messages: not while the last look,
 * a second ago at most, found a large limit far away. Pure.
 */
export class RoomCheck {
  #at = Number.NEGATIVE_INFINITY;
  #near = true;

  due({ maxBytes, maxMessages }: Limits, now: number): boolean {
    if (maxBytes < smallBytes || (maxMessages !== undefined && maxMessages < smallMessages)) return true;
    return this.#near || now - this.#at >= lookEveryMs;
  }

  looked(
    { maxBytes, maxMessages = Number.POSITIVE_INFINITY }: Limits,
    messages: number,
    bytes: number,
    now: number,
  ): void {
    this.#at = now;
    this.#near = bytes > maxBytes * safe || messages > maxMessages * safe;
  }
}
