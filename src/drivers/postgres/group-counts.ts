import type { GroupState } from "../../driver.ts";
import { decodeSequences } from "../../internal/rows/sequence-set.ts";
import type { GroupRow } from "./definitions.ts";
import { cancelledFrom, nowMs } from "./functions/append.ts";
import { regexOf } from "./pattern-regex.ts";
import type { Session } from "./session.ts";
import type { StreamRow } from "./streams.ts";
import { bytesOf, numberOf } from "./values.ts";

interface Counts {
  waiting: number;
  inFlight: number;
  scheduled: number;
  oldest: number | undefined;
}

/** What a group has before it and in its members' hands, counted by the server. */
export async function groupState(
  session: Session,
  group: GroupRow,
  streams: readonly StreamRow[],
): Promise<GroupState> {
  const counts: Counts = { waiting: 0, inFlight: 0, scheduled: 0, oldest: undefined };
  for (const stream of streams) {
    const patterns = stream.queue
      ? stream.name === group.spec.group
        ? [">"]
        : undefined
      : group.spec.reads.find((read) => read.stream === stream.name)?.patterns;
    if (patterns === undefined) continue;
    const regex = regexOf(patterns);
    await (group.spec.order === "group" ? ordered : unordered)(session, group.id, stream.id, regex, counts);
    await delayed(session, stream.id, regex, counts);
  }
  const { waiting, inFlight, scheduled, oldest } = counts;
  return {
    spec: group.spec,
    waiting,
    inFlight,
    scheduled,
    oldestWaitingMs: oldest === undefined ? undefined : Math.max(0, oldest),
  };
}

async function unordered(
  session: Session,
  group: number,
  stream: number,
  regex: string | null,
  counts: Counts,
): Promise<void> {
  const values = [String(group), String(stream)];
  const [fresh] = await session.desk.query(
    `SELECT coalesce(sum(w.many), 0), max(w.age) FROM {place} p
      CROSS JOIN LATERAL (SELECT coalesce((SELECT seq FROM {claimed} c WHERE c.grp = p.grp AND c.stream = p.stream AND c.partition = p.partition ORDER BY seq DESC LIMIT 1), p.start) AS seq) c
      JOIN {part} t ON t.stream = p.stream AND t.partition = p.partition
      CROSS JOIN LATERAL (SELECT count(*) AS many, ${nowMs} - min(l.at) AS age FROM {log} l
        WHERE l.stream = p.stream AND l.partition = p.partition AND l.seq > c.seq AND l.seq >= t.first AND ($3::text IS NULL OR l.topic ~ $3)) w
      WHERE p.grp = $1 AND p.stream = $2`,
    [...values, regex],
  );
  wait(counts, fresh?.[0], fresh?.[1]);
  const [runs] = await session.desk.query(
    `SELECT coalesce(sum(octet_length(done) * 8 - bit_count(done)) FILTER (WHERE member IS NULL), 0),
        coalesce(sum(octet_length(done) * 8 - bit_count(done)) FILTER (WHERE member IS NOT NULL), 0),
        max(CASE WHEN member IS NULL THEN ${nowMs} - (SELECT at FROM {log} l WHERE l.stream = c.stream AND l.partition = c.partition AND l.seq = c.low) END)
      FROM {claim} c WHERE grp = $1 AND stream = $2`,
    values,
  );
  wait(counts, runs?.[0], runs?.[2]);
  counts.inFlight += Number(runs?.[1] ?? 0);
  const [held] = await session.desk.query(
    `SELECT count(*) FILTER (WHERE member IS NULL), count(*) FILTER (WHERE member IS NOT NULL), count(*) FILTER (WHERE member IS NULL AND due > ${nowMs}),
        max(CASE WHEN member IS NULL THEN ${nowMs} - (SELECT at FROM {log} l WHERE l.stream = h.stream AND l.partition = h.partition AND l.seq = h.seq) END)
      FROM {held} h WHERE grp = $1 AND stream = $2`,
    values,
  );
  wait(counts, held?.[0], held?.[3]);
  counts.inFlight += Number(held?.[1] ?? 0);
  counts.scheduled += Number(held?.[2] ?? 0);
}

async function ordered(
  session: Session,
  group: number,
  stream: number,
  regex: string | null,
  counts: Counts,
): Promise<void> {
  const rows = await session.desk.query(
    `SELECT p.partition, p.member IS NOT NULL, coalesce(g.cursor, p.cursor), coalesce(g.out, 0), CASE WHEN g.n IS NULL THEN p.done ELSE g.done END,
        w.many, w.age, h.many
      FROM {place} p
      JOIN {part} t ON t.stream = p.stream AND t.partition = p.partition
      LEFT JOIN LATERAL (SELECT n, cursor, out, done FROM {progress} g WHERE g.grp = p.grp AND g.stream = p.stream AND g.partition = p.partition
        AND g.n >= p.epoch << 32 ORDER BY n DESC LIMIT 1) g ON true
      CROSS JOIN LATERAL (SELECT count(*) AS many, ${nowMs} - min(l.at) AS age FROM {log} l
        WHERE l.stream = p.stream AND l.partition = p.partition AND l.seq >= t.first AND ($3::text IS NULL OR l.topic ~ $3)
          AND l.seq > CASE WHEN p.member IS NULL THEN coalesce(g.cursor, p.cursor) ELSE greatest(coalesce(g.out, 0), coalesce(g.cursor, p.cursor)) END) w
      CROSS JOIN LATERAL (SELECT count(*) AS many FROM {log} l
        WHERE p.member IS NOT NULL AND l.stream = p.stream AND l.partition = p.partition AND l.seq >= t.first AND ($3::text IS NULL OR l.topic ~ $3)
          AND l.seq > coalesce(g.cursor, p.cursor) AND l.seq <= coalesce(g.out, 0)) h
      WHERE p.grp = $1 AND p.stream = $2`,
    [String(group), String(stream), regex],
  );
  for (const [, owned, cursorText, outText, done, many, age, out] of rows) {
    const [cursor, last] = [numberOf(cursorText), numberOf(outText)];
    const settled = [...decodeSequences(cursor, done === null || done === undefined ? null : bytesOf(done))];
    if (owned === "t") {
      counts.inFlight += Number(out) - settled.filter((seq) => seq <= last).length;
      wait(counts, String(Number(many) - settled.filter((seq) => seq > last).length), age);
    } else wait(counts, String(Number(many) - settled.length), age);
  }
}

async function delayed(session: Session, stream: number, regex: string | null, counts: Counts): Promise<void> {
  const [row] = await session.desk.query(
    `SELECT count(*), count(*) FILTER (WHERE due > ${nowMs}) FROM {delayed} WHERE stream = $1 AND due < ${cancelledFrom} AND ($2::text IS NULL OR topic ~ $2)`,
    [String(stream), regex],
  );
  counts.waiting += Number(row?.[0] ?? 0);
  counts.scheduled += Number(row?.[1] ?? 0);
}

function wait(counts: Counts, many: string | null | undefined, age: string | null | undefined): void {
  const count = Math.max(0, Number(many ?? 0));
  counts.waiting += count;
  if (count > 0 && age !== null && age !== undefined) counts.oldest = Math.max(counts.oldest ?? 0, Number(age));
}
