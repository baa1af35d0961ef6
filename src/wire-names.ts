/** Names on the wire, in one place. CloudEvents attributes are lower-case letters and digits; headers carry a prefix. */
export const headerPrefix = "omnibus-";

/** CloudEvents extension attributes that we write and read. */
export const extension = {
  key: "partitionkey",
  version: "dataversion",
  correlation: "correlationid",
  causation: "causationid",
  session: "sessionid",
  priority: "priority",
  metadata: "busmetadata",
  maxAttempts: "maxattempts",
} as const;

/** Headers beside the body. `record` and `settle` rewrite those of a message's history. */
export const header = {
  contentType: "content-type",
  contentEncoding: "content-encoding",
  /** Handlers of this group that are done with the message: their names, comma-separated, each percent-encoded. */
  handlersDone: "omnibus-done",
  /** Handlers that gave it up, with the same encoding. */
  handlersFailed: "omnibus-failed",
  /** Only these handlers are to run: a replay of a dead letter. */
  handlersOnly: "omnibus-only",
  /** How often it was handed on to another member, and since when (ms since the epoch). */
  hops: "omnibus-hops",
  handedOnSince: "omnibus-handed-on-since",
  /** When the first attempt failed (ms since the epoch), and the errors so far as JSON: `[{at, error}]`. */
  firstFailedAt: "omnibus-first-failed-at",
  history: "omnibus-history",
  /** The id, percent-encoded, that was made for a foreign message from the place that it had first. */
  placeId: "omnibus-place-id",
  /** Where what may be a copy stood in its stream: partition and position, with a colon between. */
  firstPlace: "omnibus-first-place",
  /** A dead letter's. */
  letterEventId: "omnibus-letter-event-id",
  letterStream: "omnibus-letter-stream",
  letterPosition: "omnibus-letter-position",
  letterAttempts: "omnibus-letter-attempts",
  reasonCode: "omnibus-reason-code",
  reasonName: "omnibus-reason-name",
  reasonMessage: "omnibus-reason-message",
  reasonStack: "omnibus-reason-stack",
  failedAt: "omnibus-failed-at",
  /** How often the letter was replayed. */
  replays: "omnibus-replays",
  /** Of a letter: later events of its key wait until it is replayed or discarded. */
  letterHalts: "omnibus-letter-halts",
  /** Of the replay of such a letter: the event's id, percent-encoded; and that nobody is to handle it, since it was discarded. */
  halts: "omnibus-halts",
  discarded: "omnibus-discarded",
  /** Noted of what is about to be such a letter: nobody is to run it any more. */
  givenUp: "omnibus-given-up",
  /** Noted of a replay: it is handled, and what is parked behind it is being handed out. */
  drains: "omnibus-drains",
  /** In a state store only: the priority of what is published for later, unless it is normal. */
  scheduledPriority: "omnibus-scheduled-priority",
  /** A request's: how many ms its requester waits. */
  waitsMs: "omnibus-waits-ms",
  /** A reply's: the id of the request. */
  answerTo: "omnibus-answer-to",
  /** A reply that is an error: its code, name and message (the last two percent-encoded). */
  errorCode: "omnibus-error-code",
  errorName: "omnibus-error-name",
  errorMessage: "omnibus-error-message",
} as const;
