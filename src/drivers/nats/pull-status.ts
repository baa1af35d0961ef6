/** What a status on a pull's inbox asks for. */
export type PullStep =
  /** It still lives. */
  | "alive"
  /** This request was served, or a new leader knows nothing of it: pull again when there is room. */
  | "over"
  /** Its time is over: nothing is waiting. */
  | "empty"
  /** The next message is larger than the bytes that were left. */
  | "too-large"
  /** The consumer or its stream was deleted. */
  | "gone"
  /** Nobody is there: no consumer, no stream, or no leader at the moment. */
  | "look";

/** Statuses of both servers. The text decides only where the code is 409, of which there are eight. */
export function pullStep(code: number, text: string): PullStep {
  switch (code) {
    case 100:
      return "alive";
    case 404:
    case 408:
      return "empty";
    case 409:
      if (/consumer deleted/i.test(text)) return "gone";
      return /message size exceeds/i.test(text) ? "too-large" : "over";
    default:
      return "look";
  }
}
