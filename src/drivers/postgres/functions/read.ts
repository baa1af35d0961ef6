import { exactOf, few, nowMs, type DatabaseFunction } from "./append.ts";

/**
 * Which messages of a partition come next, at most so many of them and, but for one, so many bytes, looking at `scan` positions:
 * their positions, up to where it looked, the newest there is, how many had expired, how many retention took before.
 */
export const readFunction: DatabaseFunction = {
  takes: "int, smallint, bigint, int, int, bigint, text",
  text: `CREATE FUNCTION {1:read}(
  of_stream int, of_partition smallint, after bigint, scan int, most int, most_bytes bigint, pattern text,
  OUT seqs bigint[], OUT reached bigint, OUT newest bigint, OUT expired int, OUT missed bigint, OUT bytes bigint
) LANGUAGE plpgsql VOLATILE AS $read$
DECLARE exact text[]; upper bigint; to_ bigint; size bigint; looked int; last_looked bigint; oldest bigint; now_ms bigint := ${nowMs};
BEGIN
  expired := 0; bytes := 0; reached := after; missed := 0;
  SELECT p.first INTO oldest FROM {part} p WHERE p.stream = of_stream AND p.partition = of_partition;
  SELECT l.seq INTO newest FROM {log} l WHERE l.stream = of_stream AND l.partition = of_partition ORDER BY l.seq DESC LIMIT 1;
  newest := coalesce(newest, oldest - 1, 0);
  IF after < oldest - 1 THEN missed := oldest - 1 - after; reached := oldest - 1; END IF;
  IF newest <= reached OR most <= 0 OR most_bytes <= 0 THEN RETURN; END IF;
  IF newest - reached > ${few} THEN exact := ${exactOf("pattern")}; END IF;
  -- mostly all of what comes next is wanted, and less than there is room for: then its bytes need no counting
  to_ := least(newest, reached + least(scan, most));
  SELECT u.total - l.total + octet_length(l.body) INTO size FROM {log} l, {log} u
    WHERE l.stream = of_stream AND l.partition = of_partition AND l.seq = reached + 1
      AND u.stream = of_stream AND u.partition = of_partition AND u.seq = to_;
  IF size <= most_bytes THEN
    SELECT array_agg(s.seq) INTO seqs
      FROM (SELECT l.seq FROM {log} l
              WHERE l.stream = of_stream AND l.partition = of_partition AND l.seq > reached AND l.seq <= to_
                AND (pattern IS NULL OR CASE WHEN exact IS NOT NULL THEN l.topic = ANY (exact) ELSE l.topic ~ pattern END) AND (l.expires IS NULL OR l.expires > now_ms)
              ORDER BY l.seq) s;
    IF cardinality(seqs) = to_ - reached THEN bytes := size; reached := to_; RETURN; END IF;
  END IF;
  upper := least(newest, reached + scan);
  SELECT array_agg(r.seq ORDER BY r.seq) FILTER (WHERE NOT r.over), count(*) FILTER (WHERE r.over), count(*), max(r.seq), coalesce(max(r.so_far), 0)
    INTO seqs, expired, looked, last_looked, bytes
    FROM (SELECT l.seq, coalesce(l.expires <= now_ms, false) AS over, octet_length(l.body) AS size,
                 sum(octet_length(l.body)) OVER (ORDER BY l.seq) AS so_far
            FROM {log} l
            WHERE l.stream = of_stream AND l.partition = of_partition AND l.seq > reached AND l.seq <= upper
              AND (pattern IS NULL OR CASE WHEN exact IS NOT NULL THEN l.topic = ANY (exact) ELSE l.topic ~ pattern END)
            ORDER BY l.seq LIMIT most) r
    WHERE r.so_far - r.size < most_bytes;
  reached := CASE WHEN looked < most AND bytes < most_bytes THEN upper ELSE last_looked END;
END $read$`,
};
