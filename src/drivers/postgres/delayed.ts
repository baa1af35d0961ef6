import type { ScheduledMessage } from "../../driver.ts";
import { duePlaceText, numberedPlaceOf } from "../../internal/due-place.ts";
import { cancelledFrom, nowMs } from "./functions/append.ts";
import { among } from "./letters.ts";
import type { Session } from "./session.ts";
import { escapeText, unescapeText } from "./text-escape.ts";
import { numberOf, textArrayOf } from "./values.ts";

/** What is published for later, soonest first. A process of layout 1 writes no event id: of a UUID it is known all the same. */
export async function delayedPage(
  session: Session,
  after: string | undefined,
  limit: number,
): Promise<readonly ScheduledMessage[]> {
  const { due, number } = numberedPlaceOf(after);
  const rows = await session.desk.query(
    `SELECT coalesce(event, encode(broker, 'hex')::uuid::text), topic, due, id FROM {delayed}
      WHERE (due, id) > ($1::bigint, $2::bigint) AND due < ${cancelledFrom} ORDER BY due, id LIMIT $3`,
    [String(Math.floor(due)), String(number), String(limit)],
  );
  return rows.map(([event, topic, at, id]) => ({
    id: unescapeText(event ?? ""),
    topic: topic ?? "",
    notBefore: numberOf(at),
    position: duePlaceText({ due: numberOf(at), rest: id ?? "" }),
  }));
}

/** Whoever moves a row holds it until it is moved: then it is gone. Of what is cancelled the row stays for a while, and its id with it. */
export async function cancelDelayed(session: Session, ids: readonly string[]): Promise<readonly string[]> {
  const rows = await session.desk.query(
    `UPDATE {delayed} SET due = ${cancelledFrom} + ${nowMs}, key = NULL, headers = NULL, body = ''
      WHERE event = ANY ($1::text[]) AND due < ${cancelledFrom} RETURNING event`,
    [textArrayOf(ids.map(escapeText))],
  );
  return among(ids, rows);
}

/** What was cancelled so long ago that nobody tries its publish again. */
export async function forgetCancelled(session: Session): Promise<void> {
  await session.desk.query(
    `DELETE FROM {delayed} WHERE due BETWEEN ${cancelledFrom} AND ${cancelledFrom} + ${nowMs} - $1::bigint`,
    [String(session.options.dedupeWindowMs)],
  );
}
