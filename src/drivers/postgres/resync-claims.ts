import { isOpenIn } from "../../internal/rows/claim.ts";
import type { ClaimMessage, Run } from "./claims.ts";
import type { Session } from "./session.ts";
import { arrayOf, bytesOf, numberOf } from "./values.ts";

interface Found {
  /** The server gives them to this member no more. */
  readonly revoked: ClaimMessage[];
  /** What became of it here is not written yet. */
  readonly open: (message: ClaimMessage) => boolean;
}

/**
 * After a reconnect: what the server has in a member's hands and what that knows of. An answer may have been lost, and after a crash
 * of the server what nobody waited for. What the member never saw is freed, uncounted; not what it has settled and not written yet
 * (`going`, asked when the server has answered).
 */
export async function resyncClaims(
  session: Session,
  seat: number,
  delivered: ReadonlySet<ClaimMessage>,
  runs: Map<number, Run>,
  going: () => readonly ClaimMessage[],
): Promise<Found> {
  const claims = new Map<number, { readonly first: number; readonly done: Buffer }>();
  for (const [id, first, done] of await session.worker.query("SELECT id, first, done FROM {claim} WHERE member = $1", [
    String(seat),
  ]))
    claims.set(numberOf(id), { first: numberOf(first), done: bytesOf(done) });
  const held = new Set(
    (await session.worker.query("SELECT stream, partition, seq FROM {held} WHERE member = $1", [String(seat)])).map(
      (row) => row.join("/"),
    ),
  );
  const placeOf = ({ handle, seq }: ClaimMessage): string => `${handle.stream}/${handle.number}/${seq}`;
  const open = (message: ClaimMessage): boolean => {
    const { claim } = message.handle;
    if (claim === undefined) return held.has(placeOf(message));
    const row = claims.get(claim.id);
    return row !== undefined && isOpenIn(row, message.seq);
  };
  const revoked: ClaimMessage[] = [];
  const kept = new Set(going().map(placeOf));
  for (const message of delivered) {
    const inHand = held.has(placeOf(message));
    if (inHand) {
      message.handle.claim = undefined; // a note of it was written, whose answer was lost
      kept.add(placeOf(message));
    } else if (!open(message)) revoked.push(message);
  }
  const unknown = [...claims.keys()].filter((id) => !runs.has(id));
  if (unknown.length > 0)
    await session.worker.query(
      "UPDATE {claim} SET member = NULL, deliveries = deliveries - 1 WHERE id = ANY ($1::bigint[]) AND member = $2",
      [arrayOf(unknown), String(seat)],
    );
  for (const place of held) {
    if (kept.has(place)) continue;
    await session.worker.query(
      `UPDATE {held} SET member = NULL, due = 0, deliveries = deliveries - 1
        WHERE stream = $1 AND partition = $2 AND seq = $3 AND member = $4`,
      [...place.split("/"), String(seat)],
    );
  }
  for (const id of [...runs.keys()]) if (!claims.has(id)) runs.delete(id);
  return { revoked, open };
}
