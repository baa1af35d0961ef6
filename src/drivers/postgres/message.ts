import { RowMessage, type Place } from "../../internal/rows/message.ts";
import { unescapeText } from "./text-escape.ts";
import type { Row } from "./link.ts";

/** Of the columns of an answer from `at` on: topic, key, headers, body. */
export function messageOf<Handle>(
  seq: number,
  columns: Row,
  at: number,
  bodyOf: (text: string | null | undefined) => Uint8Array,
  handle: Handle,
  lane: "stream" | "queue",
  partition: string,
  place?: Omit<Place, "lane" | "partition">,
): RowMessage<Handle> {
  const key = columns[at + 1];
  const row = {
    seq,
    topic: columns[at] ?? "",
    key: key === null || key === undefined ? null : unescapeText(key),
    headers: columns[at + 2] ?? null,
    body: bodyOf(columns[at + 3]),
  };
  return new RowMessage(row, handle, lane, partition, place);
}
