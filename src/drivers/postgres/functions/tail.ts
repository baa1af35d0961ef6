import { byKey, type DatabaseFunction } from "./append.ts";

const scan = 4_096;

/** What the rows of an answer are. */
export const tailKinds = { message: 2, reached: 3 } as const;

/** What comes next in each of these partitions; no row at all when the stream is gone. */
export const tailFunction: DatabaseFunction = {
  takes: "int, smallint[], bigint[], text, int, bigint",
  text: `CREATE FUNCTION {1:tail}(of_stream int, parts smallint[], afters bigint[], pattern text, most int, most_bytes bigint)
RETURNS TABLE (o_kind int, o_index int, o_seq bigint, o_last bigint, o_missed bigint, o_topic text, o_key text, o_headers text, o_body bytea)
LANGUAGE plpgsql VOLATILE ${byKey} AS $tail$
#variable_conflict use_column
DECLARE r record;
BEGIN
  PERFORM 1 FROM {stream} WHERE id = of_stream AND NOT gone;
  IF NOT FOUND THEN RETURN; END IF;
  FOR i IN 1 .. cardinality(parts) LOOP
    SELECT * INTO r FROM {1:read}(of_stream, parts[i], afters[i], ${scan}, most, most_bytes, pattern);
    IF r.seqs IS NOT NULL THEN
      most := most - cardinality(r.seqs); most_bytes := most_bytes - r.bytes;
      RETURN QUERY SELECT ${tailKinds.message}, i - 1, l.seq, NULL::bigint, 0::bigint, l.topic, l.key, l.headers, l.body
        FROM {log} l WHERE l.stream = of_stream AND l.partition = parts[i] AND l.seq >= r.seqs[1] AND l.seq <= r.seqs[cardinality(r.seqs)]
          AND (cardinality(r.seqs) = r.seqs[cardinality(r.seqs)] - r.seqs[1] + 1 OR l.seq = ANY (r.seqs))
        ORDER BY l.seq;
    END IF;
    o_kind := ${tailKinds.reached}; o_index := i - 1; o_seq := r.reached; o_last := r.newest; o_missed := r.missed; RETURN NEXT;
  END LOOP;
END $tail$`,
};
