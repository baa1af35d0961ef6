import { RowMessage, type Place } from "../../internal/rows/message.ts";
import { unescapeText } from "./text-escape.ts";
import { bytesOf } from "./values.ts";

/** Of the columns of an answer. */
export function messageOf<Handle>(
  seq: number,
  [topic, key, headers, body]: readonly (string | null | undefined)[],
  handle: Handle,
  lane: "stream" | "queue",
  partition: string,
  place?: Omit<Place, "lane" | "partition">,
): RowMessage<Handle> {
  const row = {
    seq,
    topic: topic ?? "",
    key: key === null || key === undefined ? null : unescapeText(key),
    headers: headers ?? null,
    body: bytesOf(body),
  };
  return new RowMessage(row, handle, lane, partition, place);
}
