/** What waits for a listener of the direct lane that is behind, at most; beyond it some are dropped, and it is said. */
export const mostWaiting = 10_000;
export const mostWaitingBytes: number = 64 * 1_048_576;

/** To `Sink.lost`. */
export const whyDropped: string = `more than ${mostWaiting} direct messages waited`;
