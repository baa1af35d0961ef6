import type { Api } from "./api.ts";
import type { Bucket } from "./bucket.ts";
import type { Definitions } from "./definition.ts";
import type { Delayed } from "./delayed.ts";
import type { Members } from "./members.ts";
import type { Retention } from "./retention.ts";
import type { Session } from "./session.ts";
import type { Streams } from "./streams.ts";

/** What the parts of one connection have in common; made by the connection, in this order. */
export interface Shared {
  readonly session: Session;
  readonly api: Api;
  readonly bucket: Bucket;
  readonly streams: Streams;
  readonly members: Members;
  readonly definitions: Definitions;
  readonly retention: Retention;
  readonly delayed: Delayed;
}
