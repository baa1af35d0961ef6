/** As `net.Socket` counts. */
export interface CountedStream {
  readonly bytesRead?: number;
  readonly bytesWritten?: number;
  readonly writableLength?: number;
}

/** When something last went through a line, seen by whoever looks now and then: a large answer on a slow one is no silence. */
export class LineProgress {
  #moved = 0;
  #at = Number.NEGATIVE_INFINITY;

  /** By the same clock as `now`; before all times: nothing did yet. */
  last({ bytesRead = 0, bytesWritten = 0, writableLength = 0 }: CountedStream, now: number): number {
    const moved = bytesRead + bytesWritten - writableLength;
    if (moved !== this.#moved) [this.#moved, this.#at] = [moved, now];
    return this.#at;
  }
}
