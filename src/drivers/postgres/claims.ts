import type { StoredMessage } from "../../driver.ts";
import { Claim, isOpenIn } from "../../internal/rows/claim.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";
import type { RowMessage } from "../../internal/rows/message.ts";
import type { Entry } from "../../internal/rows/settlements.ts";
import { bigintArray, bytesArray } from "./binary-array.ts";
import { claimKinds } from "./functions/claim.ts";
import type { GroupView } from "./group-view.ts";
import type { Row, Value } from "./link.ts";
import { messageOf } from "./message.ts";
import { arrayOf, bytesOf, letterFields, numberOf, textArrayOf } from "./values.ts";

/** A run of a partition in this member's hands. */
export class Run extends Claim {
  readonly partition: number;

  constructor(id: number, stream: number, partition: number, first: number, last: number, deliveries: number) {
    super(stream, first, last, deliveries);
    this.id = id;
    this.partition = partition;
  }
}

/** How a message of an unordered group is found again. */
export interface ClaimHandle {
  /** Undefined once it has a row of its own in `held`. */
  claim: Run | undefined;
  readonly stream: number;
  readonly number: number;
  /** Handled, and nothing else became of it. */
  acked?: boolean;
  /** Members that released it before. */
  readonly avoid?: string | null;
}
export type ClaimMessage = RowMessage<ClaimHandle>;

/** What a member settled and noted. */
export interface ClaimBatch {
  readonly claims: Set<Run>;
  /** Acknowledged, with a row of their own. */
  readonly held: ClaimMessage[];
  readonly entries: Entry<ClaimHandle, StoredMessage>[];
}

export const newBatch = (): ClaimBatch => ({ claims: new Set(), held: [], entries: [] });

interface Claimed {
  readonly messages: ClaimMessage[];
  readonly runs: Run[];
  readonly lost: { readonly count: number; readonly reason: string }[];
  /** Undefined: the group is gone. */
  version: number | undefined;
  unseated: boolean;
  /** It was asked for under an earlier session. */
  old: boolean;
  more: boolean;
  /** In how many milliseconds the member may have the next one that waits. */
  due: number | undefined;
}

export const retentionLoss = "dropped by retention before it was handled";
const reasons = [retentionLoss, "expired before it was handled"];

/** The arguments of `claim`. */
export function claimValues(
  { seat, session, group }: { readonly seat: number; readonly session: number; readonly group: number },
  self: string,
  view: GroupView,
  turn: number,
  messages: number,
  bytes: number,
  paused: ReadonlySet<string>,
): Value[] {
  const places = [...paused].flatMap((partition) => {
    const place = view.place(partition);
    return place === undefined ? [] : [place];
  });
  return [
    String(seat),
    String(session),
    String(group),
    String(view.version),
    self,
    arrayOf([...view.patterns.keys()]),
    textArrayOf([...view.patterns.values()]),
    String(turn),
    String(messages),
    String(bytes),
    arrayOf(places.map(([stream]) => stream)),
    arrayOf(places.map(([, partition]) => partition)),
  ];
}

/** What is read of an answer, in its order. The last one: of a run its bits. */
export const claimColumns = (body: string): string =>
  `o_kind, o_id, o_stream, o_partition, o_seq, o_last, o_deliveries, o_attempts, o_notes, o_avoid, o_topic, o_key, o_headers,
    CASE WHEN o_kind <> ${claimKinds.run} THEN ${body} END, CASE WHEN o_kind = ${claimKinds.run} THEN o_body END`;

/** What `claim` answered. */
export function claimedOf(
  rows: readonly Row[],
  bodyOf: (text: string | null | undefined) => Uint8Array,
  view: GroupView,
): Claimed {
  const claimed: Claimed = {
    messages: [],
    runs: [],
    lost: [],
    version: undefined,
    unseated: false,
    old: false,
    more: false,
    due: undefined,
  };
  let run: Run | undefined;
  let bits: Buffer = Buffer.alloc(0);
  let missing = 0;
  const end = (): void => {
    if (run === undefined) return;
    // what was not done and is not there any more
    for (let seq = run.first; seq <= run.last; seq += 1)
      if (isOpenIn({ first: run.first, done: bits }, seq) && !run.isOpen(seq)) missing += 1;
    claimed.runs.push(run);
  };
  for (const row of rows) {
    const [kind, id, stream, partition, seq, last, deliveries, attempts, notes = null, avoid = null] = row;
    switch (Number(kind)) {
      case claimKinds.group:
        claimed.version = numberOf(id);
        break;
      case claimKinds.unseated:
        claimed.unseated = true;
        break;
      case claimKinds.old:
        claimed.old = true;
        break;
      case claimKinds.run:
        end();
        run = new Run(
          numberOf(id),
          numberOf(stream),
          numberOf(partition),
          numberOf(seq),
          numberOf(last),
          numberOf(deliveries),
        );
        bits = bytesOf(row[14]);
        break;
      case claimKinds.claimed: {
        run!.open(numberOf(seq));
        const handle = { claim: run, stream: run!.stream, number: run!.partition };
        const place = { deliveries: numberOf(deliveries), attempts: 0, notBefore: undefined, notes: null };
        claimed.messages.push(
          messageOf(
            numberOf(seq),
            row,
            10,
            bodyOf,
            handle,
            view.lane(run!.stream),
            view.name(run!.stream, run!.partition),
            place,
          ),
        );
        break;
      }
      case claimKinds.held: {
        const [of, number] = [numberOf(stream), numberOf(partition)];
        const place = {
          deliveries: numberOf(deliveries),
          attempts: numberOf(attempts),
          notBefore: last === null || last === undefined ? undefined : Number(last),
          notes,
        };
        const handle = { claim: undefined, stream: of, number, avoid };
        claimed.messages.push(
          messageOf(numberOf(seq), row, 10, bodyOf, handle, view.lane(of), view.name(of, number), place),
        );
        break;
      }
      case claimKinds.lost:
        claimed.lost.push({ count: numberOf(seq), reason: reasons[numberOf(attempts)]! });
        break;
      case claimKinds.due:
        claimed.due = numberOf(seq);
        break;
      default:
        claimed.more = true;
    }
  }
  end();
  if (missing > 0) claimed.lost.push({ count: missing, reason: retentionLoss });
  return claimed;
}

/** The arguments of `settle`. */
export function settleValues(
  batch: ClaimBatch,
  seat: number,
  session: number,
  group: number,
  self: string,
  lasting: boolean,
): Value[] {
  const claims = [...batch.claims];
  const { held, entries } = batch;
  return [
    String(seat),
    String(session),
    String(group),
    self,
    String(lasting),
    bigintArray(claims.map(({ id }) => id)),
    bigintArray(claims.map(({ low }) => low)),
    bytesArray(claims.map(({ left, bits }) => (left === 0 ? null : bits))),
    arrayOf(held.map(({ handle }) => handle.stream)),
    arrayOf(held.map(({ handle }) => handle.number)),
    arrayOf(held.map(({ seq }) => seq)),
    entries.length === 0 ? null : JSON.stringify(entries.map(entryOf)),
    entries.length === 0
      ? null
      : bytesArray(entries.map(({ what }) => (what.how === "dead" ? what.letter.body : null))),
  ];
}

function entryOf({ message, what }: Entry<ClaimHandle, StoredMessage>): object {
  const { claim, stream, number, avoid } = message.handle;
  const place = { run: claim?.id ?? null, stream, partition: number, seq: message.seq, how: what.how };
  if (what.how === "dead") return { ...place, letter: letterFields(what.letter) };
  const headers = encodeHeaders(what.headers);
  const { deliveries } = message;
  switch (what.how) {
    case "note":
      return { ...place, headers, deliveries, attempts: what.attempts, notBefore: rounded(what.notBefore) };
    case "retry":
      return { ...place, headers, deliveries: 0, attempts: what.attempts, delay: Math.ceil(what.delayMs) };
    case "release":
      return { ...place, headers, deliveries: deliveries - 1, delay: Math.ceil(what.delayMs), avoid: avoid ?? "" };
  }
}

const rounded = (time: number | undefined): number | null => (time === undefined ? null : Math.ceil(time));
